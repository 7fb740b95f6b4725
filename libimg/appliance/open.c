/*
 * A disk of an appliance as an image. SPDX-License-Identifier: BSD-2-Clause
 *
 * The node's first file is the disk's bytes; the files that these lie in stand behind it, so that
 * they are closed last. The node keeps the appliance, whose policy is its own from then on.
 */
#include <string.h>

#include "appliance.h"

bool imgi_is_appliance_format(const char *format)
{
    return strcmp(format, "ova") == 0 || strcmp(format, "ovf") == 0;
}

int imgi_appliance_wanted(struct imgi_io *io, const struct imgi_open *how, bool *wanted,
                          img_error *err)
{
    enum imgi_appliance_kind kind;
    int rc;

    *wanted = how->disk || (how->format && imgi_is_appliance_format(how->format));
    if (*wanted || how->format || !how->policy->probe)
        return 0;
    rc = imgi_appliance_probe(io, &kind, err);
    *wanted = rc == 0 && kind != IMGI_APPLIANCE_NONE;
    return rc;
}

/* The files of `from` go behind those of `to`. */
static int move_files(struct imgi_files *to, struct imgi_files *from, img_error *err)
{
    int rc = 0;

    for (size_t i = 0; from && i < from->count; i++) {
        struct imgi_io *io = from->list[i].io;

        from->list[i].io = NULL;
        if (rc < 0)
            imgi_io_close(io);
        else
            rc = imgi_files_add(to, io, from->list[i].path, err);
    }
    return rc;
}

/* Takes files over. *disk: the disk's bytes first, then files, then what else was opened. */
static int disk_files(const struct imgi_appliance *appliance, size_t index,
                      struct imgi_files *files, const struct imgi_open *how,
                      struct imgi_files **disk, img_error *err)
{
    struct imgi_appliance_file file = {0};
    struct imgi_io *bytes;
    int rc = imgi_appliance_open_disk(appliance, index, &file, err);

    *disk = rc == 0 ? imgi_files_new(files->io_flags, err) : NULL;
    if (rc == 0 && !*disk)
        rc = IMG_E_NOMEM;
    for (size_t i = 0; rc == 0 && i < file.from->count; i++)
        rc = imgi_lock_file(file.from->list[i].io, how->flags, false, err);
    if (rc == 0) {
        bytes = file.io;
        file.io = NULL;
        rc = imgi_files_add(*disk, bytes, appliance->name, err);
    }
    if (rc == 0)
        rc = move_files(*disk, files, err);
    if (rc == 0)
        rc = move_files(*disk, file.from, err);
    imgi_appliance_file_close(&file);
    if (rc < 0) {
        imgi_files_free(*disk);
        *disk = NULL;
    }
    imgi_files_free(files);
    return rc;
}

/* Takes files over. */
static int open_disk(struct imgi_node **node, struct imgi_appliance *appliance,
                     struct imgi_files *files, const struct imgi_open *how, img_error *err)
{
    struct imgi_open inside = *how;
    struct imgi_files *disk;
    size_t index = 0;
    int rc = imgi_appliance_disk(appliance, how->disk, &index, err);

    if (rc < 0) {
        imgi_files_free(files);
        return rc;
    }
    rc = disk_files(appliance, index, files, how, &disk, err);
    if (rc < 0)
        return rc;
    if (how->format && imgi_is_appliance_format(how->format))
        inside.format = NULL;
    inside.disk = NULL;
    inside.policy = appliance->kind == IMGI_APPLIANCE_OVA ? &appliance->inside : &appliance->policy;
    rc = imgi_node_open(node, disk, &inside, err);
    if (rc == 0) {
        (*node)->appliance = appliance;
        (*node)->appliance_disk = index;
    }
    return rc;
}

int imgi_appliance_open_node(struct imgi_node **node, struct imgi_files *files,
                             const struct imgi_open *how, img_error *err)
{
    struct imgi_io *io = files->list[0].io;
    struct imgi_appliance *appliance = NULL;
    int rc;

    if (how->flags & IMG_OPEN_WRITE)
        rc = imgi_fail(err, IMG_E_RDONLY,
                       "the disks of an appliance can only be read: convert one to change it");
    else
        rc = imgi_appliance_open(&appliance, io, files->list[0].path, how->policy, err);
    if (rc < 0) {
        imgi_error_image(err, files->list[0].path);
        imgi_files_free(files);
        return rc;
    }
    rc = open_disk(node, appliance, files, how, err);
    if (rc < 0) {
        imgi_error_image(err, appliance->name);
        imgi_appliance_close(appliance);
    }
    return rc;
}

size_t img_appliance_next_disk(const img_image *image)
{
    const struct imgi_appliance *appliance = image->top->appliance;
    size_t n = image->top->appliance_disk + 1;

    while (appliance && n < appliance->ovf.disk_count && !appliance->ovf.disks[n].file)
        n++;
    return appliance && n < appliance->ovf.disk_count ? n + 1 : 0;
}

enum img_manifest img_appliance_manifest(const img_image *image)
{
    enum img_manifest found = IMG_MANIFEST_NONE;

    for (const struct imgi_node *node = image->top; node; node = node->backing) {
        if (!node->appliance)
            continue;
        if (!node->appliance->manifest_name)
            return IMG_MANIFEST_MISSING;
        found = IMG_MANIFEST_PRESENT;
    }
    return found;
}

/*
 * Making an OVA in one pass over its disks. SPDX-License-Identifier: BSD-2-Clause
 *
 * The archive begins with the document and the manifest, which tell of the disks' sizes and digests
 * and are known last. Their sizes are known first, if the document is padded to what the largest
 * numbers would need: so their places are left free, the disks are written behind them, and the two
 * are filled in at the end. Nothing has a name before that.
 *
 * Order: each disk, its header; document and manifest with their headers; two blocks of zeros that
 * end the archive; flush and the name, in publishing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../spec.h"
#include "create.h"
#include "follow.h"

#define VMDK "vmdk"

/* A disk, in the archive. */
struct disk {
    char *href;
    uint64_t header;   /* of its header in the archive */
    uint64_t capacity; /* bytes of the disk, by what its format made of what was asked for */
    uint64_t asked;
    struct imgi_member_watch watch;
    struct imgi_follower *follower;
    uint8_t digest[IMGI_HASH_MAX_BYTES];
};

struct img_appliance {
    struct imgi_io *io;
    char *name;
    struct imgi_ova_plan plan;
    img_options *disk_options;
    img_open_params params;
    struct img_policy policy; /* disks in an archive name no files */
    struct disk *disks;
    struct imgi_ovf_new_disk *listed; /* what the document says of them */
    size_t count, begun;              /* begun: the last of these may be open */
    char *document_name, *manifest_name;
    uint64_t document_size, manifest_size, next; /* next: where another header goes */
};

static uint64_t padded(uint64_t size)
{
    return imgi_align_up(size, IMGI_TAR_BLOCK);
}

/* ------------------------------------------------------------------ layout */

/* The document with what is known by now; the caller frees it. */
static char *write_document(struct img_appliance *appliance, bool largest)
{
    for (size_t i = 0; i < appliance->count; i++) {
        const struct disk *disk = &appliance->disks[i];

        appliance->listed[i] = (struct imgi_ovf_new_disk){
            .href = disk->href,
            .file_size = largest ? UINT64_MAX : disk->watch.size,
            .capacity = largest ? UINT64_MAX : disk->capacity,
        };
    }
    appliance->plan.ovf.disks = appliance->listed;
    appliance->plan.ovf.disk_count = appliance->count;
    return imgi_ovf_write(&appliance->plan.ovf);
}

static int make_names(struct img_appliance *appliance, img_error *err)
{
    const char *stem = appliance->plan.stem;
    bool failed = asprintf(&appliance->document_name, "%s.ovf", stem) < 0 ||
                  asprintf(&appliance->manifest_name, "%s.mf", stem) < 0;

    for (size_t i = 0; !failed && i < appliance->count; i++)
        failed = asprintf(&appliance->disks[i].href, "%s-disk%zu.vmdk", stem, i + 1) < 0;
    return failed ? imgi_fail_nomem(err, "an OVA") : 0;
}

/* How large document and manifest will be, and where the disks begin. */
static int lay_out(struct img_appliance *appliance, img_error *err)
{
    enum imgi_hash hash = appliance->plan.hash;
    char *document;
    int rc = make_names(appliance, err);

    if (rc < 0)
        return rc;
    document = write_document(appliance, true);
    if (!document)
        return imgi_fail_nomem(err, "an OVA");
    appliance->document_size = strlen(document);
    free(document);
    appliance->manifest_size = imgi_manifest_line_bytes(hash, appliance->document_name);
    for (size_t i = 0; i < appliance->count; i++)
        appliance->manifest_size += imgi_manifest_line_bytes(hash, appliance->disks[i].href);
    appliance->next =
        2 * IMGI_TAR_BLOCK + padded(appliance->document_size) + padded(appliance->manifest_size);
    return 0;
}

/* ---------------------------------------------------------------- creation */

static int disk_options(struct img_appliance *appliance, const img_options *options, img_error *err)
{
    static const char *const handed_on[] = {"toolsversion", "compression_level"};
    img_options *set = appliance->disk_options = img_options_new();
    int rc = set ? 0 : imgi_fail_nomem(err, "an OVA");

    if (rc == 0)
        rc = img_options_set(set, "subformat", "streamOptimized", err);
    if (rc == 0)
        rc = img_options_set(set, "hwversion", appliance->plan.hw_number, err);
    if (rc == 0)
        rc = img_options_set(set, "adapter_type", appliance->plan.adapter, err);
    for (size_t i = 0; rc == 0 && i < IMGI_COUNT(handed_on); i++) {
        const char *value = imgi_options_string(options, imgi_ova_options, handed_on[i]);

        if (value)
            rc = img_options_set(set, handed_on[i], value, err);
    }
    return rc;
}

static int begin(struct img_appliance *appliance, const uint64_t *sizes, const img_options *options,
                 img_error *err)
{
    size_t count = appliance->count;
    int rc = imgi_ova_plan(&appliance->plan, options, appliance->name, count, err);

    if (rc == 0)
        rc = disk_options(appliance, options, err);
    if (rc < 0)
        return rc;
    appliance->disks = calloc(count, sizeof(*appliance->disks));
    appliance->listed = calloc(count, sizeof(*appliance->listed));
    if (!appliance->disks || !appliance->listed)
        return imgi_fail_nomem(err, "an OVA");
    for (size_t i = 0; i < count; i++)
        appliance->disks[i].asked = sizes[i];
    rc = lay_out(appliance, err);
    if (rc == 0)
        rc = imgi_file_create(&appliance->io, appliance->name,
                              imgi_cache_io_flags(appliance->params.cache) | IMGI_IO_WRITE, err);
    if (rc == 0 && imgi_io_is_device(appliance->io))
        rc = imgi_fail(err, IMG_E_UNSUPPORTED, "an OVA is not written to a device");
    return rc;
}

int img_appliance_create(img_appliance **out, const char *name, const uint64_t *sizes, size_t count,
                         const img_options *options, const img_open_params *params, img_error *err)
{
    struct img_appliance *appliance = calloc(1, sizeof(*appliance));
    int rc = 0;

    if (!appliance)
        return imgi_fail_nomem(err, "an OVA");
    if (params && (params->flags & IMG_OPEN_TYPED))
        rc = imgi_spec_path(name, &name, err);
    appliance->name = strdup(name);
    appliance->count = count;
    appliance->policy = params && params->policy ? *params->policy : *imgi_policy_default();
    appliance->policy.reach = IMG_REACH_NONE;
    appliance->params.cache = params ? params->cache : IMG_CACHE_WRITEBACK;
    appliance->params.policy = &appliance->policy;
    if (rc == 0 && !appliance->name)
        rc = imgi_fail_nomem(err, "an OVA");
    if (rc == 0 && params && (params->flags & IMG_OPEN_PIPE) && imgi_pipe_named(name))
        rc = imgi_fail(err, IMG_E_UNSUPPORTED, "an OVA is not written to a pipe");
    if (rc == 0)
        rc = begin(appliance, sizes, options, err);
    if (rc < 0) {
        imgi_error_image(err, name);
        img_appliance_abandon(appliance);
        return rc;
    }
    *out = appliance;
    return 0;
}

void img_appliance_abandon(img_appliance *appliance)
{
    if (!appliance)
        return;
    for (size_t i = 0; appliance->disks && i < appliance->count; i++) {
        if (appliance->disks[i].follower)
            imgi_follower_end(appliance->disks[i].follower, 0, NULL, NULL);
        free(appliance->disks[i].href);
    }
    imgi_io_close(appliance->io);
    imgi_ova_plan_clear(&appliance->plan);
    img_options_free(appliance->disk_options);
    free(appliance->disks);
    free(appliance->listed);
    free(appliance->document_name);
    free(appliance->manifest_name);
    free(appliance->name);
    free(appliance);
}

static int digest_text(struct img_appliance *appliance, const char *text,
                       uint8_t digest[IMGI_HASH_MAX_BYTES], img_error *err)
{
    struct imgi_digest *context;
    int rc = imgi_digest_new(&context, appliance->plan.hash, err);

    if (rc < 0)
        return rc;
    rc = imgi_digest_update(context, text, strlen(text), err);
    if (rc == 0)
        rc = imgi_digest_final(context, digest, err);
    imgi_digest_free(context);
    return rc;
}

/* ------------------------------------------------------------------ members */

static int write_header(struct img_appliance *appliance, const char *name, uint64_t size,
                        uint64_t at, img_error *err)
{
    struct imgi_tar_header header = {
        .size = size, .mtime = appliance->plan.mtime, .type = IMGI_TAR_FILE};
    uint8_t block[IMGI_TAR_BLOCK];

    snprintf(header.name, sizeof(header.name), "%s", name);
    imgi_tar_encode(&header, block);
    return imgi_io_write(appliance->io, block, sizeof(block), at, err);
}

/* The disk that was begun last has been closed: its size and digest are known. */
static int end_disk(struct img_appliance *appliance, img_error *err)
{
    struct disk *disk;
    struct imgi_follower *follower;
    int rc;

    if (appliance->begun == 0)
        return 0;
    disk = &appliance->disks[appliance->begun - 1];
    if (!disk->follower)
        return 0;
    if (!disk->watch.complete)
        return imgi_fail(err, IMG_E_INVAL, "disk %zu of the appliance has not been completed",
                         appliance->begun);
    follower = disk->follower;
    disk->follower = NULL;
    rc = imgi_follower_end(follower, disk->watch.size, disk->digest, err);
    if (rc == 0)
        rc = write_header(appliance, disk->href, disk->watch.size, disk->header, err);
    appliance->next = disk->header + IMGI_TAR_BLOCK + padded(disk->watch.size);
    return rc;
}

/*
 * Disks of the same size would have the same identifiers, by which virtual machines tell them
 * apart: they are made of what the disk is in this appliance. VMware's UUIDs begin with 6000c29.
 */
static int identify(struct img_appliance *appliance, const struct disk *disk, img_error *err)
{
    uint8_t digest[IMGI_HASH_MAX_BYTES] = {0};
    char *seed = NULL, uuid[40], cid[16];
    int rc;

    if (asprintf(&seed, "%s %s %llu %llu", appliance->plan.name, disk->href,
                 (unsigned long long)disk->asked, (unsigned long long)appliance->plan.mtime) < 0)
        return imgi_fail_nomem(err, "an OVA");
    rc = digest_text(appliance, seed, digest, err);
    free(seed);
    if (rc < 0)
        return rc;
    snprintf(uuid, sizeof(uuid), "6000c29%x%08x%016llx", digest[0] & 15, imgi_get_be32(digest + 1),
             (unsigned long long)imgi_get_be64(digest + 5));
    /* The highest values stand for "none". */
    snprintf(cid, sizeof(cid), "%08x", imgi_get_be32(digest + 13) & 0x7fffffff);
    rc = img_options_set(appliance->disk_options, "uuid", uuid, err);
    return rc == 0 ? img_options_set(appliance->disk_options, "cid", cid, err) : rc;
}

/* Make the disk's image in the archive, and let its digest follow what is written to it. */
static int begin_disk(struct img_appliance *appliance, struct disk *disk, img_image **image,
                      img_error *err)
{
    uint64_t data = appliance->next + IMGI_TAR_BLOCK, size = 0;
    struct imgi_io *io = NULL;
    char *path = NULL;
    int rc;

    disk->header = appliance->next;
    if (asprintf(&path, "%s/%s", appliance->name, disk->href) < 0)
        return imgi_fail_nomem(err, "an OVA");
    rc = identify(appliance, disk, err);
    if (rc == 0)
        rc = imgi_member_new(&io, path, appliance->io, data, &disk->watch, err);
    if (rc == 0)
        rc = imgi_image_create_io(image, io, path, VMDK, disk->asked, appliance->disk_options,
                                  &appliance->params, err);
    free(path);
    if (rc < 0)
        return rc;
    disk->capacity = img_size(*image);
    rc = imgi_io_size(io, &size, err);
    if (rc == 0)
        rc = imgi_follower_begin(&disk->follower, appliance->io, data, size, appliance->plan.hash,
                                 err);
    if (rc < 0) {
        img_abandon(*image);
        return rc;
    }
    disk->watch.opaque = disk->follower;
    disk->watch.written = imgi_follower_written;
    return 0;
}

int img_appliance_disk(img_appliance *appliance, img_image **image, img_error *err)
{
    int rc = end_disk(appliance, err);

    if (rc == 0 && appliance->begun == appliance->count)
        rc = imgi_fail(err, IMG_E_INVAL, "the appliance has %zu disks, and no more",
                       appliance->count);
    if (rc == 0)
        rc = begin_disk(appliance, &appliance->disks[appliance->begun], image, err);
    if (rc < 0)
        imgi_error_image(err, appliance->name);
    else
        appliance->begun++;
    return rc;
}

/* ---------------------------------------------------------------- the rest */

static int write_text(struct img_appliance *appliance, const char *name, const char *text,
                      uint64_t at, img_error *err)
{
    size_t size = strlen(text);
    int rc = write_header(appliance, name, size, at, err);

    if (rc == 0)
        rc = imgi_io_write(appliance->io, text, size, at + IMGI_TAR_BLOCK, err);
    if (rc == 0)
        rc = imgi_io_zero(appliance->io, at + IMGI_TAR_BLOCK + size, padded(size) - size, false,
                          err);
    return rc;
}

/* The document, padded with line feeds to the room that was left for it; the caller frees it. */
static int finish_document(struct img_appliance *appliance, char **text, img_error *err)
{
    size_t size = (size_t)appliance->document_size, length;
    char *document = write_document(appliance, false);

    *text = document ? malloc(size + 1) : NULL;
    if (!*text) {
        free(document);
        return imgi_fail_nomem(err, "an OVA");
    }
    length = strlen(document);
    memcpy(*text, document, length);
    memset(*text + length, '\n', size - length);
    (*text)[size] = '\0';
    free(document);
    return 0;
}

static int add_line(struct img_appliance *appliance, const char *name, const uint8_t *digest,
                    char *text, img_error *err)
{
    struct imgi_manifest_entry entry = {.name = (char *)(uintptr_t)name,
                                        .hash = appliance->plan.hash};
    char *line;

    memcpy(entry.digest, digest, sizeof(entry.digest));
    line = imgi_manifest_line(&entry);
    if (!line)
        return imgi_fail_nomem(err, "an OVA");
    strcat(text, line);
    free(line);
    return 0;
}

static int write_manifest(struct img_appliance *appliance, const char *document, img_error *err)
{
    char *text = calloc(1, (size_t)appliance->manifest_size + 1);
    uint8_t digest[IMGI_HASH_MAX_BYTES] = {0};
    int rc = text ? digest_text(appliance, document, digest, err) : imgi_fail_nomem(err, "an OVA");

    if (rc == 0)
        rc = add_line(appliance, appliance->document_name, digest, text, err);
    for (size_t i = 0; rc == 0 && i < appliance->count; i++)
        rc = add_line(appliance, appliance->disks[i].href, appliance->disks[i].digest, text, err);
    if (rc == 0)
        rc = write_text(appliance, appliance->manifest_name, text,
                        IMGI_TAR_BLOCK + padded(appliance->document_size), err);
    free(text);
    return rc;
}

static int finish(struct img_appliance *appliance, img_error *err)
{
    char *document = NULL;
    int rc = end_disk(appliance, err);

    if (rc == 0 && appliance->begun < appliance->count)
        rc = imgi_fail(err, IMG_E_INVAL, "the appliance has only %zu of its %zu disks",
                       appliance->begun, appliance->count);
    if (rc == 0)
        rc = finish_document(appliance, &document, err);
    if (rc == 0)
        rc = write_text(appliance, appliance->document_name, document, 0, err);
    if (rc == 0)
        rc = write_manifest(appliance, document, err);
    free(document);
    if (rc == 0)
        rc = imgi_io_zero(appliance->io, appliance->next, 2 * IMGI_TAR_BLOCK, false, err);
    return rc == 0 ? imgi_io_publish(appliance->io, err) : rc;
}

int img_appliance_close(img_appliance *appliance, img_error *err)
{
    int rc = finish(appliance, err);

    if (rc < 0)
        imgi_error_image(err, appliance->name);
    img_appliance_abandon(appliance);
    return rc;
}

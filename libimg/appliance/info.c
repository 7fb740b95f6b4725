/*
 * What is in an appliance, as JSON. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>
#include <string.h>

#include "../spec.h"
#include "appliance.h"

static void say_string(struct imgi_info *info, const char *key, const char *value)
{
    if (value)
        imgi_info_string(info, key, value);
}

static void say_number(struct imgi_info *info, const char *key, uint64_t value)
{
    if (value)
        imgi_info_uint(info, key, value);
}

static void say_members(struct imgi_info *info, const struct imgi_appliance *appliance)
{
    imgi_info_list_begin(info, "members");
    for (size_t i = 0; i < appliance->tar.count; i++) {
        const struct imgi_tar_member *member = &appliance->tar.list[i];

        imgi_info_dict_begin(info, NULL);
        imgi_info_string(info, "name", member->name);
        imgi_info_uint(info, "offset", member->offset);
        imgi_info_uint(info, "size", member->size);
        imgi_info_dict_end(info);
    }
    imgi_info_list_end(info);
}

static void say_systems(struct imgi_info *info, const struct imgi_ovf *ovf)
{
    imgi_info_list_begin(info, "virtual-systems");
    for (size_t i = 0; i < ovf->system_count; i++) {
        const struct imgi_ovf_system *system = &ovf->systems[i];

        imgi_info_dict_begin(info, NULL);
        say_string(info, "id", system->id);
        say_string(info, "name", system->name ? system->name : system->id);
        say_string(info, "hardware", system->hardware);
        say_string(info, "os-id", system->os_id);
        say_string(info, "os", system->os_name);
        say_number(info, "cpus", system->cpus);
        say_number(info, "memory", system->memory);
        imgi_info_dict_end(info);
    }
    imgi_info_list_end(info);
}

/* Bytes that a File's files take, of which there may be *left; 0 when there are none, or not known. */
static uint64_t stored_bytes(const struct imgi_appliance *appliance,
                             const struct imgi_ovf_file *file, size_t *left)
{
    struct imgi_names names;
    uint64_t bytes = 0;

    if (*left == 0 || imgi_appliance_names(appliance, file, &names, NULL) < 0)
        return 0;
    *left -= IMGI_MIN(names.count, *left);
    for (size_t i = 0; *left > 0 && i < names.count; i++) {
        struct imgi_appliance_file one;
        uint64_t size = 0;

        if (imgi_appliance_file(appliance, names.list[i], &one, NULL) < 0)
            continue;
        imgi_io_size(one.io, &size, NULL);
        bytes += size;
        imgi_appliance_file_close(&one);
    }
    imgi_names_clear(&names);
    return bytes;
}

/* The same of all Files, which several disks may share. NULL: no memory. */
static uint64_t *measure_files(const struct imgi_appliance *appliance)
{
    uint64_t *bytes = calloc(appliance->ovf.file_count + 1, sizeof(*bytes));
    size_t left = IMGI_APPLIANCE_NAMES_MAX;

    for (size_t i = 0; bytes && i < appliance->ovf.file_count; i++)
        bytes[i] = stored_bytes(appliance, &appliance->ovf.files[i], &left);
    return bytes;
}

static void say_disk_file(struct imgi_info *info, const struct imgi_ovf_file *file, uint64_t bytes)
{
    imgi_info_string(info, "file", file->href);
    say_number(info, "file-size", bytes);
    say_string(info, "compression", file->compression);
    if (file->chunked)
        imgi_info_uint(info, "chunk-size", file->chunk_size);
}

static int say_disks(struct imgi_info *info, const struct imgi_appliance *appliance,
                     img_error *err)
{
    const struct imgi_ovf *ovf = &appliance->ovf;
    uint64_t *bytes = measure_files(appliance);

    if (!bytes)
        return imgi_fail_nomem(err, "an appliance");
    imgi_info_list_begin(info, "disks");
    for (size_t i = 0; i < ovf->disk_count; i++) {
        const struct imgi_ovf_disk *disk = &ovf->disks[i];

        imgi_info_dict_begin(info, NULL);
        imgi_info_uint(info, "index", i + 1);
        imgi_info_string(info, "disk-id", disk->id);
        if (disk->has_capacity)
            imgi_info_uint(info, "capacity", disk->capacity);
        if (disk->file)
            say_disk_file(info, disk->file, bytes[disk->file - ovf->files]);
        say_string(info, "format", disk->format);
        say_string(info, "parent", disk->parent);
        imgi_info_dict_end(info);
    }
    imgi_info_list_end(info);
    free(bytes);
    return 0;
}

static void say_manifest(struct imgi_info *info, const struct imgi_appliance *appliance)
{
    imgi_info_dict_begin(info, "manifest");
    imgi_info_bool(info, "present", appliance->manifest_name != NULL);
    say_string(info, "name", appliance->manifest_name);
    if (appliance->manifest.count > 0)
        imgi_info_string(info, "algorithm", imgi_hash_name(appliance->manifest.list[0].hash));
    imgi_info_dict_end(info);
    say_string(info, "certificate", appliance->certificate_name);
}

static int say(void *opaque, struct imgi_info *info, img_error *err)
{
    const struct imgi_appliance *appliance = opaque;
    int rc;

    imgi_info_string(info, "filename", appliance->name);
    imgi_info_string(info, "format", appliance->kind == IMGI_APPLIANCE_OVA ? "ova" : "ovf");
    imgi_info_uint(info, "actual-size", imgi_io_usage(appliance->io));
    if (appliance->kind == IMGI_APPLIANCE_OVA)
        say_members(info, appliance);
    say_systems(info, &appliance->ovf);
    rc = say_disks(info, appliance, err);
    say_manifest(info, appliance);
    return rc;
}

/* The name of a file, if it is one and no pipe, and no image was asked for. */
static bool may_be_appliance(const char *name, const img_open_params *params, const char **path)
{
    *path = name;
    if (!params)
        return true;
    if ((params->flags & IMG_OPEN_PIPE) && imgi_pipe_named(name))
        return false;
    if (params->disk || (params->flags & IMG_OPEN_OPTIONS) ||
        (params->format && !imgi_is_appliance_format(params->format)))
        return false;
    return !(params->flags & IMG_OPEN_TYPED) ||
           (strncmp(name, "json:", 5) != 0 && imgi_spec_path(name, path, NULL) == 0);
}

static int describe(struct imgi_io *io, const char *path, const img_open_params *params,
                    char **json, img_error *err)
{
    const struct img_policy *policy =
        params && params->policy ? params->policy : imgi_policy_default();
    struct imgi_open how = {.format = params ? params->format : NULL, .policy = policy};
    struct imgi_appliance *appliance;
    bool wanted;
    int rc = imgi_appliance_wanted(io, &how, &wanted, err);

    if (rc < 0 || !wanted)
        return rc;
    rc = imgi_lock_file(io, params ? params->flags : 0, false, err);
    if (rc == 0)
        rc = imgi_appliance_open(&appliance, io, path, policy, err);
    if (rc < 0)
        return rc;
    rc = imgi_info_text(say, appliance, json, err);
    imgi_appliance_close(appliance);
    return rc;
}

int img_appliance_info(const char *name, const img_open_params *params, char **json, img_error *err)
{
    struct imgi_io *io = NULL;
    const char *path;
    int rc;

    *json = NULL;
    /* A file that cannot be opened is no appliance: opening it as an image says why. */
    if (!may_be_appliance(name, params, &path) || imgi_file_open(&io, path, 0, NULL) < 0)
        return 0;
    rc = describe(io, path, params, json, err);
    imgi_io_close(io);
    if (rc < 0)
        imgi_error_image(err, path);
    return rc;
}

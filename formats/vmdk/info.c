/*
 * What img info says of an image beyond its size. SPDX-License-Identifier: BSD-2-Clause
 *
 * First what qemu-img says, under its keys; behind that everything else that descriptor and headers
 * hold, so that who reads the former finds it where it was.
 */
#include <stdlib.h>
#include <strings.h>

#include "sesparse.h"

/* A key of the descriptor and what it is called here. */
struct fact {
    const char *key, *name;
};

static const struct fact facts[] = {
    {"version", "descriptor-version"},
    {"encoding", "encoding"},
    {"isNativeSnapshot", "native-snapshot"},
    {"parentFileNameHint", "parent-hint"},
    {"changeTrackPath", "change-tracking-file"},
    {"ddb.adapterType", "adapter-type"},
    {"ddb.virtualHWVersion", "hw-version"},
    {"ddb.toolsVersion", "tools-version"},
    {"ddb.toolsInstallType", "tools-install-type"},
    {"ddb.uuid", "uuid"},
    {"ddb.longContentID", "long-content-id"},
    {"ddb.thinProvisioned", "thin-provisioned"},
};
static const struct fact geometry[] = {
    {"ddb.geometry.cylinders", "cylinders"},
    {"ddb.geometry.heads", "heads"},
    {"ddb.geometry.sectors", "sectors"},
};
/* Said elsewhere, as numbers. */
static const struct fact said[] = {
    {"CID", "cid"}, {"parentCID", "parent-cid"}, {"createType", "create-type"}};

/* --------------------------------------------------------------------- extents */

/* Flags are said as they stand in the header. */
static void say_header(struct imgi_info *info, const struct vmdk_sparse *sparse)
{
    const struct vmdk_header *header = &sparse->header;

    imgi_info_dict_begin(info, "header");
    imgi_info_uint(info, "version", header->version);
    imgi_info_uint(info, "flags", sparse->cowd ? VMDK_COWD_FLAGS : header->flags);
    imgi_info_uint(info, "capacity", header->capacity);
    imgi_info_uint(info, "grain-size", header->grain_size);
    if (sparse->cowd)
        imgi_info_uint(info, "free-sector", sparse->free_sector);
    imgi_info_bool(info, "redundant-tables", (header->flags & VMDK_FLAG_REDUNDANT) != 0);
    imgi_info_bool(info, "zeroed-grains", (header->flags & VMDK_FLAG_ZERO_GRAINS) != 0);
    imgi_info_bool(info, "clean-shutdown", !header->unclean_shutdown);
    imgi_info_dict_end(info);
}

static void say_extent(struct imgi_info *info, const struct vmdk_extent *extent,
                       const struct vmdk_extent_line *line)
{
    const struct vmdk_sparse *sparse = extent->sparse;

    imgi_info_dict_begin(info, NULL);
    if (sparse && vmdk_is_stream(&sparse->header))
        imgi_info_bool(info, "compressed", true);
    imgi_info_uint(info, "virtual-size", extent->length);
    if (extent->io)
        imgi_info_string(info, "filename", extent->io->name);
    else if (extent->name)
        imgi_info_string(info, "filename", extent->name);
    if (sparse)
        imgi_info_uint(info, "cluster-size", sparse->grain);
    else if (extent->sesparse)
        imgi_info_uint(info, "cluster-size", VMDK_SESPARSE_GRAIN_BYTES);
    /* qemu-img leaves it empty for an extent that was not found through a line. */
    imgi_info_string(info, "format",
                     extent->io && !extent->name ? "" : vmdk_type_name(extent->type));
    if (line) {
        imgi_info_string(info, "access", vmdk_access_name(line->access));
        imgi_info_string(info, "extent-type", vmdk_type_name(line->type));
        imgi_info_uint(info, "sectors", line->sectors);
        imgi_info_uint(info, "file-sector", line->offset);
    }
    if (sparse)
        say_header(info, sparse);
    imgi_info_dict_end(info);
}

/* ------------------------------------------------------------------ descriptor */

/* Say one value as it stands there, if it does. */
static int say_fact(struct imgi_info *info, const struct vmdk_descriptor *descriptor,
                    const struct fact *fact, img_error *err)
{
    char *value;
    int rc = vmdk_descriptor_get(descriptor, fact->key, &value, err);

    if (rc == 0 && value)
        imgi_info_string(info, fact->name, value);
    free(value);
    return rc;
}

static int say_facts(struct imgi_info *info, const struct vmdk_descriptor *descriptor,
                     const struct fact *list, size_t count, img_error *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = say_fact(info, descriptor, &list[i], err);
    return rc;
}

static bool is_listed(const char *name, const struct fact *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(name, list[i].key) == 0)
            return true;
    }
    return false;
}

/* In the list that the first of them begins. */
static int say_other(struct imgi_info *info, const struct vmdk_descriptor *descriptor,
                     const struct vmdk_key *key, bool *begun, img_error *err)
{
    char *name = strndup(descriptor->text + key->name.start, key->name.length);
    char *value = strndup(descriptor->text + key->value.start, key->value.length);
    int rc = name && value ? 0 : imgi_fail_nomem(err, "a descriptor's value");

    if (rc == 0 && !is_listed(name, facts, IMGI_COUNT(facts)) &&
        !is_listed(name, geometry, IMGI_COUNT(geometry)) &&
        !is_listed(name, said, IMGI_COUNT(said))) {
        if (!*begun)
            imgi_info_list_begin(info, "other-keys");
        *begun = true;
        imgi_info_dict_begin(info, NULL);
        imgi_info_string(info, "key", name);
        imgi_info_string(info, "value", value);
        imgi_info_dict_end(info);
    }
    free(name);
    free(value);
    return rc;
}

static int say_descriptor(struct imgi_info *info, const struct vmdk_descriptor *descriptor,
                          img_error *err)
{
    int rc = say_facts(info, descriptor, facts, IMGI_COUNT(facts), err);
    bool begun = false;

    if (rc < 0)
        return rc;
    imgi_info_dict_begin(info, "geometry");
    rc = say_facts(info, descriptor, geometry, IMGI_COUNT(geometry), err);
    imgi_info_dict_end(info);
    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < descriptor->key_count; i++)
        rc = say_other(info, descriptor, &descriptor->keys[i], &begun, err);
    if (begun)
        imgi_info_list_end(info);
    return rc;
}

int vmdk_info(struct imgi_node *node, struct imgi_info *info, img_error *err)
{
    const struct vmdk_state *state = vmdk_state(node);
    const struct vmdk_descriptor *descriptor = &state->descriptor;

    imgi_info_uint(info, "cid", state->cid);
    imgi_info_uint(info, "parent-cid", state->parent_cid);
    imgi_info_string(info, "create-type", state->create_type);
    imgi_info_list_begin(info, "extents");
    for (size_t i = 0; i < state->extent_count; i++)
        say_extent(info, &state->extents[i],
                   i < descriptor->extent_count ? &descriptor->extents[i] : NULL);
    imgi_info_list_end(info);
    return say_descriptor(info, descriptor, err);
}

/*
 * What img info says of an image beyond its size. SPDX-License-Identifier: BSD-2-Clause
 */
#include "vmdk.h"

static void say_extent(struct imgi_info *info, const struct vmdk_extent *extent)
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
    /* qemu-img leaves it empty for an extent that was not found through a line. */
    imgi_info_string(info, "format",
                     extent->io && !extent->name ? "" : vmdk_type_name(extent->type));
    imgi_info_dict_end(info);
}

int vmdk_info(struct imgi_node *node, struct imgi_info *info, img_error *err)
{
    const struct vmdk_state *state = vmdk_state(node);

    (void)err;
    imgi_info_uint(info, "cid", state->cid);
    imgi_info_uint(info, "parent-cid", state->parent_cid);
    imgi_info_string(info, "create-type", state->create_type);
    imgi_info_list_begin(info, "extents");
    for (size_t i = 0; i < state->extent_count; i++)
        say_extent(info, &state->extents[i]);
    imgi_info_list_end(info);
    return 0;
}

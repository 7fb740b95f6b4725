/*
 * VDI: VirtualBox's disks. SPDX-License-Identifier: BSD-2-Clause
 *
 * Dynamic and static images can be written; differencing ones too, over a parent that the user
 * names, since the file does not.
 */
#include "vdi.h"

static int vdi_probe(const struct imgi_probe *probe)
{
    return imgi_get_le32(probe->head + VDI_OFF_SIGNATURE) == VDI_SIGNATURE ? 100 : 0;
}

/* The UUID of the parent's content stands in a child, which would not know it again. */
static int vdi_commit_begin(struct imgi_node *node, struct imgi_node *base, img_error *err)
{
    (void)node;
    (void)base;
    return imgi_fail(err, IMG_E_UNSUPPORTED,
                     "a differencing VDI image cannot be committed: convert it instead");
}

/* Nothing was begun. */
static int vdi_commit_end(struct imgi_node *node, struct imgi_node *base, img_error *err)
{
    (void)node;
    (void)base;
    (void)err;
    return 0;
}

const struct imgi_driver imgi_driver_vdi = {
    .name = "vdi",
    .state_size = sizeof(struct vdi_state),
    .create_options = vdi_create_options,
    .backing_typed = true,
    .probe = vdi_probe,
    .create = vdi_create,
    .open = vdi_open,
    .close = vdi_close,
    .begin_write = vdi_begin_write,
    .map = vdi_map,
    .reserve = vdi_reserve,
    .link = vdi_link,
    .cancel = vdi_cancel,
    .zero = vdi_zero,
    .discard = vdi_discard,
    .flush = vdi_flush,
    .reach = vdi_reach,
    .can_resize = vdi_can_resize,
    .resize = vdi_resize,
    .commit_begin = vdi_commit_begin,
    .commit_end = vdi_commit_end,
    .check = vdi_check,
    .measure = vdi_measure,
};

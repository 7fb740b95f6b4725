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
    .resize = vdi_resize,
    .check = vdi_check,
    .measure = vdi_measure,
};

/*
 * Cylinders, heads and sectors of a track. SPDX-License-Identifier: BSD-2-Clause
 *
 * Virtual PC, and with it QEMU, take the size of a disk from its geometry; others take what the
 * footer says. Who made the image decides ("CHS Calculation" of the specification, and QEMU's list
 * of programs).
 */
#include "disk.h"

/* The geometry that the specification calculates, which may hold less. */
static void calculate(uint64_t total, struct vhd_footer *footer)
{
    uint64_t track, heads = VHD_HEADS_MAX, tracks;

    if (total >= 65535u * 16 * 63) {
        track = VHD_TRACK_MAX;
        tracks = total / track;
    } else {
        track = 17;
        tracks = total / track;
        heads = IMGI_MAX(imgi_div_up(tracks, 1024), 4u);
        if (tracks >= heads * 1024 || heads > VHD_HEADS_MAX) {
            track = 31;
            heads = VHD_HEADS_MAX;
            tracks = total / track;
        }
        if (tracks >= heads * 1024) {
            track = 63;
            heads = VHD_HEADS_MAX;
            tracks = total / track;
        }
    }
    footer->cylinders = (uint16_t)(tracks / heads);
    footer->heads = (uint8_t)heads;
    footer->sectors = (uint8_t)track;
}

uint64_t vhd_geometry(uint64_t sectors, struct vhd_footer *footer)
{
    if (sectors >= VHD_GEOMETRY_MAX) {
        footer->cylinders = VHD_CYLINDERS_MAX;
        footer->heads = VHD_HEADS_MAX;
        footer->sectors = VHD_TRACK_MAX;
        return sectors;
    }
    for (uint64_t total = sectors;; total++) {
        calculate(total, footer);
        if (vhd_geometry_bytes(footer) >= sectors * VHD_SECTOR)
            return vhd_geometry_bytes(footer) / VHD_SECTOR;
    }
}

bool vhd_size_is_exact(const struct vhd_footer *footer)
{
    /* Disk2vhd, Hyper-V, XenServer and XenConverter, QEMU with force_size, Azure's tools. */
    static const char *const creators[] = {"win ", "qem2", "d2v ", "CTXS"};

    if (memcmp(footer->creator_app, "tap", 3) == 0 ||
        vhd_geometry_bytes(footer) == VHD_GEOMETRY_MAX * VHD_SECTOR)
        return true;
    for (size_t i = 0; i < IMGI_COUNT(creators); i++)
        if (memcmp(footer->creator_app, creators[i], sizeof(footer->creator_app)) == 0)
            return true;
    return false;
}

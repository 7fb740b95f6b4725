/*
 * The list of formats: one line each. SPDX-License-Identifier: BSD-2-Clause
 */
#include "driver.h"

extern const struct imgi_driver imgi_driver_bochs;
extern const struct imgi_driver imgi_driver_cloop;
extern const struct imgi_driver imgi_driver_dmg;
extern const struct imgi_driver imgi_driver_luks;
extern const struct imgi_driver imgi_driver_parallels;
extern const struct imgi_driver imgi_driver_qcow;
extern const struct imgi_driver imgi_driver_qcow2;
extern const struct imgi_driver imgi_driver_qed;
extern const struct imgi_driver imgi_driver_raw;
extern const struct imgi_driver imgi_driver_vdi;
extern const struct imgi_driver imgi_driver_vhd;
extern const struct imgi_driver imgi_driver_vhdx;
extern const struct imgi_driver imgi_driver_vmdk;

/* clang-format off */
const struct imgi_driver *const imgi_drivers[] = {
    &imgi_driver_bochs,
    &imgi_driver_cloop,
    &imgi_driver_dmg,
    &imgi_driver_luks,
    &imgi_driver_parallels,
    &imgi_driver_qcow,
    &imgi_driver_qcow2,
    &imgi_driver_qed,
    &imgi_driver_raw,
    &imgi_driver_vdi,
    &imgi_driver_vhd,
    &imgi_driver_vhdx,
    &imgi_driver_vmdk,
    NULL,
};
/* clang-format on */

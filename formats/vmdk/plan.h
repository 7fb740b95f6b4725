/*
 * What a new image is to be. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef VMDK_PLAN_H
#define VMDK_PLAN_H

#include "vmdk.h"

struct vmdk_subformat {
    const char *name;
    enum vmdk_type type; /* of the extents: SPARSE, FLAT, or VMFS */
    bool split, stream;
    bool thin;                   /* to be said in the disk database */
    enum imgi_prealloc prealloc; /* of flat extents */
};

/* "60 00 C2 9x ...", ended by NUL. */
#define VMDK_UUID_TEXT 48

/* The options, judged. */
struct vmdk_plan {
    struct imgi_create *create;
    const struct vmdk_subformat *subformat;
    uint64_t size, grain; /* bytes */
    const char *adapter, *hw_version, *tools_version;
    const char *name;          /* that the descriptor gives the image, without directories */
    char uuid[VMDK_UUID_TEXT]; /* empty: made from the rest */
    bool zeroed_grain;
    bool has_cid;
    uint32_t cid, parent_cid;
};

int vmdk_plan_make(struct imgi_create *create, struct vmdk_plan *plan, img_error *err);

#endif

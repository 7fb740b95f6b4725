/*
 * Making OVAs. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef IMGI_APPLIANCE_CREATE_H
#define IMGI_APPLIANCE_CREATE_H

#include "appliance.h"

/* The options of a new OVA (options.c). */
extern const struct imgi_opt imgi_ova_options[];

/* What they ask for. Strings belong to the options or are constant. */
struct imgi_ova_plan {
    struct imgi_ovf_new ovf; /* without its disks; strings as below */
    char hardware[16];       /* "vmx-13" */
    const char *hw_number;   /* the number in it */
    const char *adapter;     /* of the VMDK disks */
    char *name;              /* of the machine; malloc'd */
    char *stem;              /* what the names of all members begin with; malloc'd */
    enum imgi_hash hash;
    uint64_t mtime; /* of all members */
};

/* path: of the OVA. The plan is to be cleared, also when this fails. */
int imgi_ova_plan(struct imgi_ova_plan *plan, const img_options *options, const char *path,
                  size_t disks, img_error *err);
void imgi_ova_plan_clear(struct imgi_ova_plan *plan);

#endif

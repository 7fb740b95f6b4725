/*
 * What measuring an image shares with making one. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef VMDK_CREATE_H
#define VMDK_CREATE_H

#include "layout.h"
#include "plan.h"

/* The descriptor lies inside the one extent that it describes. */
static inline bool vmdk_plan_is_embedded(const struct vmdk_plan *plan)
{
    return plan->subformat->type == VMDK_TYPE_SPARSE && !plan->subformat->split;
}

/* The descriptor of a new image; to be freed. */
int vmdk_create_describe(const struct vmdk_plan *plan, struct imgi_text *descriptor,
                         img_error *err);

/*
 * The name of a file beside the main one: "-flat" or the like stands in front of the suffix. part:
 * from 1, or 0 when there is only one. To be freed, after a failure too.
 */
int vmdk_part_name(const char *name, enum vmdk_type type, unsigned part, struct imgi_text *file,
                   img_error *err);

#endif

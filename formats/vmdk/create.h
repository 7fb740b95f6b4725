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

#endif

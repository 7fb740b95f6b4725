/*
 * Which units of a file have an owner: a bitmap in pages, for images far larger than what they
 * hold. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef VMDK_SEEN_H
#define VMDK_SEEN_H

#include "driver.h"

struct vmdk_seen;

/* For units 0 to count - 1. No more memory than the policy allows for a table. NULL: error. */
struct vmdk_seen *vmdk_seen_new(uint64_t count, const struct img_policy *policy, img_error *err);
void vmdk_seen_free(struct vmdk_seen *seen); /* NULL is allowed */

/* Mark units, as far as there are any; *twice: one of them was marked already. */
int vmdk_seen_mark(struct vmdk_seen *seen, uint64_t first, uint64_t units, bool *twice,
                   img_error *err);
/* Whether any of the units is marked. */
bool vmdk_seen_test(const struct vmdk_seen *seen, uint64_t first, uint64_t units);

#endif

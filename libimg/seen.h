/*
 * Which units of a file have an owner: a bitmap in pages, for images far larger than what they
 * hold. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef IMGI_SEEN_H
#define IMGI_SEEN_H

#include "policy.h"

struct imgi_seen;

/* For units 0 to count - 1. No more memory than the policy allows for a table. NULL: error. */
struct imgi_seen *imgi_seen_new(uint64_t count, const struct img_policy *policy, img_error *err);
void imgi_seen_free(struct imgi_seen *seen); /* NULL is allowed */

/* Mark units, as far as there are any; *twice: one of them was marked already. */
int imgi_seen_mark(struct imgi_seen *seen, uint64_t first, uint64_t units, bool *twice,
                   img_error *err);
/* Whether any of the units is marked. */
bool imgi_seen_test(const struct imgi_seen *seen, uint64_t first, uint64_t units);

#endif

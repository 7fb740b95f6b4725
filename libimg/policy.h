/*
 * What an image may ask of its host: the one place that decides.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Drivers ask before they allocate or open anything because of a number or a
 * name that stands in a file.
 */
#ifndef IMGI_POLICY_H
#define IMGI_POLICY_H

#include "error.h"

struct img_policy {
    enum img_reach reach;
    bool probe;
    bool devices;
    uint64_t limits[4]; /* by enum img_limit */
};

/* The policy that stands for NULL. */
const struct img_policy *imgi_policy_default(void);

/*
 * A table read from a file is about to be held in memory: "L1 table", its place, its entries and
 * the bytes of each. Fails when the product overflows, is over the limit, when offset is no
 * multiple of alignment (0 or 1: any), or when it does not lie wholly inside a file of file_size
 * bytes.
 */
struct imgi_table {
    const char *what;
    uint64_t offset, entries, entry_size, alignment, file_size;
};
int imgi_policy_table(const struct img_policy *policy, const struct imgi_table *table,
                      img_error *err);

/* value must not be over the limit; what names it in the error. */
int imgi_policy_limit(const struct img_policy *policy, enum img_limit limit, uint64_t value,
                      const char *what, img_error *err);

/*
 * May the image in file `image` have the file it calls `name` opened? `role` is for the error
 * ("backing file", "extent"). On success *path is the name to open, relative to where the image
 * lies; the caller frees it. A name in an image is a plain path: "file:" in front is dropped, any
 * other "protocol:" and "json:" is refused in every mode.
 */
int imgi_policy_path(const struct img_policy *policy, const char *image, const char *role,
                     const char *name, char **path, img_error *err);

#endif

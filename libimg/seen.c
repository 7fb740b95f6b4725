/*
 * The bitmap of a check. SPDX-License-Identifier: BSD-2-Clause
 *
 * A page comes into being when the first of its units is marked.
 */
#include <stdlib.h>

#include "seen.h"

#include "util/checked.h"

#define PAGE_BYTES 4096u
#define PAGE_UNITS (8u * PAGE_BYTES)

struct imgi_seen {
    const struct img_policy *policy;
    uint64_t count, bytes; /* bytes: of all pages */
    uint8_t **pages;
};

struct imgi_seen *imgi_seen_new(uint64_t count, const struct img_policy *policy, img_error *err)
{
    struct imgi_seen *seen = calloc(1, sizeof(*seen));

    if (seen) {
        seen->policy = policy;
        seen->count = count;
        seen->pages = calloc((size_t)imgi_div_up(count, PAGE_UNITS) + 1, sizeof(*seen->pages));
    }
    if (!seen || !seen->pages) {
        free(seen);
        imgi_fail_nomem(err, "a bitmap");
        return NULL;
    }
    return seen;
}

void imgi_seen_free(struct imgi_seen *seen)
{
    if (!seen)
        return;
    for (uint64_t i = 0; i < imgi_div_up(seen->count, PAGE_UNITS); i++)
        free(seen->pages[i]);
    free(seen->pages);
    free(seen);
}

static int make_page(struct imgi_seen *seen, uint64_t page, img_error *err)
{
    int rc;

    if (seen->pages[page])
        return 0;
    seen->bytes += PAGE_BYTES;
    rc = imgi_policy_limit(seen->policy, IMG_LIMIT_TABLE_BYTES, seen->bytes, "the check's bitmap",
                           err);
    if (rc < 0)
        return rc;
    seen->pages[page] = calloc(1, PAGE_BYTES);
    return seen->pages[page] ? 0 : imgi_fail_nomem(err, "a bitmap");
}

int imgi_seen_mark(struct imgi_seen *seen, uint64_t first, uint64_t units, bool *twice,
                   img_error *err)
{
    *twice = false;
    for (uint64_t unit = first; unit < first + units && unit < seen->count; unit++) {
        uint64_t bit = unit % PAGE_UNITS;
        uint8_t mask = (uint8_t)(1u << bit % 8), *byte;
        int rc = make_page(seen, unit / PAGE_UNITS, err);

        if (rc < 0)
            return rc;
        byte = &seen->pages[unit / PAGE_UNITS][bit / 8];
        *twice = *twice || (*byte & mask);
        *byte = (uint8_t)(*byte | mask);
    }
    return 0;
}

bool imgi_seen_test(const struct imgi_seen *seen, uint64_t first, uint64_t units)
{
    for (uint64_t unit = first; unit < first + units && unit < seen->count; unit++) {
        const uint8_t *page = seen->pages[unit / PAGE_UNITS];
        uint64_t bit = unit % PAGE_UNITS;

        if (page && (page[bit / 8] >> bit % 8 & 1))
            return true;
    }
    return false;
}

/*
 * Space that a guest does not use, as it is being found. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef IMGI_FREE_SPACE_H
#define IMGI_FREE_SPACE_H

#include "guest.h"

struct imgi_free_range {
    uint64_t start, end;
};

/* What was found in one volume. Its strings are its own. */
struct imgi_free_finding {
    char *device, *content, *kept;
    uint64_t bytes;
};

struct img_free_space {
    uint64_t size;                  /* of the disk */
    struct imgi_free_range *ranges; /* once all are found: sorted, and none touches another */
    size_t count, room;
    size_t first; /* of the ranges that no finding has yet */
    struct imgi_free_finding *findings;
    size_t finding_count;
    uint64_t bytes;
};

/* Bytes of a volume that are not used. */
int imgi_free_space_add(img_free_space *space, uint64_t start, uint64_t end, img_error *err);
/* Forget what was added since the last finding. */
void imgi_free_space_forget(img_free_space *space);
/* That was all of a volume. kept: why all of it counts as used, or NULL. */
int imgi_free_space_note(img_free_space *space, const img_volume *volume, const char *kept,
                         img_error *err);
/* That was all of them. */
void imgi_free_space_merge(img_free_space *space);

#endif

/*
 * Space that a guest does not use, for commands that leave it out.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef FREE_SPACE_H
#define FREE_SPACE_H

#include "cmd.h"

/* What is wanted, and what was found. Zeroed to begin with; ended by free_space_clear. */
struct free_space {
    bool wanted, swap;
    const char **ignore; /* devices */
    size_t ignore_count;
    uint64_t sector_size; /* of the disk; 0: found by a look */
    const char **drop;    /* devices */
    size_t drop_count;
    const char *otherwise; /* how to copy an image that is in use, or NULL */
    img_free_space *found; /* NULL: nobody has looked */
};

/* Take --ignore. */
bool free_space_ignore(struct cli *cli, struct free_space *space, const char *device);
/* Take --zero. */
bool free_space_drop(struct cli *cli, struct free_space *space, const char *device);
/* Look for it, if it is wanted, and give it to the job. The image is open and nobody uses it. */
bool free_space_find(struct cli *cli, struct free_space *space, img_image *image, img_job *job);
/* Members of a JSON object: what was found, and where. */
void free_space_emit(struct emit *emit, const struct free_space *space);
void free_space_clear(struct free_space *space);

#endif

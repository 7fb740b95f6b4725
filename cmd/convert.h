/*
 * The parts of img convert. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CMD_CONVERT_H
#define CMD_CONVERT_H

#include "free_space.h"

/* What the command line asks for. */
struct convert_args {
    struct open_args source, target; /* target.format is NULL with image_opts only */
    char *const *sources;            /* the names */
    size_t source_count;
    const char *filename;       /* the target's name */
    struct option_list options; /* of the new image */
    const char *backing, *backing_format;
    const char *snapshot;
    struct progress progress;
    struct free_space free_space; /* of the source, which is the only one */
    uint64_t sparse, rate;
    unsigned threads;
    unsigned flags; /* of the job */
    bool has_sparse, has_backing, no_create, offload;
    bool bitmaps, skip_broken; /* copy the bitmaps too; but those that cannot be relied on */
    bool source_format;        /* the target gets that of the first source */
    bool no_report;            /* the caller tells of the result */
};

struct conversion {
    struct cli *cli;
    struct convert_args *args;
    img_image **sources;
    img_image *target;
    uint64_t total; /* bytes of all sources */
};

/* Take -m. */
bool convert_take_threads(struct cli *cli, struct convert_args *args, const char *value);

/* Do it: open, create, copy, publish. What was begun is undone when it fails. */
bool convert_images(struct cli *cli, struct convert_args *args);

/* Copy sources into target, as the arguments say, and show the progress. */
bool convert_copy(struct conversion *conversion, img_job *job, img_image *const *sources,
                  size_t count, img_image *target);
/* Make an OVA of the sources, each one disk of it. */
bool convert_appliance(struct conversion *conversion, img_job *job);

/* Bitmaps are asked for: the source has them, and they can be relied on. */
bool convert_check_bitmaps(struct cli *cli, const struct convert_args *args, img_image *source);
/* The target can take them. */
bool convert_target_bitmaps(struct cli *cli, const struct convert_args *args, img_image *target);
bool convert_copy_bitmaps(struct cli *cli, const struct convert_args *args, img_image *source,
                          img_image *target);

#endif

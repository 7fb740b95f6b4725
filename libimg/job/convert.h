/*
 * What the parts of a conversion share. SPDX-License-Identifier: BSD-2-Clause
 *
 * convert.c decides how and runs the ring, convert_plan.c cuts the sources into pieces,
 * convert_move.c moves a piece's bytes.
 */
#ifndef IMGI_CONVERT_H
#define IMGI_CONVERT_H

#include "behind.h"
#include "job.h"

/* Guest bytes in one piece, if clusters are not larger. */
#define PIECE_BYTES (512u << 10)
/* Memory for all pieces together, whatever the image and -m. There are no more packers than pieces,
 * and each may take twice a 2 MiB piece's memory again: the whole stays below 64 MiB. */
#define MEMORY_BYTES (18u << 20)
/* Zeros are looked for in units of this at least: what a filesystem can leave out. */
#define UNIT_MIN 4096u
/* A shared (reflinked) piece holds no data in memory; it may be this long, or this many clusters.
 */
#define SHARE_BYTES (256u << 20)
#define SHARE_CLUSTERS 1024u
/* The smallest run in which any format may cut a piece. */
#define SECTOR 512u
/* How far into the source's map a run is looked for to try sharing with. */
#define SHARE_LOOKS 256
/* Filesystems share whole blocks only. */
#define SHARE_ALIGN 4096u

enum segment_kind { SEGMENT_DATA, SEGMENT_ZERO, SEGMENT_PACKED };

/* A part of a piece that is stored in one way. */
struct segment {
    enum segment_kind kind;
    uint64_t offset, length; /* guest bytes */
    uint8_t *bytes;          /* as they are stored, if they are not encrypted */
    size_t stored;           /* their number */
};

/* Bytes that have their place in the target and must be written there. */
struct placed {
    struct imgi_io *io;
    uint64_t guest, host;
    uint8_t *bytes; /* the piece's own: may be encrypted where they are; NULL: shared */
    uint64_t length;
    uint64_t source; /* a shared piece: byte of the source's file */
};

enum piece_kind { PIECE_DATA, PIECE_ZERO, PIECE_SHARE };

struct piece {
    enum piece_kind kind;
    uint64_t offset, length;
    struct imgi_io *share_io; /* PIECE_SHARE: where it lies in the source */
    uint64_t share_host;
    uint8_t *buffer, *packed; /* packed: NULL when nothing is compressed */
    struct segment *segments;
    struct placed *placed;
    size_t segment_count, placed_count;
};

struct convert {
    img_job *job;
    img_image *const *sources;
    size_t source_count;
    struct imgi_node *target;
    uint64_t total; /* bytes of all sources */

    /* Decided at the start. */
    uint32_t unit;        /* pieces and zeros come in multiples of it */
    uint32_t piece;       /* bytes in a piece */
    size_t packed_room;   /* for one packed cluster; 0: nothing is compressed */
    uint64_t sparse;      /* shortest run of zeros that is left out; 0: none is */
    bool blank;           /* the target reads as zeros: see convert.c */
    bool ordered;         /* the target is a pipe: bytes are written in the order of their places */
    bool direct;          /* its clusters get their places one piece after the other: likewise */
    uint64_t share_limit; /* longest piece to share (reflink); 0: blocks cannot be shared */
    bool skip_absent; /* what the topmost source does not have is left to the target's backing image
                       */

    uint64_t next; /* the planner's: where the next piece begins */
    struct imgi_behind behind;
};

/* What one thread needs. */
struct thread {
    struct imgi_scratch *scratch; /* for each source */
    size_t source_count;
    struct imgi_packer *packer;
};

/* ---------------------------------------------------------------- convert_plan.c */

/* What the sources have at offset. The run's offset stays the source's own. */
int imgi_convert_map(const struct convert *convert, uint64_t offset, uint64_t length,
                     struct imgi_layer_run *run, img_error *err);
/* Which source holds the byte at *offset, which becomes relative to it. */
size_t imgi_convert_source(const struct convert *convert, uint64_t *offset);
/* Whether a run can be shared: plain data on a block border. */
bool imgi_convert_can_share(const struct imgi_layer_run *run);

/* Everything before offset was read: sources that are pipes need not keep it. */
int imgi_convert_pass(const struct convert *convert, uint64_t offset, img_error *err);

/* Steps of the ring (ring.h). */
int imgi_convert_plan(void *context, void *piece, bool *more, img_error *err);

/* ---------------------------------------------------------------- convert_move.c */

int imgi_convert_prepare(void *context, void *thread, void *piece, img_error *err);
int imgi_convert_commit(void *context, void *piece, img_error *err);
int imgi_convert_finish(void *context, void *thread, void *piece, img_error *err);

#endif

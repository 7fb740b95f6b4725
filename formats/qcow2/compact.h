/*
 * What the parts of compacting share. SPDX-License-Identifier: BSD-2-Clause
 *
 * Clusters at the file's end move into the lowest holes, and the file is cut off behind what is
 * left. That is done in batches. A batch looks at a window of clusters that ends with the last one
 * in use, finds out what each of them holds, chooses new places from the clusters that are free on
 * disk when the batch begins, and then goes in this order ("->": the file is flushed):
 *
 *   content of all that moves -> refcounts of the new places -> refcount blocks, refcount table ->
 *   entries of L2 tables -> entries of L1 tables and of tables of bitmaps -> snapshot table,
 *   directory of bitmaps -> header -> refcounts of the old places, and the end of the file
 *
 * Every entry that changes is 8 bytes which lead to the same content before and afterwards, so a
 * crash anywhere leaves the image as it was but for lost space.
 *
 * Parts: compact.c (batches), compact_look.c (what clusters hold), compact_plan.c (where they go),
 * compact_move.c (moving them).
 */
#ifndef QCOW2_COMPACT_H
#define QCOW2_COMPACT_H

#include "bitmap.h"
#include "snapshot.h"

/* An L2 table, of the disk or of snapshots. */
struct qcow2_compact_l2 {
    uint64_t offset;
    uint64_t references; /* in L1 tables */
};

/* A table in clusters that lie side by side and move together. */
struct qcow2_compact_run {
    uint64_t cluster, count;
};

/* A compressed cluster. Those of a host cluster that overlap keep their distance. */
struct qcow2_compact_stream {
    uint64_t host, length; /* as the L2 entry says it */
    uint64_t references;   /* in L2 tables, times references to these */
    uint64_t to;           /* the new place of its first byte; 0: it stays */
};

/* What a cluster holds. */
enum qcow2_compact_kind {
    QCOW2_COMPACT_NOTHING, /* that is known */
    QCOW2_COMPACT_DATA,
    QCOW2_COMPACT_STREAM, /* compressed clusters, or parts of them */
    QCOW2_COMPACT_BITS,   /* of a bitmap */
    QCOW2_COMPACT_L2,
    QCOW2_COMPACT_REFBLOCK,
    QCOW2_COMPACT_RUN
};

struct qcow2_compacting {
    struct qcow2 *q;
    struct imgi_compacter *compacter;

    /* Since the last change of the image. */
    uint64_t file_size;
    struct qcow2_snapshots snapshots;
    struct qcow2_compact_l2 *l2; /* by offset */
    size_t l2_count, l2_room;
    struct qcow2_compact_run *runs;
    size_t run_count, run_room;

    /* The batch. The window is the clusters base..end. */
    uint64_t base, end;
    uint8_t *kinds; /* by cluster of the window: enum qcow2_compact_kind */
    uint64_t *to;   /* likewise: its new place; 0: it stays, or holds streams */
    struct qcow2_compact_stream *streams; /* that begin in the window, by host and length */
    size_t stream_count, stream_room;
    struct qcow2_counts gained, lost; /* references, of each host cluster */
    uint64_t bytes;                   /* of the clusters that move */

    uint8_t *buffer; /* QCOW2_COMPACT_BUFFER bytes */
};

#define QCOW2_COMPACT_BUFFER QCOW2_CLUSTER_MAX

/* compact_look.c */

/* Find all tables. Fails when something else could be in one of them. */
int qcow2_compact_find_tables(struct qcow2_compacting *c, img_error *err);
void qcow2_compact_forget_tables(struct qcow2_compacting *c);
/* Find out what the clusters of the window hold: kinds and streams. */
int qcow2_compact_look(struct qcow2_compacting *c, img_error *err);
/* The stream of a compressed cluster; NULL: it does not begin in the window. */
struct qcow2_compact_stream *qcow2_compact_stream(const struct qcow2_compacting *c,
                                                  const struct qcow2_packed *packed);
/* What an entry of a table is to be; the same if nothing is to change. */
typedef int qcow2_compact_fn(struct qcow2_compacting *c, uint64_t *entry, void *opaque,
                             img_error *err);
/*
 * Go through the entries of a table at `offset` of the file that is count * stride bytes long, and
 * write those that change.
 */
int qcow2_compact_each(struct qcow2_compacting *c, struct imgi_table table, qcow2_compact_fn *fn,
                       void *opaque, img_error *err);

/* compact_plan.c: choose places: to, streams[].to, gained, lost and bytes. */
int qcow2_compact_plan(struct qcow2_compacting *c, img_error *err);

/* compact_move.c */

/* Copy everything that moves; nothing refers to the copies. */
int qcow2_compact_copy(struct qcow2_compacting *c, img_error *err);
/* Make everything refer to them. After a failure it is not known what is on disk. */
int qcow2_compact_switch(struct qcow2_compacting *c, img_error *err);

#endif

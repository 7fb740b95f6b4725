/*
 * What the parts of the snapshot code share. SPDX-License-Identifier: BSD-2-Clause
 *
 * Creating, applying and deleting a snapshot each change many tables: refcounts of everything the
 * disk holds, COPIED flags, L1 tables, the snapshot table. All that changes is written to clusters
 * that are free, and then one write to the header, of the 48 bytes from the disk's size to the
 * snapshot table's place, makes it the image. Before that write the image on disk is what it was,
 * to the last refcount; after it, it is the new one. So a crash neither loses nor leaks anything.
 *
 * Parts: snapshot.c (the table), snapshot_change.c (which clusters gain and lose references, and
 * whether they can), snapshot_place.c (where the new tables go), snapshot_write.c (writing them,
 * and the switch), snapshots.c (the operations);
 * and, for check and amend, snapshot_table.c (the same snapshots in another table).
 */
#ifndef QCOW2_SNAPSHOT_H
#define QCOW2_SNAPSHOT_H

#include "check.h"

/* The image that is to be, and how it differs from the one that is. */
struct qcow2_change {
    struct qcow2 *q;

    /* The image that is to be: set by the operation. */
    uint64_t size;                        /* of its disk */
    struct qcow2_table l1;                /* of its disk; the COPIED flags come later */
    struct qcow2_snapshots *snapshots;    /* its snapshots; bytes: of the old table */
    const struct qcow2_snapshot *dropped; /* the one whose L1 table is no longer needed, or NULL */
    bool l1_given;                        /* the disk's old L1 table becomes a snapshot's */

    struct qcow2_counts gained, lost; /* references, of each host cluster */
    uint64_t blocks;                  /* entries of the refcount table that may come into use */
    uint64_t counted;                 /* clusters that the image's own refcount blocks reach */
    uint8_t *touched;                 /* by block: it counts what gains or loses */

    uint64_t *new_l2;    /* by L1 entry: the cluster of its new L2 table; 0: it keeps the old one */
    uint64_t *new_block; /* by block: the cluster of the new one; 0: it keeps the old one */
    struct qcow2_table reftable;
    uint64_t table_offset; /* of the snapshot table */

    uint64_t hint;    /* every cluster below is in use */
    uint64_t *placed; /* clusters that were given an owner, to be taken back after a failure */
    size_t placed_count, placed_room;
    struct qcow2_frees freed; /* what goes back to the host */

    uint8_t *block; /* the refcount block that was looked at last, NULL: there is none */
    uint64_t block_index;
    bool block_known;
};

/* ------------------------------------------------------------------- snapshot_change.c */

/* Begin: what the operation sets is set, nothing is in memory that is not on disk. */
int qcow2_change_begin(struct qcow2_change *change, img_error *err);
/* Frees all that the change holds, l1 too, but neither snapshots nor dropped. */
void qcow2_change_end(struct qcow2_change *change);
/* `number` references more, in gained or lost, to each cluster of a run. */
int qcow2_change_add(struct qcow2_change *change, struct qcow2_counts *counts, uint64_t cluster,
                     uint64_t count, uint64_t number, img_error *err);
/* One reference more, in gained or lost, to all that an L1 table leads to. */
int qcow2_change_tree(struct qcow2_change *change, struct qcow2_counts *counts,
                      const struct qcow2_table *l1, img_error *err);
/* The tables that are replaced as a whole are lost. */
int qcow2_change_drop_old(struct qcow2_change *change, img_error *err);
/* The refcount that a cluster has, and the one that it is to have. */
int qcow2_change_refcount(struct qcow2_change *change, uint64_t cluster, uint64_t *old,
                          uint64_t *next, img_error *err);
/*
 * Find the COPIED flags of an L2 table in memory that will be wrong: *wrong says whether there are
 * any. write: set them right. Fails when it leads to what is not counted.
 */
int qcow2_change_flags(struct qcow2_change *change, uint8_t *table, bool write, bool *wrong,
                       img_error *err);
/* Find the L2 tables of the new L1 table that have such flags: new_l2 is not 0 where they are to be
 * replaced. */
int qcow2_change_choose(struct qcow2_change *change, img_error *err);
/* The clusters can gain and lose what they are to. */
int qcow2_change_verify_cluster(struct qcow2_change *change, uint64_t cluster, img_error *err);
int qcow2_change_verify(struct qcow2_change *change, img_error *err);

/* -------------------------------------------------------------------- snapshot_place.c */

/* Find room for everything new. */
int qcow2_change_place(struct qcow2_change *change, img_error *err);
/* The clusters that were given out are free again. */
void qcow2_change_unplace(struct qcow2_change *change);

/* -------------------------------------------------------------------- snapshot_write.c */

/* Write everything and switch to it, on disk and in memory. */
int qcow2_change_write(struct qcow2_change *change, img_error *err);

/* -------------------------------------------------------------------------- snapshot.c */

/* The bytes of the table; IMG_E_LIMIT when it is too large. */
int qcow2_snapshots_size(const struct qcow2_snapshots *snapshots, uint64_t *bytes, img_error *err);
void qcow2_snapshots_encode(const struct qcow2_snapshots *snapshots, uint8_t *to);

/* -------------------------------------------------------------------- snapshot_table.c */

/*
 * Write these snapshots, which were read from the table that the image has, to a new one, flushed,
 * and free the old one.
 */
int qcow2_snapshots_replace(struct qcow2 *q, const struct qcow2_snapshots *snapshots,
                            img_error *err);

#endif

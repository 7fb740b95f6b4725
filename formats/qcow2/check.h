/*
 * What the parts of the check share. SPDX-License-Identifier: BSD-2-Clause
 *
 * Parts, in the order in which they work:
 *   check.c          a check, and a repair with the check that follows it
 *   check_count.c    counts the references in all metadata but L2 tables
 *   check_walk.c     counts those in L2 tables
 *   counts.c         holds the counts, in little memory
 *   check_compare.c  compares them with the image's refcounts, and mends these in place
 *   rebuild.c        makes new refcount structures where that cannot be done
 *   check_copied.c   compares COPIED flags with refcounts, and mends them
 *   check_snapshots.c  checks the snapshot table, and writes it anew
 */
#ifndef QCOW2_CHECK_H
#define QCOW2_CHECK_H

#include "qcow2.h"

/* ---------------------------------------------------------------------- counts.c */

#define QCOW2_COUNTS_PAGE_BITS 12

/* Numbers of 2^order bits for 2^QCOW2_COUNTS_PAGE_BITS clusters; data NULL: all are 0. */
struct qcow2_counts_page {
    uint64_t *data;
    unsigned order;
};

/*
 * A number for every host cluster. Pages appear where something is counted and hold one bit a
 * cluster until a higher number asks for more, up to 32 bits: an image of 16 TiB in clusters of
 * 64 KiB needs 32 MiB when all of it is in use.
 */
struct qcow2_counts {
    struct qcow2_counts_page *pages;
    uint64_t clusters;
};
int qcow2_counts_new(struct qcow2_counts *counts, uint64_t clusters,
                     const struct img_policy *policy, img_error *err);
/* Make room for more clusters. */
int qcow2_counts_grow(struct qcow2_counts *counts, uint64_t clusters, img_error *err);
void qcow2_counts_free(struct qcow2_counts *counts);
/* 0 past the end. */
uint64_t qcow2_counts_get(const struct qcow2_counts *counts, uint64_t cluster);
/* Adds to `count` clusters, which exist, staying at the highest number there is. */
int qcow2_counts_add(struct qcow2_counts *counts, uint64_t cluster, uint64_t count, uint64_t number,
                     img_error *err);
/* Subtracts 1 unless that is not possible. */
void qcow2_counts_drop(struct qcow2_counts *counts, uint64_t cluster);
void qcow2_counts_clear(struct qcow2_counts *counts, uint64_t cluster);
/* Whether none of the clusters in the page of this one has been counted. */
bool qcow2_counts_empty(const struct qcow2_counts *counts, uint64_t cluster);
/* The counts of 64 clusters from this multiple of 64 on, as bits; false when one is above 1. */
bool qcow2_counts_bits(const struct qcow2_counts *counts, uint64_t cluster, uint64_t *bits);
/* The first of `count` clusters in a row, at `from` or behind it, that are not counted. */
uint64_t qcow2_counts_free_run(const struct qcow2_counts *counts, uint64_t from, uint64_t count);

/* ----------------------------------------------------------------------- the check */

struct qcow2_checking {
    struct qcow2 *q;
    struct imgi_checker *checker;
    enum imgi_repair repair; /* of this pass */
    uint64_t file_size;
    uint64_t clusters;             /* of the file, the last of which may be cut short */
    struct qcow2_counts counts;    /* references to each host cluster */
    struct qcow2_counts tables;    /* references to L2 tables in L1 tables */
    struct qcow2_counts walked;    /* L2 tables that were walked */
    struct qcow2_counts unsettled; /* L2 tables with entries that may be mended */
    struct qcow2_snapshots snapshots;
    uint32_t *l1_uses; /* by snapshot: how many have the same L1 table; 0: an earlier one tells */
    uint64_t bitmap_tables; /* bytes of the tables of bitmaps that were read */
    uint64_t steps;         /* of whatever takes time, since it began */
    uint8_t *window;        /* L2 tables that lie side by side */
    uint64_t window_offset;
    size_t window_bytes;
    uint64_t block_index; /* the refcount block that was looked at last; */
    uint8_t *block;       /* NULL: none. Valid until the refcount cache is asked again */
    bool rebuild;         /* the refcounts cannot be mended where they are */
    bool incomplete;      /* something could not be read: nobody knows what may be freed */
    img_error unread;     /* why a refcount block could not be read */
    bool new_snapshots;   /* the snapshot table is to be written anew */
    bool mended;
    uint64_t reftable_counted;   /* bytes of the refcount table that were counted */
    uint64_t refcount_faults;    /* corruptions that are those of refcounts and their blocks */
    uint64_t said[4], unsaid[4]; /* findings by kind: told one by one, and only counted */
};

/* check.c */

/* Count a finding, and say it unless there were very many of its kind before. */
void qcow2_found(struct qcow2_checking *c, enum imgi_finding kind, const char *format, ...)
    IMG_PRINTF(3, 4);
/*
 * A corruption that this check mends if `mend` says so: "ERROR ..." or "Repairing ...". Returns
 * mend.
 */
bool qcow2_found_mendable(struct qcow2_checking *c, bool mend, const char *format, ...)
    IMG_PRINTF(3, 4);

/*
 * A step of a loop whose length the image decides: now and then, look whether the user wants to
 * stop (IMG_E_CANCELLED).
 */
int qcow2_check_step(struct qcow2_checking *c, img_error *err);

/* check_count.c */

/*
 * `number` references to all clusters that the bytes touch. Past the end of the file: a
 * corruption.
 */
int qcow2_count_bytes(struct qcow2_checking *c, uint64_t offset, uint64_t bytes, uint64_t number,
                      img_error *err);
/* The same for a table: a corruption too when the file ends inside it. *whole: it can be read. */
int qcow2_count_table(struct qcow2_checking *c, uint64_t offset, uint64_t bytes, uint64_t number,
                      bool *whole, img_error *err);
/* Count everything. */
int qcow2_check_count(struct qcow2_checking *c, img_error *err);
/* The block that a refcount table entry leads to, 0 if it cannot be read. */
uint64_t qcow2_block_of(const struct qcow2_checking *c, uint64_t entry);
/* The bytes of the refcount table that lie in the file. */
uint64_t qcow2_reftable_bytes(const struct qcow2_checking *c);

/* check_walk.c */

/* Bytes of L2 tables that are read at once; at least one of them. */
#define QCOW2_CHECK_WINDOW QCOW2_CLUSTER_MAX

/* The first entry of an L2 table from index on that is not all zeros; their number if all are. */
static inline uint64_t qcow2_check_skip_empty(const struct qcow2 *q, const uint8_t *table,
                                              uint64_t index)
{
    uint64_t entries = qcow2_l2_entries(q), words = q->l2_entry_bytes / sizeof(uint64_t), word = 0;
    uint64_t i = index * words;

    while (i < entries * words) {
        memcpy(&word, table + i * sizeof(word), sizeof(word));
        if (word != 0)
            break;
        i++;
    }
    return i / words;
}
/* The L2 table of an L1 entry, 0 if it leads to none. say: tell what is wrong with the entry. */
uint64_t qcow2_check_l2_of(struct qcow2_checking *c, uint64_t entry, bool say);
/*
 * The L2 table of the index-th entry, which lies in the file; NULL: it could not be read, which has
 * been said. Valid until the next call.
 */
uint8_t *qcow2_check_l2_read(struct qcow2_checking *c, const struct qcow2_table *l1,
                             uint64_t index);
/* Count L1 tables, and note which L2 tables there are. */
int qcow2_check_l1_tables(struct qcow2_checking *c, img_error *err);
/* Count what L2 tables lead to. */
int qcow2_check_walk(struct qcow2_checking *c, img_error *err);
/* When all is counted: whether a cluster is an L2 table and nothing else, so that it may be
 * changed. */
bool qcow2_check_is_table(const struct qcow2_checking *c, uint64_t cluster);
/* When all is counted: mend the entries that wait for this. */
int qcow2_check_settle(struct qcow2_checking *c, img_error *err);

/* check_compare.c */

/* The refcount that the image has for a cluster; false when that cannot be found out. */
bool qcow2_stored_refcount(struct qcow2_checking *c, uint64_t cluster, uint64_t *value);
/* How many of `count` clusters have refcount 1 before the first that has not, or more than these.
 */
uint64_t qcow2_stored_ones(struct qcow2_checking *c, uint64_t cluster, uint64_t count);
int qcow2_check_compare(struct qcow2_checking *c, img_error *err);
/*
 * Make refcounts what they should be, as far as this repair does that. rebuilt: what is too high is
 * the old refcount structures, which nobody asked about.
 */
int qcow2_check_mend(struct qcow2_checking *c, bool rebuilt, img_error *err);

/* rebuild.c: new refcount structures from the counts; the old ones are leaks afterwards. */
int qcow2_check_rebuild(struct qcow2_checking *c, img_error *err);

/* check_snapshots.c */

/* Load the snapshot table, check and count it. */
int qcow2_check_count_snapshots(struct qcow2_checking *c, img_error *err);
/*
 * Find out which snapshots have the same L1 table, so that it is gone through once for all of them:
 * l1_uses. Tables that overlap so much that this would take too long are left out, and told of.
 */
int qcow2_check_same_l1(struct qcow2_checking *c, img_error *err);
/* Last of all: write it anew if that was found to be necessary. */
int qcow2_check_mend_snapshots(struct qcow2_checking *c, img_error *err);

/* check_copied.c */
int qcow2_check_copied(struct qcow2_checking *c, img_error *err);

#endif

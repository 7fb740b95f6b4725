/*
 * What the parts of the check share. SPDX-License-Identifier: BSD-2-Clause
 *
 * Parts: counts.c (references, counted in little memory), check_walk.c (L1 and L2 tables),
 * check.c (all other metadata, and the comparison of what was counted with the image's
 * refcounts).
 */
#ifndef QCOW2_CHECK_H
#define QCOW2_CHECK_H

#include "qcow2.h"

/* ---------------------------------------------------------------------- counts.c */

#define QCOW2_COUNTS_PAGE_BITS 12

/* Numbers of 2^order bits for 2^QCOW2_COUNTS_PAGE_BITS clusters; data NULL: all are 0. */
struct qcow2_counts_page {
    uint8_t *data;
    unsigned order;
};

/*
 * A number for every host cluster. Pages appear where something is counted and hold 2 bits a
 * cluster until a higher number asks for more, up to 32 bits: an image of 16 TiB in clusters of
 * 64 KiB needs 64 MiB when all of it is in use.
 */
struct qcow2_counts {
    struct qcow2_counts_page *pages;
    uint64_t clusters;
};
int qcow2_counts_new(struct qcow2_counts *counts, uint64_t clusters,
                     const struct img_policy *policy, img_error *err);
void qcow2_counts_free(struct qcow2_counts *counts);
/* 0 past the end. */
uint64_t qcow2_counts_get(const struct qcow2_counts *counts, uint64_t cluster);
/* Adds, staying at the highest number there is. */
int qcow2_counts_add(struct qcow2_counts *counts, uint64_t cluster, uint64_t number,
                     img_error *err);
void qcow2_counts_clear(struct qcow2_counts *counts, uint64_t cluster);
/* Whether none of the clusters in the page of this one has been counted. */
bool qcow2_counts_empty(const struct qcow2_counts *counts, uint64_t cluster);

/* ----------------------------------------------------------------------- the check */

struct qcow2_checking {
    struct qcow2 *q;
    struct imgi_checker *checker;
    uint64_t file_size;
    uint64_t clusters;           /* of the file, the last of which may be cut short */
    struct qcow2_counts counts;  /* references to each host cluster */
    struct qcow2_counts tables;  /* references to L2 tables that have not been walked yet */
    uint8_t *table;              /* room for one L2 table */
    uint64_t block_index;        /* the refcount block that was looked at last; */
    uint8_t *block;              /* NULL: none. Valid until the refcount cache is asked again */
    uint64_t said[3], unsaid[3]; /* findings by kind: told one by one, and only counted */
};

/* Count a finding, and say it unless there were very many of its kind before. */
void qcow2_found(struct qcow2_checking *c, enum imgi_finding kind, const char *format, ...)
    IMG_PRINTF(3, 4);
/*
 * `number` references to all clusters that the bytes touch. Past the end of the file: a
 * corruption.
 */
int qcow2_count_bytes(struct qcow2_checking *c, uint64_t offset, uint64_t bytes, uint64_t number,
                      img_error *err);
/* The same for a table: a corruption too when the file ends inside it. *whole: it can be read. */
int qcow2_count_table(struct qcow2_checking *c, uint64_t offset, uint64_t bytes, bool *whole,
                      img_error *err);
/* The refcount that the image has for a cluster; false when that cannot be found out. */
bool qcow2_stored_refcount(struct qcow2_checking *c, uint64_t cluster, uint64_t *value);
/* A refcount table entry that leads to a block. */
bool qcow2_block_usable(const struct qcow2_checking *c, uint64_t entry);
/* check_walk.c: count what all L1 tables lead to. */
int qcow2_check_walk(struct qcow2_checking *c, const struct qcow2_snapshots *snapshots,
                     img_error *err);

#endif

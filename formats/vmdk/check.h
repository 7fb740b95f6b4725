/*
 * What the parts of check share: one sparse extent on its way through a check, or a repair.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One pass goes through the extent in this order: places of tables (check_overlaid.c,
 * check_tables.c), entries of tables (check_grains.c), space that nothing names (check_leaks.c).
 * With `mend` each step puts right what it can before the next one looks.
 *
 * A repair does not change what a readable part of the disk reads as. Of two copies of an entry the
 * one that readers use counts as long as what it says is possible, and to say that there is nothing
 * is possible; where neither is possible nothing is changed, so that the fault goes on being
 * noticed. There is one exception: a primary table that as a whole is empty, or noise, or that its
 * directory does not name, is lost, and a repair of everything takes the grains that its copy
 * names. A machine that stopped between the writing of the two leaves the same; the grains were
 * written then, only not flushed, so they may be there or not.
 */
#ifndef VMDK_CHECK_H
#define VMDK_CHECK_H

#include "vmdk.h"

struct vmdk_checking {
    struct imgi_node *node;
    struct vmdk_sparse *sparse;
    uint64_t offset; /* of the extent in the disk */
    struct imgi_checker *checker;
    const char *file; /* its name, for messages */
    bool mend;        /* everything */
    bool free_leaks;

    uint64_t file_size;
    uint8_t *rgd;               /* the redundant directory, or NULL */
    uint64_t first;             /* byte where grains may begin */
    uint64_t unit;              /* bytes that one bit of `grains` stands for */
    struct imgi_seen *grains;   /* in units from `first` on */
    struct imgi_seen *metadata; /* in sectors: header, descriptor, directories, tables */
    struct imgi_seen
        *settled;          /* by number, grains of which an earlier round has judged the copies */
    uint64_t metadata_end; /* byte behind the last of them */
    uint64_t end;          /* byte behind the last table or grain */
    uint64_t corruptions;  /* of this pass */
    uint64_t *spoiled;     /* as vmdk_walk_stream has it */
    bool overlaid;         /* tables lie in grains: nothing may be written to them */
    bool differing;        /* there are tables that are not like their copies */
    bool lost;             /* only a redundant copy names some grains, and a repair would */
};

/* Both copies of one table. */
struct vmdk_tables {
    uint64_t index;
    uint8_t *primary, *redundant; /* as on disk; redundant is NULL when there is none */
    uint64_t primary_host, redundant_host;
    bool primary_changed, redundant_changed;
};

/* A corruption of this extent. */
void vmdk_corrupt(struct vmdk_checking *check, const char *format, ...) IMG_PRINTF(2, 3);

/* ----------------------------------------------------------- check_overlaid.c */

/* In a repair: is no table where grains are? Those that are get another place, with `mend`. */
int vmdk_check_overlaid(struct vmdk_checking *check, img_error *err);

/* ------------------------------------------------------------- check_tables.c */

/* Every table lies where a table may, alone. Marks all metadata. */
int vmdk_check_tables(struct vmdk_checking *check, img_error *err);
/* The place of a table; false when a directory names none, or one that cannot be. */
bool vmdk_table_place(const struct vmdk_checking *check, const uint8_t *directory, uint64_t index,
                      uint64_t *host);

/* ------------------------------------------------------------- check_grains.c */

/* Every grain lies where a grain may, alone, and both copies of its table say so. */
int vmdk_check_grains(struct vmdk_checking *check, img_error *err);

/* ------------------------------------------------------------- check_mend.c */

/*
 * Append a table to the file, with the content of the one at `from`, or with 0 an empty one; when
 * it is on disk one copy of the directory names it.
 */
int vmdk_mend_add_table(struct vmdk_checking *check, bool redundant, uint64_t index, uint64_t from,
                        img_error *err);
/* Name a table in one copy of the directory. */
int vmdk_mend_directory(struct vmdk_checking *check, bool redundant, uint64_t index, uint64_t host,
                        img_error *err);
/* Copy a grain to the end of the file. *sector: where it lies then. */
int vmdk_mend_copy_grain(struct vmdk_checking *check, uint32_t from, uint32_t *sector,
                         img_error *err);
/* Write what has changed of both copies, once what they name is on disk. */
int vmdk_mend_tables(struct vmdk_checking *check, struct vmdk_tables *tables, img_error *err);

/* -------------------------------------------------------------- check_leaks.c */

/* Space between the grains that nothing names; gives it back with free_leaks. */
int vmdk_check_leaks(struct vmdk_checking *check, img_error *err);

/* --------------------------------------------------------- check_descriptor.c */

/* Does the descriptor agree with itself, with the headers and with the parent? */
int vmdk_check_descriptor(struct imgi_node *node, struct imgi_checker *checker, img_error *err);

#endif

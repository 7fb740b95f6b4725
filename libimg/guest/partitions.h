/*
 * Reading partition tables. SPDX-License-Identifier: BSD-2-Clause
 *
 * Tables are input from strangers. What is odd in one is told to the guest's notice and makes the
 * table doubtful: then no space outside of its partitions counts as free.
 */
#ifndef IMGI_PARTITIONS_H
#define IMGI_PARTITIONS_H

#include "guest.h"

#define IMGI_PARTITION_MAX 255u /* of one disk: Linux has no numbers for more */

/* The table of one disk. */
struct imgi_partition_table {
    img_guest *guest;
    struct imgi_volume *disk;
    uint32_t sector_size;
    uint64_t sectors;      /* of the disk */
    size_t first;          /* of the guest's volumes that is a partition of it */
    uint64_t usable_start; /* sectors that partitions may take */
    uint64_t usable_end;
    bool doubtful;
};

/* The first sector of any disk. */
#define IMGI_MBR_BYTES 512u

/* One entry of a table, in sectors. */
struct imgi_entry {
    unsigned number;
    uint64_t start, count;
    const char *type, *name, *uuid;
    bool bootable;
};

/* partitions.c */

/* Bytes from the beginning of a sector on. IMG_E_RANGE when they are not on the disk. */
int imgi_partitions_read(const struct imgi_partition_table *table, uint64_t sector, void *buffer,
                         size_t length, img_error *err);
/* Tell what is odd. */
void imgi_partitions_doubt(struct imgi_partition_table *table, const char *format, ...)
    IMG_PRINTF(2, 3);
/* Add a partition; one that is not on the disk is left out, with a notice. */
int imgi_partitions_add(struct imgi_partition_table *table, const struct imgi_entry *entry,
                        img_error *err);

/* mbr.c */

/* Whether the disk's first sector holds a table, and whether that only says that a GPT follows. */
bool imgi_mbr_is_table(const uint8_t mbr[IMGI_MBR_BYTES]);
bool imgi_mbr_is_protective(const uint8_t mbr[IMGI_MBR_BYTES]);
/* Whether it names other partitions than the GPT. */
bool imgi_mbr_is_hybrid(const uint8_t mbr[IMGI_MBR_BYTES]);
/* Whether it names any that are not in front of everything, as mkfs.fat names the whole disk. */
bool imgi_mbr_has_partitions(const uint8_t mbr[IMGI_MBR_BYTES]);
/*
 * How many of its partitions begin with something that is known, if sectors have that size; *total:
 * how many there are.
 */
unsigned imgi_mbr_count_known(const struct imgi_partition_table *table,
                              const uint8_t mbr[IMGI_MBR_BYTES], uint32_t sector_size,
                              unsigned *total);
int imgi_mbr_partitions(struct imgi_partition_table *table, const uint8_t mbr[IMGI_MBR_BYTES],
                        img_error *err);

/* gpt.c */

/* *found: there is a usable GPT, whose partitions have been added. */
int imgi_gpt_partitions(struct imgi_partition_table *table, bool *found, img_error *err);

#endif

/*
 * FAT12, FAT16, FAT32 and exFAT. SPDX-License-Identifier: BSD-2-Clause
 *
 * A file's inode number is the place of its directory entry in the volume, in entries; so it says
 * nothing about whether there is one. The root directory, which has none, is IMGI_FAT_ROOT.
 */
#ifndef IMGI_FAT_H
#define IMGI_FAT_H

#include "names.h"
#include "runs.h"

#define IMGI_FAT_ENTRY 32u /* bytes of a directory entry */
#define IMGI_FAT_ROOT 1u   /* that of no entry: it is in the boot sector */
#define IMGI_FAT_PAGE 4096u
#define IMGI_FAT_PAGES 16u

/* exFAT's tree may be in two places, FAT's in one. */
struct imgi_fat {
    const struct imgi_volume *volume;
    bool exfat;
    unsigned bits; /* of an entry of the table: 12, 16, 32 */
    uint32_t sector_size, cluster_size;
    uint64_t table, table_size; /* the first copy that is in use, in bytes */
    unsigned tables;            /* copies that are the same */
    uint64_t data;              /* the place of cluster 2 */
    uint32_t clusters;          /* there are those from 2 to clusters + 1 */
    uint32_t root_cluster;
    uint64_t root, root_size; /* FAT12 and 16: the place of the root directory */
    unsigned active;          /* exFAT: which of the tables, and of the bitmaps, is in use */
    bool two_tables;          /* likewise: there are two, as TexFAT has it */
    uint32_t bitmap_cluster;  /* exFAT */
    uint64_t bitmap_size;
    bool dirty;
    uint64_t free_clusters;
    bool counted;
    /* Pages of the table, each at its number modulo IMGI_FAT_PAGES. */
    struct imgi_fat_page {
        uint64_t number; /* 1 more than it is; 0: none */
        uint8_t bytes[IMGI_FAT_PAGE];
    } pages[IMGI_FAT_PAGES];
};

/* A chain of clusters, as far as it has been looked at. */
struct imgi_fat_chain {
    struct imgi_runs runs;
    uint32_t next;   /* the cluster that follows; 0: it has ended */
    bool contiguous; /* exFAT: without the table, as long as `bytes` */
    uint64_t bytes;  /* more is of no interest */
};

/* What a directory entry says. */
struct imgi_fat_node {
    uint64_t inode;
    uint16_t attributes;
    uint32_t cluster; /* 0: none */
    bool contiguous;
    uint64_t size, valid; /* exFAT: behind `valid` there are zeros */
    int64_t atime, mtime, btime;
    uint32_t mtime_nsec, btime_nsec;
};
#define IMGI_FAT_READ_ONLY 0x01u
#define IMGI_FAT_VOLUME 0x08u
#define IMGI_FAT_DIRECTORY 0x10u

/* ---- fat_super.c ---- */

/* Read the boot sector. */
int imgi_fat_super(struct imgi_fat *fat, img_error *err);

/* ---- fat_table.c ---- */

/* What the table has for a cluster, of a copy of it. */
int imgi_fat_get(struct imgi_fat *fat, unsigned copy, uint32_t cluster, uint32_t *value,
                 img_error *err);
/* Look at more of the chain, so that chain->runs.end > offset, or it has ended. */
int imgi_fat_follow(struct imgi_fat *fat, struct imgi_fat_chain *chain, uint64_t offset,
                    img_error *err);
static inline bool imgi_fat_is_cluster(const struct imgi_fat *fat, uint32_t cluster)
{
    return cluster >= 2 && cluster - 2 < fat->clusters;
}
/* Free clusters, as runs of the volume. unused may be NULL: then they are counted only. */
int imgi_fat_unused(struct imgi_fat *fat, imgi_unused_fn *unused, void *opaque, img_error *err);

/* ---- fat_dir.c: directories of FAT ---- */

/* Takes a file of a directory; not 0 ends the listing. */
typedef int imgi_fat_node_fn(void *opaque, const char *name, size_t length,
                             const struct imgi_fat_node *node, img_error *err);
/* A directory's entries one by one, `place` being where in the volume. 1 ends it. */
typedef int imgi_fat_entry_fn(void *opaque, const uint8_t *entry, uint64_t place, img_error *err);

/* Where a directory's bytes are. */
void imgi_fat_dir_chain(const struct imgi_fat *fat, const struct imgi_fat_node *node,
                        struct imgi_fat_chain *chain);
int imgi_fat_entries(struct imgi_fat *fat, const struct imgi_fat_node *directory,
                     imgi_fat_entry_fn *entry, void *opaque, img_error *err);
int imgi_fat_list(struct imgi_fat *fat, const struct imgi_fat_node *directory,
                  imgi_fat_node_fn *node, void *opaque, img_error *err);
void imgi_fat_node_decode(const struct imgi_fat *fat, const uint8_t *entry, uint64_t place,
                          struct imgi_fat_node *node);
/* Seconds of a date and a time as FAT has them. */
int64_t imgi_fat_seconds(uint16_t date, uint16_t time);

/* ---- exfat_dir.c: directories of exFAT ---- */

int imgi_exfat_list(struct imgi_fat *fat, const struct imgi_fat_node *directory,
                    imgi_fat_node_fn *node, void *opaque, img_error *err);
/* The file whose entry is at that place. */
int imgi_exfat_node(struct imgi_fat *fat, uint64_t place, struct imgi_fat_node *node,
                    img_error *err);
/* Find the allocation bitmap in the root directory. */
int imgi_exfat_find_bitmap(struct imgi_fat *fat, img_error *err);

#endif

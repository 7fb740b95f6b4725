/*
 * Allocation tables of FAT, and the bitmap of exFAT. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fat.h"

/* ------------------------------------------------------------------- table */

/* The page that holds a byte of the table. */
static int get_page(struct imgi_fat *fat, uint64_t offset, struct imgi_fat_page **page,
                    img_error *err)
{
    uint64_t number = offset / IMGI_FAT_PAGE, size = fat->table_size * fat->tables;
    uint64_t begin = number * IMGI_FAT_PAGE;
    int rc;

    *page = &fat->pages[number % IMGI_FAT_PAGES];
    if ((*page)->number == number + 1)
        return 0;
    (*page)->number = 0;
    rc = imgi_volume_read(fat->volume, fat->table + begin, (*page)->bytes,
                          (size_t)IMGI_MIN(IMGI_FAT_PAGE, size - begin), err);
    if (rc == 0)
        (*page)->number = number + 1;
    return rc;
}

/* FAT12's entries of one and a half bytes may be on two pages. */
static int get_bytes(struct imgi_fat *fat, uint64_t offset, unsigned count, uint32_t *value,
                     img_error *err)
{
    *value = 0;
    for (unsigned n = 0; n < count; n++) {
        struct imgi_fat_page *page;
        int rc = get_page(fat, offset + n, &page, err);

        if (rc < 0)
            return rc;
        *value |= (uint32_t)page->bytes[(offset + n) % IMGI_FAT_PAGE] << 8 * n;
    }
    return 0;
}

int imgi_fat_get(struct imgi_fat *fat, unsigned copy, uint32_t cluster, uint32_t *value,
                 img_error *err)
{
    uint64_t offset = copy * fat->table_size + (uint64_t)cluster * fat->bits / 8;
    int rc = get_bytes(fat, offset, fat->bits == 32 ? 4 : 2, value, err);

    if (rc == 0 && fat->bits == 12)
        *value = cluster % 2 ? *value >> 4 : *value & 0xfff;
    else if (rc == 0 && fat->bits == 32 && !fat->exfat)
        *value &= 0x0fffffff;
    return rc;
}

/* ------------------------------------------------------------------- chains */

/* The cluster that follows; 0 at the end of the chain. */
static int next_cluster(struct imgi_fat *fat, uint32_t cluster, uint32_t *next, img_error *err)
{
    uint32_t end = fat->bits == 12   ? 0xff8
                   : fat->bits == 16 ? 0xfff8
                   : fat->exfat      ? 0xffffffff
                                     : 0x0ffffff8;
    int rc = imgi_fat_get(fat, 0, cluster, next, err);

    if (rc < 0)
        return rc;
    if (*next >= end)
        *next = 0;
    else if (!imgi_fat_is_cluster(fat, *next))
        return imgi_fail_errno(err, EIO, "cluster %" PRIu32 " is followed by %" PRIu32, cluster,
                               *next);
    return 0;
}

int imgi_fat_follow(struct imgi_fat *fat, struct imgi_fat_chain *chain, uint64_t offset,
                    img_error *err)
{
    while (chain->next != 0 && chain->runs.end <= offset && chain->runs.end < chain->bytes) {
        uint32_t cluster = chain->next;
        uint64_t place = fat->data + (uint64_t)(cluster - 2) * fat->cluster_size;
        uint64_t length = fat->cluster_size;
        int rc;

        if (!imgi_fat_is_cluster(fat, cluster))
            return imgi_fail_errno(err, EIO, "there is no cluster %" PRIu32, cluster);
        if (chain->contiguous) {
            uint64_t count = imgi_div_up(chain->bytes, fat->cluster_size);

            if (count > fat->clusters - (cluster - 2))
                return imgi_fail_errno(err, EIO,
                                       "there are no %" PRIu64 " clusters from %" PRIu32 " on",
                                       count, cluster);
            length *= count;
            chain->next = 0;
        } else if (chain->runs.end / fat->cluster_size >= fat->clusters) {
            return imgi_fail_errno(err, EIO, "a chain of clusters loops");
        } else if ((rc = next_cluster(fat, cluster, &chain->next, err)) < 0) {
            return rc;
        }
        rc = imgi_runs_add(&chain->runs, length, IMGI_RUN_DATA, place, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ------------------------------------------------------------- free clusters */

/* Runs of free clusters become runs of the volume. */
struct finder {
    struct imgi_fat *fat;
    imgi_unused_fn *unused;
    void *opaque;
    uint64_t count;       /* free clusters */
    uint32_t first, free; /* the run that goes on */
};

static int end_run(struct finder *finder, img_error *err)
{
    const struct imgi_fat *fat = finder->fat;
    uint64_t place = fat->data + (uint64_t)(finder->first - 2) * fat->cluster_size;
    uint64_t length = (uint64_t)finder->free * fat->cluster_size, size = fat->volume->info.size;

    if (finder->free == 0)
        return 0;
    finder->count += finder->free;
    finder->free = 0;
    if (!finder->unused || place >= size)
        return 0;
    return finder->unused(finder->opaque, place, IMGI_MIN(length, size - place), err);
}

static int add_cluster(struct finder *finder, uint32_t cluster, bool free, img_error *err)
{
    if (!free)
        return end_run(finder, err);
    if (finder->free == 0)
        finder->first = cluster;
    finder->free++;
    return 0;
}

static int look_at_table(struct finder *finder, img_error *err)
{
    struct imgi_fat *fat = finder->fat;
    int rc = 0;

    for (uint32_t n = 0; rc == 0 && n < fat->clusters; n++) {
        uint32_t value;

        rc = imgi_fat_get(fat, 0, n + 2, &value, err);
        if (rc == 0)
            rc = add_cluster(finder, n + 2, value == 0, err);
    }
    return rc;
}

/* Which of them is right is a question for a check of the filesystem. */
static int compare_tables(const struct imgi_fat *fat, img_error *err)
{
    uint8_t one[IMGI_FAT_PAGE], other[IMGI_FAT_PAGE];
    int rc = 0;

    for (uint64_t at = 0; rc == 0 && at < fat->table_size; at += sizeof(one)) {
        size_t length = (size_t)IMGI_MIN(sizeof(one), fat->table_size - at);

        rc = imgi_volume_read(fat->volume, fat->table + at, one, length, err);
        if (rc == 0)
            rc = imgi_volume_read(fat->volume, fat->table + fat->table_size + at, other, length,
                                  err);
        if (rc == 0 && memcmp(one, other, length) != 0)
            return imgi_fail(err, IMG_E_UNSUPPORTED,
                             "its two allocation tables differ: it needs a check");
    }
    return rc;
}

static int look_at_bitmap(struct finder *finder, img_error *err)
{
    struct imgi_fat *fat = finder->fat;
    struct imgi_fat_chain chain = {.next = fat->bitmap_cluster, .bytes = fat->bitmap_size};
    uint8_t part[IMGI_FAT_PAGE];
    /* Powers of two: no part crosses clusters. */
    uint32_t part_size = IMGI_MIN((uint32_t)sizeof(part), fat->cluster_size);
    int rc = 0;

    for (uint32_t n = 0; rc == 0 && n < fat->clusters; n++) {
        uint32_t in = n / 8 % part_size;

        if (n % 8 == 0 && in == 0) {
            struct imgi_run run = {.offset = n / 8, .length = part_size};

            rc = imgi_fat_follow(fat, &chain, run.offset, err);
            if (rc == 0 && run.offset >= chain.runs.end)
                rc = imgi_fail(err, IMG_E_CORRUPT, "the allocation bitmap is too short");
            if (rc < 0)
                break;
            imgi_runs_find(&chain.runs, &run);
            rc = imgi_volume_read(fat->volume, run.place, part, (size_t)run.length, err);
        }
        if (rc == 0)
            rc = add_cluster(finder, n + 2, !(part[in] >> n % 8 & 1), err);
    }
    imgi_runs_free(&chain.runs);
    return rc;
}

int imgi_fat_unused(struct imgi_fat *fat, imgi_unused_fn *unused, void *opaque, img_error *err)
{
    struct finder finder = {.fat = fat, .unused = unused, .opaque = opaque};
    int rc;

    if (unused && fat->tables > 1 && (rc = compare_tables(fat, err)) < 0)
        return rc;
    rc = fat->exfat ? look_at_bitmap(&finder, err) : look_at_table(&finder, err);
    if (rc == 0)
        rc = end_run(&finder, err);
    if (rc == 0) {
        fat->free_clusters = finder.count;
        fat->counted = true;
    }
    return rc;
}

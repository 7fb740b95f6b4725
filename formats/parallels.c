/*
 * Parallels' expandable disks. SPDX-License-Identifier: BSD-2-Clause
 *
 * Little-endian. A header, behind it the BAT: for each cluster of the disk where it lies in the
 * file, 0 for zeros. The first of two magics counts places in sectors, the second in clusters. What
 * the format extension area holds (dirty bitmaps) is of no use for reading, and not looked at.
 */
#include <stdlib.h>

#include "driver.h"

#define HEADER_BYTES 64
#define MAGIC_BYTES 16
#define SECTOR 512u
#define VERSION 2u
#define IN_USE_OPEN 0x746f6e59u /* "Ynot" */

/* As QEMU has them: more does not fit its numbers. */
#define CLUSTER_SECTORS_MAX (INT32_MAX / 513)
#define ENTRIES_MAX (INT32_MAX / 4)

static const char magic_sectors[MAGIC_BYTES + 1] = "WithoutFreeSpace";
static const char magic_clusters[MAGIC_BYTES + 1] = "WithouFreSpacExt";

struct header {
    bool in_clusters; /* BAT entries count clusters, not sectors */
    uint32_t version;
    uint32_t cluster_sectors;
    uint32_t entries;
    uint64_t sectors; /* of the disk */
    uint32_t in_use;
    uint32_t data_offset; /* in sectors; 0: behind the BAT */
};

/* Constant after open. */
struct parallels {
    struct header header;
    uint64_t file_size;
    uint64_t cluster; /* bytes; not always a power of two */
    uint64_t unit;    /* bytes that a BAT entry counts in */
    uint8_t *bat;     /* little-endian, as in the file */
};

static bool has_magic(const uint8_t *bytes)
{
    return memcmp(bytes, magic_sectors, MAGIC_BYTES) == 0 ||
           memcmp(bytes, magic_clusters, MAGIC_BYTES) == 0;
}

static int parallels_probe(const struct imgi_probe *probe)
{
    return probe->length >= HEADER_BYTES && has_magic(probe->head) &&
                   imgi_get_le32(probe->head + 16) == VERSION
               ? 100
               : 0;
}

/* ------------------------------------------------------------------- open */

static void decode(const uint8_t *bytes, struct header *header)
{
    header->in_clusters = memcmp(bytes, magic_clusters, MAGIC_BYTES) == 0;
    header->version = imgi_get_le32(bytes + 16);
    header->cluster_sectors = imgi_get_le32(bytes + 28);
    header->entries = imgi_get_le32(bytes + 32);
    /* Only the second magic's writers filled the upper half. */
    header->sectors = header->in_clusters ? imgi_get_le64(bytes + 36) : imgi_get_le32(bytes + 36);
    header->in_use = imgi_get_le32(bytes + 44);
    header->data_offset = imgi_get_le32(bytes + 48);
}

static int check_header(const struct header *header, img_error *err)
{
    if (header->version != VERSION)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "Image not in Parallels format: version %u",
                         header->version);
    if (header->cluster_sectors == 0)
        return imgi_fail(err, IMG_E_CORRUPT, "Invalid image: Zero sectors per track");
    if (header->cluster_sectors > CLUSTER_SECTORS_MAX)
        return imgi_fail(err, IMG_E_CORRUPT, "Invalid image: Too big cluster: %u sectors",
                         header->cluster_sectors);
    if (header->entries > ENTRIES_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "Catalog too large: %u entries", header->entries);
    if (header->sectors > INT64_MAX / SECTOR)
        return imgi_fail(err, IMG_E_CORRUPT, "a disk of %llu sectors is too large",
                         (unsigned long long)header->sectors);
    if (imgi_div_up(header->sectors, header->cluster_sectors) > header->entries)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "the BAT has %u entries, too few for a disk of %llu sectors in clusters "
                         "of %u",
                         header->entries, (unsigned long long)header->sectors,
                         header->cluster_sectors);
    return 0;
}

static int read_header(struct imgi_node *node, struct parallels *parallels, img_error *err)
{
    uint8_t bytes[HEADER_BYTES];
    int rc = imgi_io_size(node->file, &parallels->file_size, err);

    if (rc == 0 && parallels->file_size < sizeof(bytes))
        return imgi_fail(err, IMG_E_FORMAT,
                         "Image not in Parallels format: the file has %llu bytes",
                         (unsigned long long)parallels->file_size);
    if (rc == 0)
        rc = imgi_io_read(node->file, bytes, sizeof(bytes), 0, err);
    if (rc == 0 && !has_magic(bytes))
        rc = imgi_fail(err, IMG_E_FORMAT, "Image not in Parallels format");
    if (rc < 0)
        return rc;
    decode(bytes, &parallels->header);
    return check_header(&parallels->header, err);
}

static int parallels_open(struct imgi_node *node, img_error *err)
{
    struct parallels *parallels = node->state;
    const struct header *header = &parallels->header;
    struct imgi_table bat = {.what = "BAT", .offset = HEADER_BYTES, .entry_size = 4};
    int rc = read_header(node, parallels, err);

    if (rc < 0)
        return rc;
    node->size = header->sectors * SECTOR;
    parallels->cluster = (uint64_t)header->cluster_sectors * SECTOR;
    parallels->unit = header->in_clusters ? parallels->cluster : SECTOR;
    bat.entries = header->entries;
    return imgi_node_read_table(node, &bat, &parallels->bat, err);
}

static void parallels_close(struct imgi_node *node)
{
    free(((struct parallels *)node->state)->bat);
}

/* ---------------------------------------------------------------- address */

/* Where a cluster lies; 0: nowhere. */
static uint64_t place_of(const struct parallels *parallels, uint64_t index)
{
    return imgi_get_le32(parallels->bat + 4 * index) * parallels->unit;
}

/* Whether a cluster can begin there, if the file is long enough. */
static bool is_place(const struct parallels *parallels, uint64_t host)
{
    return host >= HEADER_BYTES + UINT64_C(4) * parallels->header.entries;
}

static int lookup(struct imgi_node *node, uint64_t index, struct imgi_cluster *found,
                  img_error *err)
{
    const struct parallels *parallels = node->state;

    found->host = place_of(parallels, index);
    found->kind = found->host ? IMGI_DATA : IMGI_ABSENT;
    if (found->host && !is_place(parallels, found->host))
        return imgi_fail(err, IMG_E_CORRUPT, "BAT entry %llu points into the BAT (0x%llx)",
                         (unsigned long long)index, (unsigned long long)found->host);
    return 0;
}

static int parallels_map(struct imgi_node *node, uint64_t offset, uint64_t length,
                         struct imgi_extent *extent, img_error *err)
{
    const struct parallels *parallels = node->state;

    extent->offset = offset;
    extent->length = length;
    return imgi_map_clusters(node, parallels->cluster, lookup, extent, err);
}

/* ------------------------------------------------------------------ check */

struct check {
    const struct parallels *parallels;
    struct imgi_checker *checker;
    struct imgi_seen *used; /* units of the file */
    uint64_t last;          /* where the cluster before lies; 0: there was none */
    uint64_t end;           /* of the file's last cluster that is used */
};

/* What QEMU does not look for: two clusters in one place. */
static int check_twice(struct check *check, uint64_t index, uint64_t host, img_error *err)
{
    const struct parallels *parallels = check->parallels;
    uint64_t first = host / parallels->unit;
    bool twice;
    int rc = imgi_seen_mark(check->used, first, parallels->cluster / parallels->unit, &twice, err);

    if (rc == 0 && twice)
        imgi_found(check->checker, IMGI_FINDING_CORRUPTION,
                   "ERROR cluster %llu lies where another does (0x%llx)", (unsigned long long)index,
                   (unsigned long long)host);
    return rc;
}

static int check_cluster(struct check *check, uint64_t index, uint64_t host, img_error *err)
{
    const struct parallels *parallels = check->parallels;
    img_check_result *result = check->checker->result;

    result->allocated_clusters++;
    if (check->last != 0 && check->last + parallels->cluster != host)
        result->fragmented_clusters++;
    check->last = host;
    check->end = IMGI_MAX(check->end, host + parallels->cluster);
    if (!is_place(parallels, host))
        imgi_found(check->checker, IMGI_FINDING_CORRUPTION, "ERROR cluster %llu is in the BAT",
                   (unsigned long long)index);
    else if (!imgi_span_ok(host, parallels->cluster, parallels->file_size))
        imgi_found(check->checker, IMGI_FINDING_CORRUPTION, "ERROR cluster %llu is outside image",
                   (unsigned long long)index);
    else
        return check_twice(check, index, host, err);
    return 0;
}

/* What lies behind the last cluster. */
static void check_end(struct check *check)
{
    const struct parallels *parallels = check->parallels;
    img_check_result *result = check->checker->result;
    uint64_t rest;

    result->image_end_offset = check->end;
    if (check->end >= parallels->file_size)
        return;
    rest = parallels->file_size - check->end;
    imgi_found(check->checker, IMGI_FINDING_LEAK, "ERROR space leaked at the end of the image %llu",
               (unsigned long long)rest);
    result->leaks += imgi_div_up(rest, parallels->cluster) - 1;
}

static int check_bat(struct check *check, img_error *err)
{
    const struct parallels *parallels = check->parallels;
    uint32_t entries = parallels->header.entries;
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < entries; i++) {
        uint64_t host = place_of(parallels, i);

        if (host != 0)
            rc = check_cluster(check, i, host, err);
        if (rc == 0 && i % 65536 == 0)
            rc = imgi_check_progress(check->checker, i, entries, err);
    }
    return rc;
}

/* Where clusters begin when there are none yet. */
static uint64_t data_begin(const struct parallels *parallels)
{
    uint64_t behind = HEADER_BYTES + UINT64_C(4) * parallels->header.entries;

    return parallels->header.data_offset ? (uint64_t)parallels->header.data_offset * SECTOR
                                         : imgi_align_up(behind, SECTOR);
}

static int parallels_check(struct imgi_node *node, struct imgi_checker *checker, img_error *err)
{
    const struct parallels *parallels = node->state;
    struct check check = {.parallels = parallels, .checker = checker};
    int rc;

    if (checker->repair != IMGI_REPAIR_NONE)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "Parallels images are only read here, not repaired");
    if (parallels->header.in_use == IN_USE_OPEN)
        imgi_found(checker, IMGI_FINDING_CORRUPTION, "ERROR image was not closed correctly");
    checker->result->total_clusters = parallels->header.entries;
    check.end = IMGI_MIN(data_begin(parallels), parallels->file_size);
    check.used =
        imgi_seen_new(imgi_div_up(parallels->file_size, parallels->unit), node->policy, err);
    rc = check.used ? check_bat(&check, err) : IMG_E_NOMEM;
    if (rc == 0)
        check_end(&check);
    imgi_seen_free(check.used);
    return rc;
}

const struct imgi_driver imgi_driver_parallels = {
    .name = "parallels",
    .read_only = true,
    .brief_info = true,
    .state_size = sizeof(struct parallels),
    .probe = parallels_probe,
    .open = parallels_open,
    .close = parallels_close,
    .map = parallels_map,
    .check = parallels_check,
};

/*
 * Bochs' disks that grow: "growing" (a redolog with nothing below) and "sparse".
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Little-endian. A redolog (Bochs developers' guide, "Harddisk Images based on redologs") has a
 * catalog: for each extent of the disk its number in the file, in the order in which they came.
 * An extent in the file is a bitmap, which says what sectors were written, and the sectors. A
 * sparse disk has a table of pages instead, and no bitmaps. What was never written reads as zeros.
 */
#include <stdlib.h>

#include "driver.h"

#define SECTOR 512u
#define ABSENT UINT32_MAX

#define REDOLOG_HEADER_BYTES 512
#define REDOLOG_MAGIC "Bochs Virtual HD Image"
#define REDOLOG_TYPE "Redolog"
#define REDOLOG_SUBTYPE "Growing"
#define REDOLOG_VERSION_1 0x00010000u
#define REDOLOG_VERSION_2 0x00020000u
enum { AT_TYPE = 32, AT_SUBTYPE = 48, AT_VERSION = 64, AT_HEADER = 68, AT_CATALOG = 72 };
enum { AT_BITMAP = 76, AT_EXTENT = 80, AT_DISK_1 = 84, AT_DISK_2 = 88 };

#define SPARSE_HEADER_BYTES 256
#define SPARSE_MAGIC 0x02468aceu
#define SPARSE_VERSION_MAX 2u

#define UNIT_MAX (64u << 20)
/* Bitmaps are read by sectors. */
#define BITMAP_BUDGET (64u << 10)

/* Constant after open, but for the cache. */
struct bochs {
    bool sparse;
    uint64_t size;          /* of the disk */
    uint64_t table_offset;  /* of the catalog or the page table */
    uint32_t entries;       /* of it */
    uint32_t unit;          /* bytes of the disk that an entry stands for */
    uint32_t bitmap;        /* redolog: bytes of an extent's bitmap */
    uint64_t data;          /* where number 0 begins */
    uint64_t stride;        /* from one to the next */
    uint64_t bitmap_stored; /* bytes of the file before an extent's sectors */
    uint8_t *table;
    struct imgi_cache *bitmaps;
};

static bool is_redolog(const uint8_t *head)
{
    return memcmp(head, REDOLOG_MAGIC, sizeof(REDOLOG_MAGIC)) == 0;
}

static bool is_sparse(const uint8_t *head)
{
    return imgi_get_le32(head) == SPARSE_MAGIC && imgi_get_le32(head + 4) >= 1 &&
           imgi_get_le32(head + 4) <= SPARSE_VERSION_MAX;
}

static int bochs_probe(const struct imgi_probe *probe)
{
    if (probe->length >= REDOLOG_HEADER_BYTES && is_redolog(probe->head))
        return 100;
    return probe->length >= SPARSE_HEADER_BYTES && is_sparse(probe->head) ? 90 : 0;
}

/* ------------------------------------------------------------------- open */

static int check_redolog(const uint8_t *head, img_error *err)
{
    uint32_t version = imgi_get_le32(head + AT_VERSION);

    if (strncmp((const char *)head + AT_TYPE, REDOLOG_TYPE, 16) != 0)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "Bochs images of the type \"%.16s\"",
                         (const char *)head + AT_TYPE);
    if (strncmp((const char *)head + AT_SUBTYPE, REDOLOG_SUBTYPE, 16) != 0)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "the redolog is of the type \"%.16s\": it holds changes to another disk "
                         "and does not say to which",
                         (const char *)head + AT_SUBTYPE);
    if (version != REDOLOG_VERSION_1 && version != REDOLOG_VERSION_2)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "redolog of version 0x%x", version);
    return 0;
}

static void decode_redolog(const uint8_t *head, struct bochs *bochs)
{
    bool old = imgi_get_le32(head + AT_VERSION) == REDOLOG_VERSION_1;

    bochs->table_offset = imgi_get_le32(head + AT_HEADER);
    bochs->entries = imgi_get_le32(head + AT_CATALOG);
    bochs->bitmap = imgi_get_le32(head + AT_BITMAP);
    bochs->unit = imgi_get_le32(head + AT_EXTENT);
    bochs->size = imgi_get_le64(head + (old ? AT_DISK_1 : AT_DISK_2));
    bochs->data = bochs->table_offset + UINT64_C(4) * bochs->entries;
    bochs->bitmap_stored = imgi_align_up(bochs->bitmap, SECTOR);
    bochs->stride = bochs->bitmap_stored + imgi_align_up(bochs->unit, SECTOR);
}

static void decode_sparse(const uint8_t *head, struct bochs *bochs)
{
    bochs->sparse = true;
    bochs->table_offset = SPARSE_HEADER_BYTES;
    bochs->unit = imgi_get_le32(head + 8);
    bochs->entries = imgi_get_le32(head + 12);
    /* The first version had no field for the disk's size. */
    bochs->size = imgi_get_le32(head + 4) == 1 ? (uint64_t)bochs->unit * bochs->entries
                                               : imgi_get_le64(head + 16);
    bochs->stride = bochs->unit;
}

static int check_geometry(struct bochs *bochs, img_error *err)
{
    const char *unit = bochs->sparse ? "page" : "extent";

    if (!imgi_is_pow2(bochs->unit) || bochs->unit < SECTOR || bochs->unit > UNIT_MAX)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "the %s size, %u bytes, is no power of two from %u to %u", unit,
                         bochs->unit, SECTOR, UNIT_MAX);
    if (!bochs->sparse &&
        ((uint64_t)bochs->bitmap * 8 * SECTOR < bochs->unit || bochs->bitmap > UNIT_MAX))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "bitmaps of %u bytes are too small or too large for extents of %u bytes",
                         bochs->bitmap, bochs->unit);
    if (!bochs->sparse && bochs->table_offset < REDOLOG_HEADER_BYTES)
        return imgi_fail(err, IMG_E_CORRUPT, "the header says that it has %llu bytes, not %u",
                         (unsigned long long)bochs->table_offset, REDOLOG_HEADER_BYTES);
    if (imgi_div_up(bochs->size, bochs->unit) > bochs->entries)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "%u %ss of %u bytes are too few for a disk of %llu bytes", bochs->entries,
                         unit, bochs->unit, (unsigned long long)bochs->size);
    if (bochs->sparse)
        bochs->data =
            imgi_align_up(SPARSE_HEADER_BYTES + UINT64_C(4) * bochs->entries, bochs->unit);
    return 0;
}

static int read_header(struct imgi_node *node, struct bochs *bochs, img_error *err)
{
    uint8_t head[REDOLOG_HEADER_BYTES] = {0};
    uint64_t size;
    int rc = imgi_io_size(node->file, &size, err);

    if (rc == 0)
        rc = imgi_io_read(node->file, head, (size_t)IMGI_MIN(size, sizeof(head)), 0, err);
    if (rc < 0)
        return rc;
    if (size >= REDOLOG_HEADER_BYTES && is_redolog(head)) {
        rc = check_redolog(head, err);
        decode_redolog(head, bochs);
    } else if (size >= SPARSE_HEADER_BYTES && is_sparse(head)) {
        decode_sparse(head, bochs);
    } else {
        return imgi_fail(err, IMG_E_FORMAT, "Image not in Bochs format");
    }
    return rc < 0 ? rc : check_geometry(bochs, err);
}

static int bochs_open(struct imgi_node *node, img_error *err)
{
    struct bochs *bochs = node->state;
    struct imgi_cache_params params = {
        .io = node->file, .what = "bitmap", .table_size = SECTOR, .budget = BITMAP_BUDGET};
    struct imgi_table table = {.entry_size = 4};
    int rc = read_header(node, bochs, err);

    if (rc < 0)
        return rc;
    /* QEMU does not see what is behind the last whole sector. */
    node->size = imgi_align_down(bochs->size, SECTOR);
    table.what = bochs->sparse ? "page table" : "catalog";
    table.offset = bochs->table_offset;
    table.entries = bochs->entries;
    rc = imgi_node_read_table(node, &table, &bochs->table, err);
    return rc < 0 ? rc : imgi_cache_new(&bochs->bitmaps, &params, err);
}

static void bochs_close(struct imgi_node *node)
{
    struct bochs *bochs = node->state;

    imgi_cache_free(bochs->bitmaps);
    free(bochs->table);
}

/* ---------------------------------------------------------------- address */

static bool get_bit(const uint8_t *bits, uint64_t n)
{
    return bits[n / 8] >> n % 8 & 1;
}

/* Of the sectors from one on that a sector of the bitmap knows: alike how many are. */
static uint64_t run_of_bits(const uint8_t *bits, uint64_t first, uint64_t end)
{
    uint64_t bit = first + 1;

    while (bit < end && get_bit(bits, bit) == get_bit(bits, first))
        bit++;
    return bit - first;
}

/* A sector of an extent that lies at `place`. */
static int lookup_sector(struct bochs *bochs, uint64_t place, uint64_t sector,
                         struct imgi_cluster *found, img_error *err)
{
    uint64_t first = imgi_align_down(sector, 8 * SECTOR), end = bochs->unit / SECTOR;
    uint8_t *bits;
    int rc = imgi_cache_get(bochs->bitmaps, place + first / 8, &bits, err);

    if (rc < 0)
        return rc;
    end = IMGI_MIN(end - first, 8 * SECTOR);
    sector -= first;
    found->count = run_of_bits(bits, sector, end);
    if (bits[sector / 8] >> sector % 8 & 1) {
        found->kind = IMGI_DATA;
        found->host = place + bochs->bitmap_stored + (first + sector) * SECTOR;
    }
    return 0;
}

static int lookup(struct imgi_node *node, uint64_t index, struct imgi_cluster *found,
                  img_error *err)
{
    struct bochs *bochs = node->state;
    uint64_t sectors = bochs->unit / SECTOR, sector = index % sectors;
    uint32_t number = imgi_get_le32(bochs->table + 4 * (index / sectors));
    uint64_t place = bochs->data + number * bochs->stride;

    found->kind = IMGI_ABSENT;
    found->count = sectors - sector;
    if (number == ABSENT)
        return 0;
    if (!bochs->sparse)
        return lookup_sector(bochs, place, sector, found, err);
    found->kind = IMGI_DATA;
    found->host = place + sector * SECTOR;
    return 0;
}

static int bochs_map(struct imgi_node *node, uint64_t offset, uint64_t length,
                     struct imgi_extent *extent, img_error *err)
{
    extent->offset = offset;
    extent->length = length;
    return imgi_map_clusters(node, SECTOR, lookup, extent, err);
}

const struct imgi_driver imgi_driver_bochs = {
    .name = "bochs",
    .read_only = true,
    .brief_info = true,
    .state_size = sizeof(struct bochs),
    .probe = bochs_probe,
    .open = bochs_open,
    .close = bochs_close,
    .map = bochs_map,
};

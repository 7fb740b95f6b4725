/*
 * Replay: what the log asks for. SPDX-License-Identifier: BSD-2-Clause
 *
 * The log is a ring of entries. Runs of whole entries with sequence numbers one apart are
 * sequences; the active one is that with the highest number at its end whose last entry names a
 * tail inside it, and is applied from there on (2.3.2). A log in which there is none was begun and
 * never used: nothing is to be done.
 *
 * Entries of earlier rounds that nobody has written over since can be in the ring too. They lie
 * side by side, except where a later one cut into one; entries that claim the same bytes again and
 * again are a hostile image's, and are looked at until a budget is spent.
 */
#include <stdlib.h>

#include "vhdx.h"

/* Bytes of entries that are looked at, in lengths of the ring. */
#define BUDGET_ROUNDS 4u
#define NONE UINT32_MAX

/* An entry of the ring. */
struct place {
    struct vhdx_log_entry entry; /* length 0: none begins here */
};

struct scan {
    const uint8_t *ring; /* twice, one behind the other, so that no entry is torn by the end */
    uint32_t length;
    struct place *places; /* one for each sector */
    uint32_t sectors;
};

static int find_entries(const struct scan *scan, const struct vhdx_guid *log, img_error *err)
{
    uint64_t budget = (uint64_t)scan->length * BUDGET_ROUNDS;

    for (uint32_t n = 0; n < scan->sectors; n++) {
        const uint8_t *bytes = scan->ring + (size_t)n * VHDX_LOG_SECTOR;
        struct vhdx_log_entry entry;

        if (!vhdx_log_entry_peek(bytes, scan->length, log, &entry))
            continue;
        if (entry.length > budget)
            return imgi_fail(err, IMG_E_CORRUPT, "log: its entries overlap each other");
        budget -= entry.length;
        if (vhdx_log_entry_decode(bytes, scan->length, log, &entry))
            scan->places[n].entry = entry;
    }
    return 0;
}

/* The entry that goes on where this one ends, or NONE. */
static uint32_t next_of(const struct scan *scan, uint32_t n)
{
    const struct vhdx_log_entry *entry = &scan->places[n].entry;
    uint32_t next = (n + entry->length / VHDX_LOG_SECTOR) % scan->sectors;
    const struct vhdx_log_entry *other = &scan->places[next].entry;

    return other->length != 0 && other->sequence == entry->sequence + 1 ? next : NONE;
}

/* Whether the tail that the entry names leads to it; all of a sequence fits into the ring. */
static bool tail_leads_to(const struct scan *scan, uint32_t head)
{
    uint32_t n = scan->places[head].entry.tail / VHDX_LOG_SECTOR;
    uint64_t bytes = 0;

    if (scan->places[n].entry.length == 0)
        return false;
    while (n != head && n != NONE && bytes <= scan->length) {
        bytes += scan->places[n].entry.length;
        n = next_of(scan, n);
    }
    return n == head && bytes + scan->places[head].entry.length <= scan->length;
}

/* The last entry of the active sequence, or NONE. */
static uint32_t find_head(const struct scan *scan)
{
    uint32_t head = NONE;

    for (uint32_t n = 0; n < scan->sectors; n++) {
        const struct vhdx_log_entry *entry = &scan->places[n].entry;

        if (entry->length != 0 &&
            (head == NONE || entry->sequence > scan->places[head].entry.sequence) &&
            tail_leads_to(scan, n))
            head = n;
    }
    return head;
}

/* ------------------------------------------------------------------ patches */

static int add_patch(const struct vhdx *v, struct vhdx_replay *replay,
                     const struct vhdx_patch *patch, img_error *err)
{
    const struct vhdx_header *header = &v->header;

    if (patch->offset < VHDX_AT_REGION_TABLE(0) ||
        vhdx_overlaps(patch->offset, patch->length, header->log_offset, header->log_length))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "log: %llu bytes at 0x%llx are to be written: there are the headers or "
                         "the log itself",
                         (unsigned long long)patch->length, (unsigned long long)patch->offset);
    if (!imgi_span_ok(patch->offset, patch->length, replay->last))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "log: %llu bytes at 0x%llx are to be written, past the end that the file "
                         "is to have (0x%llx)",
                         (unsigned long long)patch->length, (unsigned long long)patch->offset,
                         (unsigned long long)replay->last);
    replay->patches[replay->count++] = *patch;
    return 0;
}

static int add_entry(const struct vhdx *v, struct vhdx_replay *replay, const uint8_t *bytes,
                     uint32_t descriptors, img_error *err)
{
    const uint8_t *sector =
        bytes + (size_t)vhdx_log_descriptor_sectors(descriptors) * VHDX_LOG_SECTOR;
    int rc = 0;

    for (uint32_t n = 0; rc == 0 && n < descriptors; n++) {
        const uint8_t *descriptor =
            bytes + VHDX_LOG_HEADER_BYTES + (size_t)n * VHDX_DESCRIPTOR_BYTES;
        struct vhdx_patch patch = {
            .offset = imgi_get_le64(descriptor + VHDX_DESCRIPTOR_AT_OFFSET),
            .length = imgi_get_le64(descriptor + VHDX_DESCRIPTOR_AT_LEADING),
        };

        if (imgi_get_le32(descriptor) == VHDX_DATA_SIGNATURE) {
            patch.length = VHDX_LOG_SECTOR;
            patch.descriptor = descriptor;
            patch.sector = sector;
            sector += VHDX_LOG_SECTOR;
        }
        rc = add_patch(v, replay, &patch, err);
    }
    return rc;
}

/* All of the sequence that ends with head. */
static int add_sequence(const struct vhdx *v, struct vhdx_replay *replay, const struct scan *scan,
                        uint32_t head, img_error *err)
{
    const struct vhdx_log_entry *last = &scan->places[head].entry;
    uint32_t n = last->tail / VHDX_LOG_SECTOR, tail = n;
    uint64_t descriptors = last->descriptors;
    int rc = 0;

    for (; n != head; n = next_of(scan, n))
        descriptors += scan->places[n].entry.descriptors;
    replay->patches = calloc((size_t)descriptors + 1, sizeof(*replay->patches));
    if (!replay->patches)
        return imgi_fail_nomem(err, "the log");
    for (n = tail; rc == 0; n = next_of(scan, n)) {
        rc = add_entry(v, replay, scan->ring + (size_t)n * VHDX_LOG_SECTOR,
                       scan->places[n].entry.descriptors, err);
        if (n == head)
            break;
    }
    return rc;
}

/* The sizes that the last entry promises. */
static int judge_sizes(const struct vhdx *v, struct vhdx_replay *replay,
                       const struct vhdx_log_entry *last, img_error *err)
{
    uint64_t size;
    int rc = imgi_io_size(v->node->file, &size, err);

    if (rc < 0)
        return rc;
    if (last->flushed > size)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "log: the file had %llu bytes when it was written, and has %llu: it was "
                         "cut short",
                         (unsigned long long)last->flushed, (unsigned long long)size);
    if (last->last > VHDX_FILE_BYTES_MAX)
        return imgi_fail(err, IMG_E_CORRUPT, "log: the file is to have %llu bytes",
                         (unsigned long long)last->last);
    replay->flushed = last->flushed;
    replay->last = IMGI_MAX(size, imgi_align_up(last->last, VHDX_MIB));
    return 0;
}

static int read_ring(struct vhdx *v, struct vhdx_replay *replay, img_error *err)
{
    const struct vhdx_header *header = &v->header;
    struct imgi_table table = {.what = "log",
                               .offset = header->log_offset,
                               .entries = header->log_length,
                               .entry_size = 1};
    int rc = imgi_io_size(v->node->file, &table.file_size, err);

    if (rc == 0)
        rc = imgi_policy_table(v->node->policy, &table, err);
    if (rc < 0)
        return rc;
    replay->ring = malloc(2 * (size_t)header->log_length);
    if (!replay->ring)
        return imgi_fail_nomem(err, "the log");
    rc = imgi_io_read(v->node->file, replay->ring, header->log_length, header->log_offset, err);
    if (rc == 0)
        memcpy(replay->ring + header->log_length, replay->ring, header->log_length);
    return rc;
}

int vhdx_replay_read(struct vhdx *v, struct vhdx_replay *replay, img_error *err)
{
    struct scan scan = {.length = v->header.log_length,
                        .sectors = v->header.log_length / VHDX_LOG_SECTOR};
    uint32_t head;
    int rc = read_ring(v, replay, err);

    if (rc < 0)
        return rc;
    scan.ring = replay->ring;
    scan.places = calloc(scan.sectors, sizeof(*scan.places));
    if (!scan.places)
        return imgi_fail_nomem(err, "the log");
    rc = find_entries(&scan, &v->header.log, err);
    head = rc == 0 ? find_head(&scan) : NONE;
    if (head != NONE)
        rc = judge_sizes(v, replay, &scan.places[head].entry, err);
    if (rc == 0 && head != NONE)
        rc = add_sequence(v, replay, &scan, head, err);
    free(scan.places);
    return rc;
}

void vhdx_replay_free(struct vhdx_replay *replay)
{
    free(replay->ring);
    free(replay->patches);
    *replay = (struct vhdx_replay){0};
}

/* ----------------------------------------------------------------- applying */

/* The sector as it is to be in the file. */
static void restore(const struct vhdx_patch *patch, uint8_t bytes[VHDX_LOG_SECTOR])
{
    memcpy(bytes, patch->sector, VHDX_LOG_SECTOR);
    memcpy(bytes, patch->descriptor + VHDX_DESCRIPTOR_AT_LEADING, 8);
    memcpy(bytes + VHDX_SECTOR_AT_SEQUENCE_LOW, patch->descriptor + VHDX_DESCRIPTOR_AT_TRAILING, 4);
}

void vhdx_replay_on(const struct vhdx_replay *replay, uint64_t offset, uint8_t *bytes,
                    size_t length)
{
    for (size_t n = 0; n < replay->count; n++) {
        const struct vhdx_patch *patch = &replay->patches[n];
        uint64_t from = IMGI_MAX(offset, patch->offset);
        uint64_t to = IMGI_MIN(offset + length, patch->offset + patch->length);
        uint8_t sector[VHDX_LOG_SECTOR];

        if (from >= to)
            continue;
        if (!patch->descriptor) {
            memset(bytes + (from - offset), 0, (size_t)(to - from));
            continue;
        }
        restore(patch, sector);
        memcpy(bytes + (from - offset), sector + (from - patch->offset), (size_t)(to - from));
    }
}

int vhdx_replay_apply(struct vhdx *v, const struct vhdx_replay *replay, img_error *err)
{
    struct imgi_io *file = v->node->file;
    uint8_t sector[VHDX_LOG_SECTOR];
    uint64_t size;
    int rc = imgi_io_size(file, &size, err);

    if (rc == 0 && replay->count > 0 && size < replay->last)
        rc = imgi_io_resize(file, replay->last, IMGI_PREALLOC_OFF, err);
    for (size_t n = 0; rc == 0 && n < replay->count; n++) {
        const struct vhdx_patch *patch = &replay->patches[n];

        if (!patch->descriptor) {
            rc = imgi_io_zero(file, patch->offset, patch->length, true, err);
            continue;
        }
        restore(patch, sector);
        rc = imgi_io_write(file, sector, sizeof(sector), patch->offset, err);
    }
    if (rc == 0)
        rc = imgi_io_flush(file, err);
    return rc < 0 ? rc : vhdx_log_end(v, err);
}

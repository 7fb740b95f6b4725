/*
 * L2 entries: what they say of a cluster. SPDX-License-Identifier: BSD-2-Clause
 *
 * qcow2 specification, sections "L2 table entry", "Extended L2 Entries". An entry has 8 bytes and
 * speaks of a cluster, or 16 and speaks of its 32 subclusters too. Both become the same
 * struct qcow2_entry, in which an ordinary cluster is its own and only subcluster. An entry is
 * judged when it is used, so that one bad entry costs one cluster and not the whole disk.
 */
#include <inttypes.h>

#include "qcow2.h"

/* The bitmap of an extended entry: subclusters with data below, those that read as zeros above. */
#define ZEROS_SHIFT 32

struct qcow2_raw qcow2_raw_get(const struct qcow2 *q, const uint8_t *table, uint64_t index)
{
    const uint8_t *at = table + index * q->l2_entry_bytes;

    return (struct qcow2_raw){imgi_get_be64(at), q->extended_l2 ? imgi_get_be64(at + 8) : 0};
}

void qcow2_raw_put(const struct qcow2 *q, uint8_t *table, uint64_t index, struct qcow2_raw raw)
{
    uint8_t *at = table + index * q->l2_entry_bytes;

    imgi_put_be64(at, raw.cluster);
    if (q->extended_l2)
        imgi_put_be64(at + 8, raw.bitmap);
}

void qcow2_raw_dirty(struct qcow2 *q, const uint8_t *table, uint64_t index, uint64_t count)
{
    imgi_cache_dirty(q->l2_cache, table, (size_t)(index * q->l2_entry_bytes),
                     (size_t)(count * q->l2_entry_bytes));
}

bool qcow2_raw_space(const struct qcow2 *q, struct qcow2_raw raw)
{
    if (raw.cluster & QCOW2_OFFSET_MASK)
        return true;
    return q->data_file && raw.cluster & QCOW2_COPIED &&
           (q->extended_l2 || !(raw.cluster & QCOW2_ZERO));
}

static int bad_entry(struct qcow2_raw raw, uint64_t guest, const char *why, img_error *err)
{
    return imgi_fail(err, IMG_E_CORRUPT,
                     "L2 entry of the guest's bytes at 0x%" PRIx64 ": 0x%016" PRIx64 " %s", guest,
                     raw.cluster, why);
}

static int bad_bitmap(struct qcow2_raw raw, uint64_t guest, const char *why, img_error *err)
{
    return imgi_fail(err, IMG_E_CORRUPT,
                     "L2 entry of the guest's bytes at 0x%" PRIx64 ": 0x%016" PRIx64
                     " with the subcluster bitmap 0x%016" PRIx64 " %s",
                     guest, raw.cluster, raw.bitmap, why);
}

static int decode_packed(const struct qcow2 *q, struct qcow2_raw raw, uint64_t guest,
                         struct qcow2_entry *entry, img_error *err)
{
    struct qcow2_packed packed;

    qcow2_packed_decode(q->cluster_bits, raw.cluster, &packed);
    if (packed.offset > QCOW2_OFFSET_MAX)
        return bad_entry(raw, guest, "points past 2^56", err);
    if (raw.bitmap != 0)
        return bad_bitmap(raw, guest, "is of a compressed cluster", err);
    if (q->data_file)
        return bad_entry(raw, guest, "is of a compressed cluster and the data file is external",
                         err);
    entry->packed = true;
    entry->host = packed.offset;
    entry->length = packed.length;
    return 0;
}

/* Which subclusters have data, and which are zeros. */
static int decode_subclusters(const struct qcow2 *q, struct qcow2_raw raw, uint64_t guest,
                              struct qcow2_entry *entry, img_error *err)
{
    if (!q->extended_l2) {
        entry->zeros = raw.cluster & QCOW2_ZERO ? 1 : 0;
        entry->data = entry->space && !entry->zeros ? 1 : 0;
        return 0;
    }
    entry->data = (uint32_t)raw.bitmap;
    entry->zeros = (uint32_t)(raw.bitmap >> ZEROS_SHIFT);
    if (entry->data & entry->zeros)
        return bad_bitmap(raw, guest, "says both data and zeros of a subcluster", err);
    if (entry->data && !entry->space)
        return bad_bitmap(raw, guest, "says data of a subcluster and has no place for it", err);
    return 0;
}

int qcow2_entry_decode(const struct qcow2 *q, struct qcow2_raw raw, uint64_t guest,
                       struct qcow2_entry *entry, img_error *err)
{
    uint64_t offset = raw.cluster & QCOW2_OFFSET_MASK;

    *entry = (struct qcow2_entry){0};
    if (raw.cluster == 0 && raw.bitmap == 0)
        return 0;
    if (raw.cluster & QCOW2_COMPRESSED)
        return decode_packed(q, raw, guest, entry, err);
    if (raw.cluster & QCOW2_L2_RESERVED ||
        (raw.cluster & QCOW2_ZERO && (q->header.version < 3 || q->extended_l2)))
        return bad_entry(raw, guest, "has reserved bits set", err);
    if (offset & (q->cluster_size - 1))
        return bad_entry(raw, guest, "does not point at the start of a cluster", err);
    entry->host = offset;
    entry->space = qcow2_raw_space(q, raw);
    if (q->data_file && entry->space && offset != imgi_align_down(guest, q->cluster_size))
        return bad_entry(raw, guest, "points elsewhere in the external data file", err);
    entry->copied = entry->space && (q->data_file || raw.cluster & QCOW2_COPIED);
    return decode_subclusters(q, raw, guest, entry, err);
}

struct qcow2_raw qcow2_entry_encode(const struct qcow2 *q, const struct qcow2_entry *entry)
{
    struct qcow2_raw raw = {0};

    if (entry->packed) {
        raw.cluster = qcow2_packed_encode(q->cluster_bits, entry->host, entry->length);
        return raw;
    }
    raw.cluster = entry->host | (entry->copied ? QCOW2_COPIED : 0);
    if (q->extended_l2)
        raw.bitmap = (uint64_t)entry->zeros << ZEROS_SHIFT | entry->data;
    else if (entry->zeros)
        raw.cluster |= QCOW2_ZERO;
    return raw;
}

enum imgi_kind qcow2_entry_kind(const struct qcow2_entry *entry, unsigned subcluster)
{
    uint32_t bit = UINT32_C(1) << subcluster;

    if (entry->packed)
        return IMGI_PACKED;
    if (entry->data & bit)
        return IMGI_DATA;
    return entry->zeros & bit ? IMGI_ZERO : IMGI_ABSENT;
}

unsigned qcow2_entry_run(const struct qcow2 *q, const struct qcow2_entry *entry,
                         unsigned subcluster)
{
    enum imgi_kind kind = qcow2_entry_kind(entry, subcluster);
    unsigned end = subcluster + 1;

    while (end < q->subclusters && qcow2_entry_kind(entry, end) == kind)
        end++;
    return end - subcluster;
}

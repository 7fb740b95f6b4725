/*
 * Entries of the log as they lie in the file (2.3.1). SPDX-License-Identifier: BSD-2-Clause
 *
 * A header, descriptors of 32 bytes that fill the first sectors, and one sector of data for each
 * data descriptor. Each sector of data has the entry's sequence number where the target's first
 * eight and last four bytes were, which the descriptor keeps: an entry that was torn is noticed
 * sector by sector, even without its checksum.
 */
#include "vhdx.h"

uint32_t vhdx_log_descriptor_sectors(uint32_t descriptors)
{
    /* The header takes the room of two. */
    return (uint32_t)imgi_div_up(((uint64_t)descriptors + 2) * VHDX_DESCRIPTOR_BYTES,
                                 VHDX_LOG_SECTOR);
}

bool vhdx_log_entry_peek(const uint8_t *bytes, uint32_t length, const struct vhdx_guid *log,
                         struct vhdx_log_entry *out)
{
    struct vhdx_log_entry entry = {
        .length = imgi_get_le32(bytes + VHDX_LOG_AT_LENGTH),
        .tail = imgi_get_le32(bytes + VHDX_LOG_AT_TAIL),
        .descriptors = imgi_get_le32(bytes + VHDX_LOG_AT_DESCRIPTORS),
        .sequence = imgi_get_le64(bytes + VHDX_LOG_AT_SEQUENCE),
        .flushed = imgi_get_le64(bytes + VHDX_LOG_AT_FLUSHED),
        .last = imgi_get_le64(bytes + VHDX_LOG_AT_LAST),
        .guid = vhdx_guid_get(bytes + VHDX_LOG_AT_GUID),
    };

    if (imgi_get_le32(bytes) != VHDX_LOG_SIGNATURE || !vhdx_guid_equal(&entry.guid, log) ||
        entry.length == 0 || entry.length > length || entry.length % VHDX_LOG_SECTOR != 0 ||
        entry.tail >= length || entry.tail % VHDX_LOG_SECTOR != 0 || entry.sequence == 0 ||
        vhdx_log_descriptor_sectors(entry.descriptors) > entry.length / VHDX_LOG_SECTOR)
        return false;
    *out = entry;
    return true;
}

/* A descriptor that is one, and what it stands for can be in a file. */
static bool descriptor_ok(const uint8_t *descriptor, const struct vhdx_log_entry *entry)
{
    uint32_t signature = imgi_get_le32(descriptor);
    uint64_t length = signature == VHDX_ZERO_SIGNATURE
                          ? imgi_get_le64(descriptor + VHDX_DESCRIPTOR_AT_LEADING)
                          : VHDX_LOG_SECTOR;
    uint64_t offset = imgi_get_le64(descriptor + VHDX_DESCRIPTOR_AT_OFFSET);

    return (signature == VHDX_ZERO_SIGNATURE || signature == VHDX_DATA_SIGNATURE) &&
           imgi_get_le64(descriptor + VHDX_DESCRIPTOR_AT_SEQUENCE) == entry->sequence &&
           (offset | length) % VHDX_LOG_SECTOR == 0 &&
           imgi_span_ok(offset, length, VHDX_FILE_BYTES_MAX);
}

static bool sector_ok(const uint8_t *sector, const struct vhdx_log_entry *entry)
{
    return imgi_get_le32(sector) == VHDX_SECTOR_SIGNATURE &&
           imgi_get_le32(sector + 4) == (uint32_t)(entry->sequence >> 32) &&
           imgi_get_le32(sector + VHDX_SECTOR_AT_SEQUENCE_LOW) == (uint32_t)entry->sequence;
}

bool vhdx_log_entry_decode(const uint8_t *bytes, uint32_t length, const struct vhdx_guid *log,
                           struct vhdx_log_entry *out)
{
    struct vhdx_log_entry entry;
    uint32_t sector;

    if (!vhdx_log_entry_peek(bytes, length, log, &entry) ||
        imgi_get_le32(bytes + 4) != vhdx_crc(bytes, entry.length))
        return false;
    sector = vhdx_log_descriptor_sectors(entry.descriptors);
    for (uint32_t n = 0; n < entry.descriptors; n++) {
        const uint8_t *descriptor =
            bytes + VHDX_LOG_HEADER_BYTES + (size_t)n * VHDX_DESCRIPTOR_BYTES;

        if (!descriptor_ok(descriptor, &entry))
            return false;
        if (imgi_get_le32(descriptor) == VHDX_ZERO_SIGNATURE)
            continue;
        if (sector == entry.length / VHDX_LOG_SECTOR ||
            !sector_ok(bytes + (size_t)sector * VHDX_LOG_SECTOR, &entry))
            return false;
        sector++;
    }
    *out = entry;
    return true;
}

static void encode_change(const struct vhdx_change *change, uint64_t sequence, uint8_t *descriptor,
                          uint8_t *sector)
{
    imgi_put_le32(descriptor, VHDX_DATA_SIGNATURE);
    memcpy(descriptor + VHDX_DESCRIPTOR_AT_TRAILING, change->bytes + VHDX_SECTOR_AT_SEQUENCE_LOW,
           4);
    memcpy(descriptor + VHDX_DESCRIPTOR_AT_LEADING, change->bytes, 8);
    imgi_put_le64(descriptor + VHDX_DESCRIPTOR_AT_OFFSET, change->offset);
    imgi_put_le64(descriptor + VHDX_DESCRIPTOR_AT_SEQUENCE, sequence);
    memcpy(sector, change->bytes, VHDX_LOG_SECTOR);
    imgi_put_le32(sector, VHDX_SECTOR_SIGNATURE);
    imgi_put_le32(sector + 4, (uint32_t)(sequence >> 32));
    imgi_put_le32(sector + VHDX_SECTOR_AT_SEQUENCE_LOW, (uint32_t)sequence);
}

void vhdx_log_entry_encode(const struct vhdx_log_entry *entry, const struct vhdx_change *changes,
                           uint8_t *bytes)
{
    memset(bytes, 0, VHDX_LOG_SECTOR);
    imgi_put_le32(bytes, VHDX_LOG_SIGNATURE);
    imgi_put_le32(bytes + VHDX_LOG_AT_LENGTH, entry->length);
    imgi_put_le32(bytes + VHDX_LOG_AT_TAIL, entry->tail);
    imgi_put_le64(bytes + VHDX_LOG_AT_SEQUENCE, entry->sequence);
    imgi_put_le32(bytes + VHDX_LOG_AT_DESCRIPTORS, entry->descriptors);
    vhdx_guid_put(bytes + VHDX_LOG_AT_GUID, &entry->guid);
    imgi_put_le64(bytes + VHDX_LOG_AT_FLUSHED, entry->flushed);
    imgi_put_le64(bytes + VHDX_LOG_AT_LAST, entry->last);
    for (uint32_t n = 0; n < entry->descriptors; n++)
        encode_change(&changes[n], entry->sequence,
                      bytes + VHDX_LOG_HEADER_BYTES + (size_t)n * VHDX_DESCRIPTOR_BYTES,
                      bytes + (size_t)(n + 1) * VHDX_LOG_SECTOR);
    imgi_put_le32(bytes + 4, vhdx_crc(bytes, entry->length));
}

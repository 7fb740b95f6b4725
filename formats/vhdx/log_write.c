/*
 * Writing through the log. SPDX-License-Identifier: BSD-2-Clause
 *
 * An entry is on disk before the sectors that it names change, and these are on disk before the
 * next entry is written: each entry is its own tail. The header names the log from the first entry
 * after an open to the end; a new GUID each time makes what lies in the ring from before worthless.
 */
#include <stdlib.h>

#include "vhdx.h"

static int log_begin(struct vhdx *v, img_error *err)
{
    struct vhdx_guid none = {{0}};
    int rc;

    if (!vhdx_guid_is_zero(&v->header.log))
        return 0;
    v->header.log = vhdx_guid_new(&v->header.data_write);
    v->header.log_version = VHDX_LOG_VERSION;
    v->log_sequence = 1;
    v->log_at = 0;
    rc = vhdx_headers_write(v, err);
    if (rc < 0)
        v->header.log = none;
    return rc;
}

/* Write an entry to the ring, whose end may cut it in two. */
static int write_entry(struct vhdx *v, const uint8_t *bytes, uint32_t length, img_error *err)
{
    const struct vhdx_header *header = &v->header;
    uint32_t first = IMGI_MIN(length, header->log_length - v->log_at);
    int rc = imgi_io_write(v->node->file, bytes, first, header->log_offset + v->log_at, err);

    if (rc == 0 && first < length)
        rc = imgi_io_write(v->node->file, bytes + first, length - first, header->log_offset, err);
    if (rc == 0)
        rc = imgi_io_flush(v->node->file, err);
    if (rc < 0)
        return rc;
    v->log_at = (v->log_at + length) % header->log_length;
    v->log_sequence++;
    return 0;
}

int vhdx_log_write(struct vhdx *v, const struct vhdx_change *changes, uint32_t count,
                   img_error *err)
{
    uint32_t length = (count + 1) * VHDX_LOG_SECTOR;
    struct vhdx_log_entry entry = {.length = length, .descriptors = count};
    uint8_t *bytes = malloc(length);
    uint64_t size;
    int rc = bytes ? log_begin(v, err) : imgi_fail_nomem(err, "an entry of the log");

    if (rc == 0)
        rc = imgi_io_size(v->node->file, &size, err);
    if (rc == 0) {
        entry.tail = v->log_at;
        entry.sequence = v->log_sequence;
        entry.guid = v->header.log;
        entry.flushed = entry.last = imgi_align_down(size, VHDX_MIB);
        vhdx_log_entry_encode(&entry, changes, bytes);
        rc = write_entry(v, bytes, length, err);
    }
    for (uint32_t n = 0; rc == 0 && n < count; n++)
        rc =
            imgi_io_write(v->node->file, changes[n].bytes, VHDX_LOG_SECTOR, changes[n].offset, err);
    if (rc == 0)
        rc = imgi_io_flush(v->node->file, err);
    free(bytes);
    return rc;
}

int vhdx_log_end(struct vhdx *v, img_error *err)
{
    if (vhdx_guid_is_zero(&v->header.log))
        return 0;
    v->header.log = (struct vhdx_guid){{0}};
    return vhdx_headers_write(v, err);
}

/*
 * The snapshot table. SPDX-License-Identifier: BSD-2-Clause
 *
 * qcow2 specification, section "Snapshots". Records have no fixed length; each is read by
 * itself, so that memory is bounded by what the file really has.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "snapshot.h"

static void decode_fixed(const uint8_t *record, struct qcow2_snapshot *snapshot)
{
    *snapshot = (struct qcow2_snapshot){
        .l1_offset = imgi_get_be64(record + QCOW2_SNAP_L1_OFFSET),
        .l1_entries = imgi_get_be32(record + QCOW2_SNAP_L1_ENTRIES),
        .id_length = imgi_get_be16(record + QCOW2_SNAP_ID_LENGTH),
        .name_length = imgi_get_be16(record + QCOW2_SNAP_NAME_LENGTH),
        .seconds = imgi_get_be32(record + QCOW2_SNAP_SECONDS),
        .nanoseconds = imgi_get_be32(record + QCOW2_SNAP_NANOSECONDS),
        .clock = imgi_get_be64(record + QCOW2_SNAP_CLOCK),
        .vm_state = imgi_get_be32(record + QCOW2_SNAP_VM_STATE),
        .icount = UINT64_MAX,
        .extra_length = imgi_get_be32(record + QCOW2_SNAP_EXTRA_LENGTH),
    };
}

static void decode_extra(const uint8_t *extra, uint64_t disk_size, struct qcow2_snapshot *snapshot)
{
    snapshot->disk_size = disk_size;
    if (snapshot->extra_length >= 8)
        snapshot->vm_state = imgi_get_be64(extra + QCOW2_SNAP_EXTRA_VM_STATE);
    if (snapshot->extra_length >= QCOW2_SNAP_EXTRA_V3)
        snapshot->disk_size = imgi_get_be64(extra + QCOW2_SNAP_EXTRA_DISK_SIZE);
    if (snapshot->extra_length >= QCOW2_SNAP_EXTRA_KNOWN)
        snapshot->icount = imgi_get_be64(extra + QCOW2_SNAP_EXTRA_ICOUNT);
}

/* length bytes, and a zero behind them. */
static void *copy_bytes(const void *from, size_t length)
{
    char *copy = malloc(length + 1);

    if (copy) {
        memcpy(copy, from, length);
        copy[length] = '\0';
    }
    return copy;
}

/* Read the record at `at` bytes into the table. *length: of the record, without padding. */
static int read_record(struct qcow2 *q, uint64_t at, size_t number, uint8_t *buffer,
                       struct qcow2_snapshot *snapshot, uint64_t *length, img_error *err)
{
    uint64_t offset = q->header.snapshots_offset + at;
    const uint8_t *id;
    int rc = imgi_io_read(q->node->file, buffer, QCOW2_SNAP_FIXED, offset, err);

    if (rc < 0)
        goto out;
    decode_fixed(buffer, snapshot);
    if (snapshot->extra_length > QCOW2_SNAPSHOT_EXTRA_MAX) {
        rc = imgi_fail(err, IMG_E_LIMIT, "%" PRIu32 " bytes of extra data", snapshot->extra_length);
        goto out;
    }
    *length =
        QCOW2_SNAP_FIXED + snapshot->extra_length + snapshot->id_length + snapshot->name_length;
    rc = imgi_io_read(q->node->file, buffer, (size_t)*length - QCOW2_SNAP_FIXED,
                      offset + QCOW2_SNAP_FIXED, err);
    if (rc < 0)
        goto out;
    decode_extra(buffer, q->header.size, snapshot);
    id = buffer + snapshot->extra_length;
    snapshot->extra = copy_bytes(buffer, snapshot->extra_length);
    snapshot->id = copy_bytes(id, snapshot->id_length);
    snapshot->name = copy_bytes(id + snapshot->id_length, snapshot->name_length);
    if (!snapshot->extra || !snapshot->id || !snapshot->name)
        rc = imgi_fail_nomem(err, "the snapshot table");
out:
    if (rc < 0)
        imgi_error_prefix(err, "snapshot table entry %zu at 0x%" PRIx64, number, offset);
    return rc;
}

int qcow2_snapshots_load(struct qcow2 *q, struct qcow2_snapshots *snapshots, img_error *err)
{
    /* The longest record: texts have 16-bit lengths. */
    uint8_t *buffer = malloc(QCOW2_SNAPSHOT_EXTRA_MAX + 2 * UINT16_MAX);
    uint64_t at = 0, length = 0;
    int rc = 0;

    *snapshots = (struct qcow2_snapshots){0};
    snapshots->list = calloc((size_t)q->header.snapshots + 1, sizeof(*snapshots->list));
    if (!buffer || !snapshots->list)
        rc = imgi_fail_nomem(err, "the snapshot table");
    for (uint32_t i = 0; rc == 0 && i < q->header.snapshots; i++) {
        at = imgi_align_up(at + length, 8);
        snapshots->count = i + 1;
        rc = read_record(q, at, i, buffer, &snapshots->list[i], &length, err);
        if (rc == 0 && at + length > QCOW2_SNAPSHOT_TABLE_BYTES_MAX)
            rc = imgi_fail(err, IMG_E_LIMIT, "Snapshot table too large: more than %u bytes",
                           QCOW2_SNAPSHOT_TABLE_BYTES_MAX);
    }
    snapshots->bytes = at + length;
    free(buffer);
    if (rc < 0)
        qcow2_snapshots_free(snapshots);
    return rc;
}

void qcow2_snapshots_free(struct qcow2_snapshots *snapshots)
{
    for (size_t i = 0; i < snapshots->count; i++) {
        free(snapshots->list[i].extra);
        free(snapshots->list[i].id);
        free(snapshots->list[i].name);
    }
    free(snapshots->list);
    *snapshots = (struct qcow2_snapshots){0};
}

/* ------------------------------------------------------------------------- writing */

/* Extra data that we write: what was there, and what QEMU puts there at least. */
static uint32_t extra_written(const struct qcow2_snapshot *snapshot)
{
    return IMGI_MAX(snapshot->extra_length, (uint32_t)QCOW2_SNAP_EXTRA_KNOWN);
}

static size_t record_size(const struct qcow2_snapshot *snapshot)
{
    return QCOW2_SNAP_FIXED + (size_t)extra_written(snapshot) + snapshot->id_length +
           snapshot->name_length;
}

int qcow2_snapshots_size(const struct qcow2_snapshots *snapshots, uint64_t *bytes, img_error *err)
{
    *bytes = 0;
    for (size_t i = 0; i < snapshots->count; i++)
        *bytes = imgi_align_up(*bytes, 8) + record_size(&snapshots->list[i]);
    if (*bytes > QCOW2_SNAPSHOT_TABLE_BYTES_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "Snapshot table too large: %" PRIu64 " bytes", *bytes);
    return 0;
}

static void encode_record(const struct qcow2_snapshot *snapshot, uint8_t *to)
{
    uint8_t *extra = to + QCOW2_SNAP_FIXED, *id = extra + extra_written(snapshot);

    imgi_put_be64(to + QCOW2_SNAP_L1_OFFSET, snapshot->l1_offset);
    imgi_put_be32(to + QCOW2_SNAP_L1_ENTRIES, snapshot->l1_entries);
    imgi_put_be16(to + QCOW2_SNAP_ID_LENGTH, snapshot->id_length);
    imgi_put_be16(to + QCOW2_SNAP_NAME_LENGTH, snapshot->name_length);
    imgi_put_be32(to + QCOW2_SNAP_SECONDS, snapshot->seconds);
    imgi_put_be32(to + QCOW2_SNAP_NANOSECONDS, snapshot->nanoseconds);
    imgi_put_be64(to + QCOW2_SNAP_CLOCK, snapshot->clock);
    imgi_put_be32(to + QCOW2_SNAP_VM_STATE,
                  snapshot->vm_state > UINT32_MAX ? 0 : (uint32_t)snapshot->vm_state);
    imgi_put_be32(to + QCOW2_SNAP_EXTRA_LENGTH, extra_written(snapshot));
    if (snapshot->extra_length > 0)
        memcpy(extra, snapshot->extra, snapshot->extra_length);
    imgi_put_be64(extra + QCOW2_SNAP_EXTRA_VM_STATE, snapshot->vm_state);
    imgi_put_be64(extra + QCOW2_SNAP_EXTRA_DISK_SIZE, snapshot->disk_size);
    imgi_put_be64(extra + QCOW2_SNAP_EXTRA_ICOUNT, snapshot->icount);
    memcpy(id, snapshot->id, snapshot->id_length);
    memcpy(id + snapshot->id_length, snapshot->name, snapshot->name_length);
}

void qcow2_snapshots_encode(const struct qcow2_snapshots *snapshots, uint8_t *to)
{
    size_t at = 0;

    for (size_t i = 0; i < snapshots->count; i++) {
        at = (size_t)imgi_align_up(at, 8);
        encode_record(&snapshots->list[i], to + at);
        at += record_size(&snapshots->list[i]);
    }
}

/* -------------------------------------------------------------------------- telling */

static void say_snapshot(struct imgi_info *info, const struct qcow2_snapshot *snapshot)
{
    imgi_info_dict_begin(info, NULL);
    if (snapshot->icount != UINT64_MAX)
        imgi_info_uint(info, "icount", snapshot->icount);
    imgi_info_uint(info, "vm-clock-nsec", snapshot->clock % 1000000000);
    imgi_info_string(info, "name", snapshot->name);
    imgi_info_uint(info, "date-sec", snapshot->seconds);
    imgi_info_uint(info, "date-nsec", snapshot->nanoseconds);
    imgi_info_uint(info, "vm-clock-sec", snapshot->clock / 1000000000);
    imgi_info_string(info, "id", snapshot->id);
    imgi_info_uint(info, "vm-state-size", snapshot->vm_state);
    imgi_info_dict_end(info);
}

int qcow2_info_snapshots(struct imgi_node *node, struct imgi_info *info, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    struct qcow2_snapshots snapshots;
    int rc;

    if (q->header.snapshots == 0)
        return 0;
    rc = qcow2_snapshots_load(q, &snapshots, err);
    if (rc < 0)
        return rc;
    imgi_info_list_begin(info, "snapshots");
    for (size_t i = 0; i < snapshots.count; i++)
        say_snapshot(info, &snapshots.list[i]);
    imgi_info_list_end(info);
    qcow2_snapshots_free(&snapshots);
    return 0;
}

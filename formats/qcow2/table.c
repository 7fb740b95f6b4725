/*
 * The L1 table and the refcount table: whole in memory. SPDX-License-Identifier: BSD-2-Clause
 *
 * Entries change in memory; the pieces that changed are written when flush.c says that what they
 * point at is on disk.
 */
#include <stdlib.h>

#include "qcow2.h"

static uint64_t pieces(const struct qcow2_table *table)
{
    return imgi_div_up(table->count, QCOW2_TABLE_PIECE);
}

int qcow2_table_new(struct qcow2_table *table, uint64_t offset, uint64_t count, img_error *err)
{
    *table = (struct qcow2_table){.count = count, .offset = offset};
    /* One more than needed: a table may be empty, and loaded all the same. */
    table->entries = calloc((size_t)count + 1, sizeof(*table->entries));
    table->dirty = calloc((size_t)pieces(table) + 1, 1);
    if (!table->entries || !table->dirty) {
        qcow2_table_free(table);
        return imgi_fail_nomem(err, "a table of an image");
    }
    return 0;
}

int qcow2_table_load(struct qcow2_table *table, const char *what, struct imgi_node *node,
                     uint64_t offset, uint64_t count, img_error *err)
{
    struct imgi_table place = {.what = what,
                               .offset = offset,
                               .entries = count,
                               .entry_size = QCOW2_ENTRY_BYTES,
                               .alignment = QCOW2_SECTOR};
    int rc = imgi_io_size(node->file, &place.file_size, err);

    if (rc == 0)
        rc = imgi_policy_table(node->policy, &place, err);
    if (rc == 0)
        rc = qcow2_table_new(table, offset, count, err);
    if (rc < 0)
        return rc;
    rc = imgi_io_read(node->file, table->entries, (size_t)count * QCOW2_ENTRY_BYTES, offset, err);
    if (rc < 0) {
        imgi_error_prefix(err, "%s", what);
        qcow2_table_free(table);
        return rc;
    }
    for (uint64_t i = 0; i < count; i++)
        table->entries[i] = be64toh(table->entries[i]);
    return 0;
}

void qcow2_table_set(struct qcow2_table *table, uint64_t index, uint64_t entry)
{
    table->entries[index] = entry;
    table->dirty[index / QCOW2_TABLE_PIECE] = 1;
    table->any_dirty = true;
}

void qcow2_table_set_dirty(struct qcow2_table *table)
{
    memset(table->dirty, 1, (size_t)pieces(table));
    table->any_dirty = table->count > 0;
}

int qcow2_table_write(struct qcow2_table *table, struct imgi_io *io, img_error *err)
{
    uint8_t buffer[QCOW2_TABLE_PIECE * QCOW2_ENTRY_BYTES];

    for (uint64_t piece = 0; table->any_dirty && piece < pieces(table); piece++) {
        uint64_t first = piece * QCOW2_TABLE_PIECE;
        uint64_t count = IMGI_MIN(table->count - first, (uint64_t)QCOW2_TABLE_PIECE);
        int rc;

        if (!table->dirty[piece])
            continue;
        for (uint64_t i = 0; i < count; i++)
            imgi_put_be64(buffer + i * QCOW2_ENTRY_BYTES, table->entries[first + i]);
        rc = imgi_io_write(io, buffer, (size_t)count * QCOW2_ENTRY_BYTES,
                           table->offset + first * QCOW2_ENTRY_BYTES, err);
        if (rc < 0)
            return rc;
        table->dirty[piece] = 0;
    }
    table->any_dirty = false;
    return 0;
}

void qcow2_table_free(struct qcow2_table *table)
{
    free(table->entries);
    free(table->dirty);
    *table = (struct qcow2_table){0};
}

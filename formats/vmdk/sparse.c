/*
 * Sparse extents: which grain lies where. SPDX-License-Identifier: BSD-2-Clause
 *
 * Offsets given to these functions are of the disk; `at` is what is left when the extent's own
 * offset is taken away. An entry past the end of the file is no error here: who reads
 * the grain says so, and can salvage the rest.
 */
#include <stdlib.h>

#include "vmdk.h"

/* What a table says of one grain. */
struct lookup {
    enum imgi_kind kind;
    uint64_t host;
};

static int read_header(struct vmdk_sparse *sparse, uint64_t *file_size, img_error *err)
{
    uint8_t bytes[VMDK_HEADER_BYTES];
    int rc = imgi_io_size(sparse->io, file_size, err);

    if (rc == 0 && *file_size < sizeof(bytes))
        return imgi_fail(err, IMG_E_FORMAT, "no sparse extent: the file has only %llu bytes",
                         (unsigned long long)*file_size);
    if (rc == 0)
        rc = imgi_io_read(sparse->io, bytes, sizeof(bytes), 0, err);
    if (rc == 0)
        rc = vmdk_header_decode(bytes, &sparse->header, err);
    sparse->header_sectors = VMDK_HEADER_BYTES / VMDK_SECTOR;
    return rc < 0 ? rc : vmdk_header_check(&sparse->header, *file_size, err);
}

int vmdk_directory_read(struct imgi_node *node, const struct vmdk_sparse *sparse, uint64_t sector,
                        uint8_t **entries, img_error *err)
{
    struct imgi_table table = {.what = "grain directory",
                               .offset = sector * VMDK_SECTOR,
                               .entries = sparse->gd_entries,
                               .entry_size = 4};
    size_t bytes = (size_t)sparse->gd_entries * 4;
    int rc = imgi_io_size(sparse->io, &table.file_size, err);

    if (rc == 0)
        rc = imgi_policy_table(node->policy, &table, err);
    if (rc < 0)
        return rc;
    *entries = malloc(bytes);
    if (!*entries)
        return imgi_fail_nomem(err, "a grain directory");
    return imgi_io_read(sparse->io, *entries, bytes, table.offset, err);
}

/* What only writing needs. */
static int prepare_writing(struct imgi_node *node, struct vmdk_sparse *sparse, uint64_t file_size,
                           img_error *err)
{
    const struct vmdk_header *header = &sparse->header;

    if (vmdk_is_stream(header) && !(node->flags & IMG_OPEN_CHECK))
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "a streamOptimized image can be written only while it is being made");
    if (header->version == VMDK_VERSION_STREAM && !vmdk_is_stream(header))
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "the image has change tracking (version 3): it cannot be written");
    if (header->overhead > imgi_div_up(file_size, VMDK_SECTOR) + header->grain_size)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "sparse extent header: the first grain is at sector %llu, past the end of "
                         "the file (%llu bytes)",
                         (unsigned long long)header->overhead, (unsigned long long)file_size);
    sparse->next =
        imgi_align_up(IMGI_MAX(file_size, header->overhead * VMDK_SECTOR), sparse->grain);
    if (!(header->flags & VMDK_FLAG_REDUNDANT))
        return 0;
    return vmdk_directory_read(node, sparse, header->rgd_offset, &sparse->rgd, err);
}

static int judge_piped(const struct vmdk_header *header, img_error *err)
{
    if (vmdk_is_stream(header))
        return 0;
    return imgi_fail(err, IMG_E_UNSUPPORTED,
                     "of VMDK images only streamOptimized ones can be read from a pipe");
}

/* Where the header leaves it to the footer. */
static int locate_directory(const struct imgi_node *node, struct vmdk_sparse *sparse,
                            img_error *err)
{
    int rc;

    if (sparse->header.gd_offset != VMDK_GD_AT_END)
        return 0;
    if (node->being_made)
        return vmdk_stream_begin(sparse, err);
    rc = vmdk_stream_locate(sparse->io, &sparse->header, err);
    sparse->has_footer = rc == 0;
    return rc;
}

/* The directory, and what only writing needs. */
static int open_tables(struct imgi_node *node, struct vmdk_sparse *sparse, size_t extents,
                       img_error *err)
{
    uint64_t file_size;
    int rc = locate_directory(node, sparse, err);

    if (rc == 0)
        rc = imgi_io_size(sparse->io, &file_size, err);
    if (rc < 0)
        return rc;
    if (!sparse->stream)
        rc = vmdk_directory_read(node, sparse, sparse->header.gd_offset, &sparse->gd, err);
    if (rc == 0 && node->writable && !sparse->stream)
        rc = prepare_writing(node, sparse, file_size, err);
    return rc < 0 ? rc : vmdk_tables_open(sparse, extents, err);
}

/* A stream, as far as there are grains. */
static int open_damaged(struct imgi_node *node, struct vmdk_sparse *sparse, img_error *err)
{
    img_error why;
    int rc = open_tables(node, sparse, 1, &why);

    if (rc == IMG_E_NOMEM)
        return imgi_fail_nomem(err, "tables");
    return vmdk_salvage_open(node, sparse, rc < 0 ? why.message : NULL, err);
}

/* A stream to be checked: what has no tables can still be walked from front to back. */
static int open_checked(struct imgi_node *node, struct vmdk_sparse *sparse, img_error *err)
{
    img_error failure = {0};
    int rc = open_tables(node, sparse, 1, &failure);

    if (rc == IMG_E_CORRUPT)
        return vmdk_sequence_begin(sparse, err);
    if (rc < 0 && err)
        *err = failure;
    return rc;
}

int vmdk_sparse_open(struct imgi_node *node, struct imgi_io *io, enum vmdk_type type,
                     size_t extents, struct vmdk_sparse **out, img_error *err)
{
    struct vmdk_sparse *sparse = calloc(1, sizeof(*sparse));
    struct vmdk_header *header;
    uint64_t file_size;
    bool piped = imgi_io_is_pipe(io) && !node->writable;
    int rc;

    *out = sparse;
    if (!sparse)
        return imgi_fail_nomem(err, "a sparse extent");
    sparse->io = io;
    header = &sparse->header;
    if (type == VMDK_TYPE_VMFSSPARSE)
        rc = vmdk_cowd_read_header(sparse, &file_size, err);
    else
        rc = read_header(sparse, &file_size, err);
    if (rc == 0 && piped)
        rc = judge_piped(header, err);
    if (rc < 0)
        return rc;
    sparse->grain = header->grain_size * VMDK_SECTOR;
    sparse->size = header->capacity * VMDK_SECTOR;
    sparse->gd_entries = vmdk_gd_entries(header);
    vmdk_state(node)->directory_bytes += 4 * sparse->gd_entries;
    rc = imgi_policy_limit(node->policy, IMG_LIMIT_TABLE_BYTES, vmdk_state(node)->directory_bytes,
                           "bytes of all grain directories", err);
    if (rc < 0)
        return rc;
    if (piped)
        return vmdk_sequence_begin(sparse, err);
    if (vmdk_is_stream(header) && !node->writable && (node->flags & IMG_OPEN_SALVAGE))
        return open_damaged(node, sparse, err);
    if (vmdk_is_stream(header) && !node->writable && (node->flags & IMG_OPEN_CHECK))
        return open_checked(node, sparse, err);
    return open_tables(node, sparse, extents, err);
}

void vmdk_sparse_free(struct vmdk_sparse *sparse)
{
    if (!sparse)
        return;
    imgi_cache_free(sparse->tables);
    imgi_cache_free(sparse->redundant);
    free(sparse->stream);
    vmdk_salvage_free(sparse->salvage);
    vmdk_sequence_free(sparse->sequence);
    free(sparse->gd);
    free(sparse->rgd);
    free(sparse);
}

/* One table on its way through a lookup. */
struct table {
    const uint8_t *entries;
    uint64_t index;
};

/* What one entry of a table means. */
static int judge_entry(const struct vmdk_sparse *sparse, const struct table *table, uint64_t entry,
                       struct lookup *found, img_error *err)
{
    const struct vmdk_header *header = &sparse->header;
    uint32_t sector = imgi_get_le32(table->entries + 4 * entry);

    found->host = (uint64_t)sector * VMDK_SECTOR;
    if (sector == VMDK_ENTRY_ABSENT) {
        found->kind = IMGI_ABSENT;
    } else if (sector == VMDK_ENTRY_ZERO && (header->flags & VMDK_FLAG_ZERO_GRAINS)) {
        found->kind = IMGI_ZERO;
    } else if (vmdk_is_stream(header)) {
        found->kind = IMGI_PACKED;
    } else if (sector < header->overhead) {
        return imgi_fail(
            err, IMG_E_CORRUPT,
            "grain table %llu: entry %llu points before the first grain (0x%llx, grains "
            "begin at 0x%llx)",
            (unsigned long long)table->index, (unsigned long long)entry,
            (unsigned long long)found->host, (unsigned long long)header->overhead * VMDK_SECTOR);
    } else {
        found->kind = IMGI_DATA;
    }
    return 0;
}

/*
 * Bytes that the compressed grain at host may have: up to the next one that its table knows, and no
 * more than deflate can make of a grain, and none past the end of the file.
 */
static int stored_bytes(const struct vmdk_sparse *sparse, const struct table *table, uint64_t entry,
                        uint64_t host, uint64_t *stored, img_error *err)
{
    uint64_t file_size, next = 0;
    int rc = imgi_io_size(sparse->io, &file_size, err);

    for (uint64_t i = entry + 1; i < sparse->header.num_gtes && next <= VMDK_SECTOR; i++)
        next = (uint64_t)imgi_get_le32(table->entries + 4 * i) * VMDK_SECTOR;
    *stored = 2 * sparse->grain + VMDK_SECTOR;
    if (next > host)
        *stored = IMGI_MIN(*stored, next - host);
    *stored = host < file_size ? IMGI_MIN(*stored, file_size - host) : 0;
    return rc;
}

/* Put more grains of the same table onto a run that ends before the entry. */
static void extend_run(const struct vmdk_sparse *sparse, const struct table *table, uint64_t entry,
                       uint64_t host, uint64_t limit, struct imgi_extent *run)
{
    struct lookup found = {IMGI_ABSENT, 0};

    for (; run->length < limit && entry < sparse->header.num_gtes; entry++) {
        if (judge_entry(sparse, table, entry, &found, NULL) < 0 || found.kind != run->kind ||
            (found.kind == IMGI_DATA && found.host != host))
            break;
        host += sparse->grain;
        run->length += sparse->grain;
    }
    run->length = IMGI_MIN(run->length, limit);
}

/* A run of one kind inside one table, or of the whole of a table that is not there. */
static int map_table(const struct imgi_node *node, const struct vmdk_sparse *sparse, uint64_t at,
                     uint64_t length, struct imgi_extent *run, img_error *err)
{
    uint64_t covers = sparse->grain * sparse->header.num_gtes;
    uint64_t entry = at % covers / sparse->grain, inside = at % sparse->grain;
    struct table table = {.index = at / covers};
    struct lookup found = {IMGI_ABSENT, 0};
    int rc = vmdk_table_get(sparse, table.index, &table.entries, err);

    if (rc == 0 && !table.entries) {
        run->kind = IMGI_ABSENT;
        run->length = IMGI_MIN(length, covers - at % covers);
        return 0;
    }
    if (rc == 0)
        rc = judge_entry(sparse, &table, entry, &found, err);
    if (rc < 0)
        return rc;
    run->kind = found.kind;
    run->length = IMGI_MIN(length, sparse->grain - inside);
    if (found.kind == IMGI_PACKED) {
        run->io = sparse->io;
        run->host = found.host;
        return stored_bytes(sparse, &table, entry, found.host, &run->stored, err);
    }
    if (found.kind == IMGI_DATA) {
        run->io = sparse->io;
        run->host = found.host + inside;
        run->flags = node->writable ? IMGI_EXTENT_INPLACE : 0;
    }
    extend_run(sparse, &table, entry + 1, found.host + sparse->grain, length, run);
    return 0;
}

static int map_at(const struct imgi_node *node, const struct vmdk_sparse *sparse, uint64_t at,
                  uint64_t length, struct imgi_extent *run, img_error *err)
{
    return sparse->sequence ? vmdk_sequence_map(sparse, at, length, run, err)
                            : map_table(node, sparse, at, length, run, err);
}

/* Whether more, which follows run in the extent, can be a part of it. */
static bool continues(const struct imgi_extent *run, const struct imgi_extent *more)
{
    return run->kind == more->kind && run->kind != IMGI_PACKED &&
           (run->kind != IMGI_DATA || run->host + run->length == more->host);
}

int vmdk_sparse_map(struct imgi_node *node, const struct vmdk_extent *extent, uint64_t offset,
                    uint64_t length, struct imgi_extent *run, img_error *err)
{
    const struct vmdk_sparse *sparse = extent->sparse;
    uint64_t at = offset - extent->offset;
    int rc = map_at(node, sparse, at, length, run, err);

    while (rc == 0 && run->length < length) {
        struct imgi_extent more = {0};

        if (map_at(node, sparse, at + run->length, length - run->length, &more, NULL) < 0 ||
            !continues(run, &more))
            break;
        run->length += more.length;
    }
    if (rc == 0 && run->kind == IMGI_ABSENT)
        rc = vmdk_judge_parent(node, err);
    return rc;
}

/*
 * Space for the grains that are written. Where other extents have larger grains these are only a
 * part of the core's cluster, in which others may have their places already: host is where the
 * cluster would begin.
 */
int vmdk_sparse_reserve(const struct imgi_node *node, const struct vmdk_extent *extent,
                        struct imgi_alloc *alloc, img_error *err)
{
    struct vmdk_sparse *sparse = extent->sparse;
    uint64_t end = extent->offset + extent->length, grain = sparse->grain, to, host = 0;
    int rc;

    alloc->length = IMGI_MIN(alloc->length, end - alloc->offset);
    alloc->io = sparse->io;
    if (sparse->stream)
        return vmdk_stream_reserve(sparse, (alloc->offset - extent->offset) / grain, alloc, err);
    to = IMGI_MIN(alloc->to, end) - extent->offset;
    alloc->fill_from = extent->offset + imgi_align_down(alloc->from - extent->offset, grain);
    alloc->fill_to = extent->offset + imgi_align_up(to, grain);
    if (end < node->size)
        alloc->fill_to = IMGI_MIN(alloc->fill_to, end);
    alloc->cookie[0] = imgi_align_up(alloc->fill_to - alloc->fill_from, grain);
    rc = vmdk_sparse_append(sparse, alloc->cookie[0], &host, err);
    alloc->host = host - (alloc->fill_from - alloc->offset);
    return rc;
}

int vmdk_sparse_set_entries(struct vmdk_sparse *sparse, uint64_t grain, uint64_t count,
                            uint32_t value, uint32_t step, img_error *err)
{
    int rc = 0;

    for (; rc == 0 && count > 0; grain++, count--, value += step)
        rc = vmdk_table_set(sparse, grain, value, err);
    return rc;
}

int vmdk_sparse_link(const struct vmdk_extent *extent, const struct imgi_alloc *alloc,
                     img_error *err)
{
    struct vmdk_sparse *sparse = extent->sparse;
    uint64_t host = alloc->host + (alloc->fill_from - alloc->offset);

    if (sparse->stream)
        return 0;
    return vmdk_sparse_set_entries(sparse, (alloc->fill_from - extent->offset) / sparse->grain,
                                   alloc->cookie[0] / sparse->grain, (uint32_t)(host / VMDK_SECTOR),
                                   (uint32_t)sparse->header.grain_size, err);
}

void vmdk_sparse_cancel(struct vmdk_sparse *sparse, const struct imgi_alloc *alloc)
{
    uint64_t host = alloc->host + (alloc->fill_from - alloc->offset);

    if (sparse->stream)
        vmdk_stream_cancel(sparse, alloc);
    else if (host + alloc->cookie[0] == sparse->next)
        sparse->next = host;
}

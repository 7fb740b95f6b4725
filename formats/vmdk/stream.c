/*
 * streamOptimized: compressed grains in a file that is written once, from front to back.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What is written is the form that every consumer takes (VMware's own): header without directory,
 * descriptor, grains in ascending order, after each 512 grains' worth their table, then
 * directory, footer and one sector of end-of-stream, with nothing behind it. Grains that were
 * not written, and tables without grains, are left out.
 *
 * A stream being written holds one table in memory; the tables before it are in the file.
 */
#include <stdlib.h>

#include "vmdk.h"

/* Zero sectors behind a footer that are looked through: writers pad to 64 KiB, some transfers to
 * more. */
#define TRAILING_ZEROS_MAX (1u << 20)

struct vmdk_stream {
    uint8_t table[VMDK_TABLE_BYTES]; /* of the grains being written, as on disk */
    uint64_t index;                  /* of that table */
    bool used;                       /* there are grains in it */
    uint64_t grains;                 /* one more than the last grain written */
    bool closed; /* nothing may be added: it is complete, or a grain inside it was given up */
};

/* --------------------------------------------------------------- reading: footer, grains */

/*
 * The footer is a copy of the header that knows where the directory is, and nothing else. Whether
 * the file was closed properly is the header's to say.
 */
static int judge_footer(const struct vmdk_header *header, const uint8_t bytes[VMDK_HEADER_BYTES],
                        uint64_t file_size, struct vmdk_header *footer, img_error *err)
{
    struct vmdk_header expected;
    uint8_t a[VMDK_HEADER_BYTES], b[VMDK_HEADER_BYTES];
    int rc = vmdk_header_decode(bytes, footer, NULL);

    if (rc < 0)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "the stream has no footer: the file is cut short or was never finished");
    expected = *header;
    expected.gd_offset = footer->gd_offset;
    expected.unclean_shutdown = footer->unclean_shutdown;
    vmdk_header_encode(&expected, a);
    vmdk_header_encode(footer, b);
    if (memcmp(a, b, sizeof(a)) != 0)
        return imgi_fail(err, IMG_E_CORRUPT, "the stream's footer contradicts its header");
    if (footer->gd_offset == VMDK_GD_AT_END)
        return imgi_fail(err, IMG_E_CORRUPT, "the stream's footer names no grain directory");
    return vmdk_header_check(footer, file_size, err);
}

static bool is_zero(const uint8_t *bytes, size_t length)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

/* The last sector of the file that is not zero; at most some of them are looked at. */
static int last_sector(struct imgi_io *io, uint64_t file_size, uint64_t *offset,
                       uint8_t bytes[VMDK_SECTOR], img_error *err)
{
    uint64_t end = imgi_align_down(file_size, VMDK_SECTOR), looked = 0;
    int rc = 0;

    while (rc == 0 && end >= VMDK_SECTOR && looked <= TRAILING_ZEROS_MAX) {
        end -= VMDK_SECTOR;
        looked += VMDK_SECTOR;
        rc = imgi_io_read(io, bytes, VMDK_SECTOR, end, err);
        if (rc == 0 && !is_zero(bytes, VMDK_SECTOR))
            break;
    }
    *offset = end;
    return rc;
}

int vmdk_stream_locate(struct imgi_io *io, struct vmdk_header *header, img_error *err)
{
    uint8_t bytes[VMDK_SECTOR];
    struct vmdk_header footer;
    uint64_t file_size, offset;
    int rc = imgi_io_size(io, &file_size, err);

    if (rc == 0)
        rc = last_sector(io, file_size, &offset, bytes, err);
    if (rc == 0)
        rc = judge_footer(header, bytes, file_size, &footer, err);
    if (rc < 0)
        return rc;
    header->gd_offset = footer.gd_offset;
    return 0;
}

/* Why the bytes at an entry's place cannot be the grain that it promises. */
static int judge_marker(const struct vmdk_marker *marker, const struct imgi_extent *extent,
                        uint64_t lba, size_t in_length, img_error *err)
{
    if (marker->value != lba)
        return imgi_fail(
            err, IMG_E_CORRUPT,
            "the grain at 0x%llx says that it begins at sector %llu of the disk instead "
            "of %llu",
            (unsigned long long)extent->host, (unsigned long long)marker->value,
            (unsigned long long)lba);
    if (marker->size == 0 || marker->size > in_length - VMDK_GRAIN_MARKER_BYTES)
        return imgi_fail(
            err, IMG_E_CORRUPT,
            "the grain at 0x%llx says that it has %u compressed bytes, where %zu can be",
            (unsigned long long)extent->host, marker->size, in_length - VMDK_GRAIN_MARKER_BYTES);
    return 0;
}

int vmdk_grain_unpack(const struct vmdk_sparse *sparse, struct imgi_unpacker *unpacker,
                      const struct vmdk_grain *grain, const uint8_t *bytes, uint8_t *out,
                      img_error *err)
{
    uint64_t at = grain->number * sparse->grain;
    uint64_t wanted = at < sparse->size ? IMGI_MIN(sparse->grain, sparse->size - at) : 0;
    size_t produced = 0;
    int rc = imgi_unpack(unpacker, IMGI_CODEC_ZLIB, bytes + VMDK_GRAIN_MARKER_BYTES, grain->size,
                         out, (size_t)sparse->grain, &produced, err);

    if (rc < 0)
        return rc;
    /* Of the disk's last grain QEMU stores only what belongs to the disk. */
    if (produced < wanted)
        return imgi_fail(err, IMG_E_CORRUPT, "the grain at 0x%llx has %zu bytes instead of %llu",
                         (unsigned long long)grain->host, produced, (unsigned long long)wanted);
    memset(out + produced, 0, (size_t)sparse->grain - produced);
    return 0;
}

int vmdk_unpack(const struct imgi_node *node, struct imgi_unpacker *unpacker,
                const struct imgi_extent *extent, const void *in, size_t in_length, void *out,
                size_t out_length, img_error *err)
{
    const struct vmdk_extent *owner = vmdk_extent_at(vmdk_state(node), extent->offset);
    const struct vmdk_sparse *sparse = owner->sparse;
    struct vmdk_grain grain = {.number = (extent->offset - owner->offset) / sparse->grain,
                               .host = extent->host};
    const uint8_t *bytes = in;
    struct vmdk_marker marker;
    int rc;

    (void)out_length;
    if (in_length <= VMDK_GRAIN_MARKER_BYTES)
        return imgi_fail(err, IMG_E_CORRUPT, "the grain at 0x%llx lies past the end of the file",
                         (unsigned long long)extent->host);
    marker = (struct vmdk_marker){.value = imgi_get_le64(bytes), .size = imgi_get_le32(bytes + 8)};
    rc = judge_marker(&marker, extent, grain.number * sparse->header.grain_size, in_length, err);
    grain.size = marker.size;
    return rc < 0 ? rc : vmdk_grain_unpack(sparse, unpacker, &grain, bytes, out, err);
}

/* --------------------------------------------------------------------------- writing */

int vmdk_pack(const struct imgi_node *node, struct imgi_packer *packer, uint64_t offset,
              const void *in, size_t length, void *out, size_t capacity, size_t *packed,
              img_error *err)
{
    uint8_t *bytes = out;
    size_t size, end;

    (void)node;
    /* Room for the marker in front and the rest of a sector behind. */
    if (capacity < VMDK_GRAIN_MARKER_BYTES + VMDK_SECTOR)
        return imgi_fail(err, IMG_E_INTERNAL, "no room for a grain in %zu bytes", capacity);
    size = imgi_pack(packer, in, length, bytes + VMDK_GRAIN_MARKER_BYTES,
                     capacity - VMDK_GRAIN_MARKER_BYTES - VMDK_SECTOR);
    if (size == 0)
        return imgi_fail(err, IMG_E_INTERNAL, "a grain of %zu bytes does not fit into %zu", length,
                         capacity);
    imgi_put_le64(bytes, offset / VMDK_SECTOR);
    imgi_put_le32(bytes + 8, (uint32_t)size);
    end = VMDK_GRAIN_MARKER_BYTES + size;
    *packed = (size_t)imgi_align_up(end, VMDK_SECTOR);
    memset(bytes + end, 0, *packed - end);
    return 0;
}

int vmdk_stream_start(struct imgi_io *io, const struct vmdk_header *header, const char *descriptor,
                      size_t length, img_error *err)
{
    uint8_t bytes[VMDK_HEADER_BYTES];
    const struct iovec parts[] = {{bytes, sizeof(bytes)}, {(void *)(uintptr_t)descriptor, length}};

    vmdk_header_encode(header, bytes);
    return imgi_io_writev(io, parts, 2, 0, err);
}

int vmdk_stream_begin(struct vmdk_sparse *sparse, img_error *err)
{
    sparse->stream = calloc(1, sizeof(*sparse->stream));
    sparse->gd = calloc(sparse->gd_entries, 4);
    if (!sparse->stream || !sparse->gd)
        return imgi_fail_nomem(err, "a stream to be written");
    sparse->next = sparse->header.overhead * VMDK_SECTOR;
    return 0;
}

const uint8_t *vmdk_stream_table(const struct vmdk_stream *stream, uint64_t index)
{
    return stream->used && stream->index == index ? stream->table : NULL;
}

/* Append a marker and the payload that it announces, padded to whole sectors. *payload_at: where
 * that lies. */
static int append_marked(struct vmdk_sparse *sparse, enum vmdk_marker_type type,
                         const void *payload, uint64_t length, uint64_t *payload_at, img_error *err)
{
    uint64_t padded = imgi_align_up(length, VMDK_SECTOR), host;
    const struct vmdk_marker marker = {.value = padded / VMDK_SECTOR, .type = type};
    static const uint8_t padding[VMDK_SECTOR];
    uint8_t sector[VMDK_SECTOR];
    const struct iovec parts[] = {
        {sector, sizeof(sector)},
        {(void *)(uintptr_t)payload, (size_t)length},
        {(void *)(uintptr_t)padding, (size_t)(padded - length)},
    };
    int rc = vmdk_sparse_append(sparse, sizeof(sector) + padded, &host, err);

    if (rc < 0)
        return rc;
    vmdk_marker_encode(&marker, sector);
    *payload_at = host + sizeof(sector);
    return imgi_io_writev(sparse->io, parts, length == 0 ? 1 : 3, host, err);
}

/* The table in memory is complete: put it behind its grains. */
static int end_table(struct vmdk_sparse *sparse, img_error *err)
{
    struct vmdk_stream *stream = sparse->stream;
    uint64_t host;
    int rc;

    if (!stream->used)
        return 0;
    rc = append_marked(sparse, VMDK_MARKER_GT, stream->table, VMDK_TABLE_BYTES, &host, err);
    if (rc < 0)
        return rc;
    imgi_put_le32(sparse->gd + 4 * stream->index, (uint32_t)(host / VMDK_SECTOR));
    memset(stream->table, 0, sizeof(stream->table));
    stream->used = false;
    return 0;
}

static int check_order(const struct vmdk_sparse *sparse, uint64_t grain,
                       const struct imgi_alloc *alloc, img_error *err)
{
    const struct vmdk_stream *stream = sparse->stream;

    if (stream->closed)
        return imgi_fail(err, IMG_E_IO, "a write to the stream has failed: it cannot go on");
    if (alloc->packed == 0)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "a streamOptimized image holds compressed grains only");
    if (grain < stream->grains)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "a streamOptimized image is written in ascending order, each grain once: "
                         "guest bytes at 0x%llx come after 0x%llx",
                         (unsigned long long)alloc->offset,
                         (unsigned long long)((stream->grains - 1) * sparse->grain));
    return 0;
}

int vmdk_stream_reserve(struct vmdk_sparse *sparse, uint64_t grain, struct imgi_alloc *alloc,
                        img_error *err)
{
    struct vmdk_stream *stream = sparse->stream;
    uint64_t index = grain / VMDK_NUM_GTES, entry = grain % VMDK_NUM_GTES;
    int rc = check_order(sparse, grain, alloc, err);

    if (rc == 0 && index != stream->index)
        rc = end_table(sparse, err);
    if (rc == 0)
        rc = vmdk_sparse_append(sparse, imgi_align_up(alloc->packed, VMDK_SECTOR), &alloc->host,
                                err);
    if (rc < 0)
        return rc;
    imgi_put_le32(stream->table + 4 * entry, (uint32_t)(alloc->host / VMDK_SECTOR));
    stream->index = index;
    stream->used = true;
    stream->grains = grain + 1;
    return 0;
}

/* A hole cannot be left in a stream, so there is no way back once something follows the grain. */
void vmdk_stream_cancel(struct vmdk_sparse *sparse, const struct imgi_alloc *alloc)
{
    struct vmdk_stream *stream = sparse->stream;
    uint64_t grain = alloc->offset / sparse->grain, entry = grain % VMDK_NUM_GTES;

    if (alloc->host + imgi_align_up(alloc->packed, VMDK_SECTOR) != sparse->next) {
        stream->closed = true;
        return;
    }
    sparse->next = alloc->host;
    stream->grains = grain;
    imgi_put_le32(stream->table + 4 * entry, VMDK_ENTRY_ABSENT);
}

int vmdk_stream_finish(struct vmdk_sparse *sparse, img_error *err)
{
    struct vmdk_header footer = sparse->header;
    uint8_t bytes[VMDK_HEADER_BYTES];
    uint64_t host;
    int rc = 0;

    if (sparse->stream->closed)
        return imgi_fail(err, IMG_E_IO, "a write to the stream has failed: it is incomplete");
    rc = end_table(sparse, err);
    if (rc == 0)
        rc = append_marked(sparse, VMDK_MARKER_GD, sparse->gd, sparse->gd_entries * 4, &host, err);
    if (rc < 0)
        return rc;
    footer.gd_offset = host / VMDK_SECTOR;
    vmdk_header_encode(&footer, bytes);
    rc = append_marked(sparse, VMDK_MARKER_FOOTER, bytes, sizeof(bytes), &host, err);
    if (rc == 0)
        rc = append_marked(sparse, VMDK_MARKER_EOS, NULL, 0, &host, err);
    sparse->stream->closed = true;
    return rc;
}

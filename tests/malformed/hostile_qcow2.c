/*
 * Hostile qcow2 images. SPDX-License-Identifier: BSD-2-Clause
 *
 * Offsets as in the qcow2 specification; all are made of the fixtures or of nothing.
 */
#include "hostile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define COPIED (UINT64_C(1) << 63)
#define COMPRESSED (UINT64_C(1) << 62)
#define OFFSET_MASK UINT64_C(0x00fffffffffffe00)
#define EXTENSION_BACKING_FORMAT 0xe2792acau

enum {
    HEADER = 0,
    VERSION = 4,
    BACKING_OFFSET = 8,
    BACKING_SIZE = 16,
    CLUSTER_BITS = 20,
    SIZE = 24,
    L1_SIZE = 36,
    L1_OFFSET = 40,
    REFTABLE_OFFSET = 48,
    REFTABLE_CLUSTERS = 56,
    INCOMPATIBLE = 72,
    REFCOUNT_ORDER = 96,
    HEADER_LENGTH = 100,
    EXTENSIONS = 104
};

static void set32(struct file *file, size_t offset, uint64_t value)
{
    file_set(file, offset, 4, true, value);
}

static void set64(struct file *file, size_t offset, uint64_t value)
{
    file_set(file, offset, 8, true, value);
}

/*
 * A version 3 image of that many clusters whose L1 table is cluster 3; every cluster has
 * refcount 1. The disk is size bytes, nothing is allocated.
 */
static struct file blank(unsigned cluster_bits, size_t clusters, uint64_t size, uint64_t l1_entries)
{
    size_t cluster = (size_t)1 << cluster_bits;
    struct file file = file_zeros(cluster * clusters);

    memcpy(file.bytes, "QFI\xfb", 4);
    set32(&file, VERSION, 3);
    set32(&file, CLUSTER_BITS, cluster_bits);
    set64(&file, SIZE, size);
    set32(&file, L1_SIZE, l1_entries);
    set64(&file, L1_OFFSET, 3 * cluster);
    set64(&file, REFTABLE_OFFSET, cluster);
    set32(&file, REFTABLE_CLUSTERS, 1);
    set32(&file, REFCOUNT_ORDER, 4);
    set32(&file, HEADER_LENGTH, EXTENSIONS);
    set64(&file, cluster, 2 * cluster);
    for (size_t n = 0; n < clusters; n++)
        file_set(&file, 2 * cluster + 2 * n, 2, true, 1);
    return file;
}

static void put(struct file *file)
{
    file_put(file, "image");
    file_free(file);
}

/* An overlay of 64 KiB, with nothing of its own; format NULL: not said. */
static void put_overlay(const char *name, const char *backing, const char *format)
{
    struct file file = blank(12, 4, 65536, 1);
    size_t place = EXTENSIONS;

    if (format) {
        set32(&file, place, EXTENSION_BACKING_FORMAT);
        set32(&file, place + 4, strlen(format));
        memcpy(file.bytes + place + 8, format, strlen(format));
        place += 8 + (strlen(format) + 7) / 8 * 8;
    }
    place += 8; /* the extension that ends the list */
    set64(&file, BACKING_OFFSET, place);
    set32(&file, BACKING_SIZE, strlen(backing));
    memcpy(file.bytes + place, backing, strlen(backing));
    file_put(&file, name);
    file_free(&file);
}

static void put_base(const char *name)
{
    struct file file = file_zeros(65536);

    memset(file.bytes, 0x5a, file.length);
    file_put(&file, name);
    file_free(&file);
}

static void backing_beside(void)
{
    put_base("base");
    put_overlay("image", "base", "raw");
}

static void backing_absolute(void)
{
    char *path = outside_path();

    put_overlay("image", path, "raw");
    free(path);
}

static void backing_above(void)
{
    put_overlay("image", "../image", "raw");
}

static void backing_in_folder(void)
{
    put_overlay("image", "fixtures/noise.bin", "raw");
}

static void backing_link(void)
{
    char *path = outside_path();

    make_link("link", path);
    put_overlay("image", "link", "raw");
    free(path);
}

static void backing_json(void)
{
    put_overlay("image", "json:{\"driver\":\"file\",\"filename\":\"base\"}", "raw");
}

static void backing_http(void)
{
    put_overlay("image", "http://127.0.0.1/disk", "raw");
}

static void backing_nbd(void)
{
    put_overlay("image", "nbd://127.0.0.1/disk", "raw");
}

static void backing_folder_export(void)
{
    put_overlay("image", "fat:/tmp", "raw");
}

static void backing_without_format(void)
{
    put_base("base");
    put_overlay("image", "base", NULL);
}

static void backing_itself(void)
{
    put_overlay("image", "image", "qcow2");
}

static void backing_cycle(void)
{
    put_overlay("image", "second", "qcow2");
    put_overlay("second", "third", "qcow2");
    put_overlay("third", "second", "qcow2");
}

static void backing_deep(void)
{
    char name[16], next[16];

    put_overlay("image", "0", "qcow2");
    for (unsigned n = 0; n < 250; n++) {
        snprintf(name, sizeof(name), "%u", n);
        snprintf(next, sizeof(next), "%u", n + 1);
        put_overlay(name, next, "qcow2");
    }
    put_base("250");
}

static void backing_fifo(void)
{
    make_fifo("fifo");
    put_overlay("image", "fifo", "raw");
}

static void backing_zero_device(void)
{
    put_overlay("image", "/dev/zero", "raw");
}

static void image_fifo(void)
{
    make_fifo("image");
}

static void data_file(void)
{
    struct file file = blank(12, 4, 65536, 1);
    char *path = outside_path();

    set64(&file, INCOMPATIBLE, 4);
    set32(&file, EXTENSIONS, 0x44415441);
    set32(&file, EXTENSIONS + 4, strlen(path));
    memcpy(file.bytes + EXTENSIONS + 8, path, strlen(path));
    put(&file);
    free(path);
}

/*
 * A disk of one cluster of 16 KiB, whose extended L2 entry (in cluster 4) is those two words;
 * cluster 5 is there for it.
 */
static void put_extended(uint64_t descriptor, uint64_t bitmap)
{
    struct file file = blank(14, 6, 16384, 1);

    set64(&file, INCOMPATIBLE, 1 << 4);
    set64(&file, 3 << 14, COPIED | 4 << 14);
    set64(&file, 4 << 14, descriptor);
    set64(&file, (4 << 14) + 8, bitmap);
    put(&file);
}

static void subclusters_fine(void)
{
    put_extended(COPIED | 5 << 14, UINT64_C(0xffff00000000fffe));
}

static void subclusters_both(void)
{
    put_extended(COPIED | 5 << 14, UINT64_C(0x0000000100000001));
}

static void subclusters_nowhere(void)
{
    put_extended(0, 1);
}

static void subclusters_compressed(void)
{
    put_extended(COMPRESSED | 5 << 14, UINT64_C(1) << 32);
}

static void subclusters_too_small(void)
{
    struct file file = blank(13, 5, 8192, 1);

    set64(&file, INCOMPATIBLE, 1 << 4);
    put(&file);
}

/* An image of one cluster in the data file of that name, whose L2 entry (in cluster 4) it is. */
static void put_data_image(const char *name, uint64_t entry)
{
    struct file file = blank(12, 5, 4096, 1);

    set64(&file, INCOMPATIBLE, 1 << 2);
    set64(&file, 3 << 12, COPIED | 4 << 12);
    set64(&file, 4 << 12, entry);
    set32(&file, EXTENSIONS, 0x44415441);
    set32(&file, EXTENSIONS + 4, strlen(name));
    memcpy(file.bytes + EXTENSIONS + 8, name, strlen(name));
    put(&file);
}

static void data_file_beside(void)
{
    put_base("base");
    put_data_image("base", COPIED);
}

static void data_file_is_the_image(void)
{
    put_data_image("image", COPIED);
}

static void data_file_elsewhere(void)
{
    put_base("base");
    put_data_image("base", COPIED | 1 << 12);
}

static void data_file_compressed(void)
{
    put_base("base");
    put_data_image("base", COMPRESSED | 1 << 12);
}

static void data_file_url(void)
{
    put_data_image("nbd://127.0.0.1/disk", COPIED);
}

static void data_file_fifo(void)
{
    make_fifo("fifo");
    put_data_image("fifo", COPIED);
}

/* A boot sector and a qcow2 header at once. */
static void polyglot(void)
{
    struct file file = blank(12, 4, 65536, 1);

    file_set(&file, 510, 2, true, 0x55aa);
    put(&file);
}

/* A cluster of zeros as raw deflate: about a thousandth of its size. */
static void put_zeros(struct file *file, size_t place, size_t room, size_t cluster)
{
    struct file zeros = file_zeros(cluster);
    z_stream stream = {.next_in = zeros.bytes,
                       .avail_in = (uInt)cluster,
                       .next_out = file->bytes + place,
                       .avail_out = (uInt)room};

    if (deflateInit2(&stream, 9, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY) != Z_OK ||
        deflate(&stream, Z_FINISH) != Z_STREAM_END)
        abort();
    deflateEnd(&stream);
    file_free(&zeros);
}

/* Every entry of every L2 table, which are one table, is the same compressed cluster. */
static void put_bomb(unsigned l1_entries)
{
    const size_t cluster = (size_t)1 << 21;
    const uint64_t size = (uint64_t)l1_entries * (cluster / 8) * cluster;
    size_t l1_clusters = (l1_entries * 8u + cluster - 1) / cluster;
    size_t l2 = (3 + l1_clusters) * cluster, data = l2 + cluster;
    struct file file = blank(21, data / cluster + 1, size, l1_entries);

    for (size_t n = 0; n < l1_entries; n++)
        set64(&file, 3 * cluster + n * 8, COPIED | l2);
    for (size_t n = 0; n < cluster; n += 8)
        set64(&file, l2 + n, COMPRESSED | UINT64_C(0xf) << 49 | data);
    put_zeros(&file, data, 16 * 512, cluster);
    put(&file);
}

static void bomb_small(void)
{
    put_bomb(4);
}

static void bomb_large(void)
{
    put_bomb(4194304);
}

/* Plain clusters: all entries of all tables lead to one cluster. */
static void one_cluster_for_all(void)
{
    const size_t cluster = 65536, entries = 1024;
    struct file file = blank(16, 6, entries * (cluster / 8) * cluster, entries);

    for (size_t n = 0; n < entries; n++)
        set64(&file, 3 * cluster + n * 8, COPIED | 4 * cluster);
    for (size_t n = 0; n < cluster; n += 8)
        set64(&file, 4 * cluster + n, COPIED | 5 * cluster);
    put(&file);
}

static void l1_table_maximal(void)
{
    struct file file = blank(16, 6, UINT64_C(1) << 50, 4194304);

    put(&file);
}

static void l1_table_in_itself(void)
{
    struct file file = blank(12, 5, 4096 * 512 * 8, 8);

    for (size_t n = 0; n < 8; n++)
        set64(&file, 3 * 4096 + n * 8, COPIED | 3 * 4096);
    put(&file);
}

static void snapshots_maximal(void)
{
    struct file file = blank(16, 100, 1 << 20, 1);

    set32(&file, 60, 65536);
    set64(&file, 64, 4 * 65536);
    for (size_t n = 4 * 65536; n + 64 <= file.length; n += 64) {
        set32(&file, n + 8, 0x400000);
        set32(&file, n + 36, 16);
    }
    put(&file);
}

static void snapshot_extra_data(void)
{
    struct file file = blank(16, 6, 1 << 20, 1);

    set32(&file, 60, 1);
    set64(&file, 64, 4 * 65536);
    file_set(&file, 4 * 65536 + 12, 2, true, 0xffff);
    file_set(&file, 4 * 65536 + 14, 2, true, 0xffff);
    set32(&file, 4 * 65536 + 36, 0xffffffff);
    put(&file);
}

/* The entry of the first compressed cluster of a fixture. */
static size_t compressed_entry(const struct file *file)
{
    uint64_t l1 = file_get(file, L1_OFFSET, 8, true);
    size_t l2 = (size_t)(file_get(file, (size_t)l1, 8, true) & OFFSET_MASK);

    while (!(file_get(file, l2, 8, true) & COMPRESSED))
        l2 += 8;
    return l2;
}

static void put_stream(const char *fixture, const uint8_t *stream, size_t length)
{
    struct file file = file_fixture(fixture);
    size_t entry = compressed_entry(&file), end = file.length;

    file_resize(&file, end + 4096);
    memcpy(file.bytes + end, stream, length);
    set64(&file, entry, COMPRESSED | UINT64_C(7) << 58 | end);
    put(&file);
}

/* A stored block that says it is longer than a cluster. */
static void stream_too_long(void)
{
    static const uint8_t stream[] = {0x00, 0xff, 0xff, 0x00, 0x00};

    put_stream("qcow2/zlib.qcow2", stream, sizeof(stream));
}

/* It ends, well formed, after one byte. */
static void stream_too_short(void)
{
    static const uint8_t stream[] = {0x01, 0x01, 0x00, 0xfe, 0xff, 0x41};

    put_stream("qcow2/zlib.qcow2", stream, sizeof(stream));
}

static void stream_garbage(void)
{
    static const uint8_t stream[] = {0xff, 0xff, 0xff, 0xff, 0xff};

    put_stream("qcow2/zlib.qcow2", stream, sizeof(stream));
}

/* A zstd frame that asks for a window of 2 GiB and more. */
static void zstd_window(void)
{
    static const uint8_t stream[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 0x03, 0x00, 0x08, 0x41};

    put_stream("qcow2/zstd.qcow2", stream, sizeof(stream));
}

static void stream_past_end(void)
{
    struct file file = file_fixture("qcow2/zlib.qcow2");

    set64(&file, compressed_entry(&file), COMPRESSED | UINT64_C(7) << 58 | (file.length + 65536));
    put(&file);
}

#define DENIED IMG_E_DENIED

const struct hostile hostile_qcow2[] = {
    {"R1 backing file beside the image", backing_beside, "qcow2", IMG_REACH_DIRECTORY, false,
     WANT_FINE, 0},
    {"R1 backing file, none may be reached", backing_beside, "qcow2", IMG_REACH_NONE, false,
     WANT_REFUSED, DENIED},
    {"R1 absolute backing file, any reach", backing_absolute, "qcow2", IMG_REACH_ANY, false,
     WANT_FINE, 0},
    {"R1 absolute backing file", backing_absolute, "qcow2", IMG_REACH_DIRECTORY, false,
     WANT_REFUSED, DENIED},
    {"R1 backing file above the directory", backing_above, "qcow2", IMG_REACH_DIRECTORY, false,
     WANT_REFUSED, DENIED},
    {"R1 backing file below the directory", backing_in_folder, "qcow2", IMG_REACH_DIRECTORY, false,
     WANT_REFUSED, DENIED},
    {"R1 backing file is a link out of the directory", backing_link, "qcow2", IMG_REACH_DIRECTORY,
     false, WANT_REFUSED, 0},
    {"R2 backing name json:", backing_json, "qcow2", IMG_REACH_ANY, false, WANT_REFUSED, DENIED},
    {"R2 backing name http:", backing_http, "qcow2", IMG_REACH_ANY, false, WANT_REFUSED, DENIED},
    {"R2 backing name nbd:", backing_nbd, "qcow2", IMG_REACH_ANY, false, WANT_REFUSED, DENIED},
    {"R2 backing name fat:", backing_folder_export, "qcow2", IMG_REACH_ANY, false, WANT_REFUSED,
     DENIED},
    {"R3 backing file without format", backing_without_format, "qcow2", IMG_REACH_ANY, true,
     WANT_REFUSED, DENIED},
    {"R4 external data file", data_file, "qcow2", IMG_REACH_DIRECTORY, false, WANT_REFUSED, 0},
    {"R4 data file beside the image", data_file_beside, "qcow2", IMG_REACH_DIRECTORY, false,
     WANT_FINE, 0},
    {"R4 data file, none may be reached", data_file_beside, "qcow2", IMG_REACH_NONE, false,
     WANT_REFUSED, DENIED},
    {"R4 data file is the image itself", data_file_is_the_image, "qcow2", IMG_REACH_ANY, false,
     WANT_REFUSED, 0},
    {"R4 data file nbd:", data_file_url, "qcow2", IMG_REACH_ANY, false, WANT_REFUSED, DENIED},
    {"R4 data file is a FIFO", data_file_fifo, "qcow2", IMG_REACH_ANY, false, WANT_REFUSED, 0},
    {"an entry that leads elsewhere in the data file", data_file_elsewhere, "qcow2", IMG_REACH_ANY,
     false, WANT_READ_ERROR, IMG_E_CORRUPT},
    {"a compressed cluster in a data file", data_file_compressed, "qcow2", IMG_REACH_ANY, false,
     WANT_READ_ERROR, IMG_E_CORRUPT},
    {"subclusters of all kinds", subclusters_fine, "qcow2", IMG_REACH_ANY, false, WANT_FINE, 0},
    {"a subcluster of data and of zeros", subclusters_both, "qcow2", IMG_REACH_ANY, false,
     WANT_READ_ERROR, IMG_E_CORRUPT},
    {"a subcluster of data that has no place", subclusters_nowhere, "qcow2", IMG_REACH_ANY, false,
     WANT_READ_ERROR, IMG_E_CORRUPT},
    {"subclusters of a compressed cluster", subclusters_compressed, "qcow2", IMG_REACH_ANY, false,
     WANT_READ_ERROR, IMG_E_CORRUPT},
    {"the check of a subcluster of data and of zeros", subclusters_both, "qcow2", IMG_REACH_ANY,
     false, WANT_FAULTS, 0},
    {"the check of subclusters of a compressed cluster", subclusters_compressed, "qcow2",
     IMG_REACH_ANY, false, WANT_FAULTS, 0},
    {"subclusters smaller than a sector", subclusters_too_small, "qcow2", IMG_REACH_ANY, false,
     WANT_REFUSED, 0},
    {"R5 format of the image not named", backing_beside, NULL, IMG_REACH_ANY, true, WANT_REFUSED,
     DENIED},
    {"R10 backing file is the image itself", backing_itself, "qcow2", IMG_REACH_ANY, false,
     WANT_REFUSED, 0},
    {"R10 backing files in a circle", backing_cycle, "qcow2", IMG_REACH_ANY, false, WANT_REFUSED,
     0},
    {"R10 backing files without end", backing_deep, "qcow2", IMG_REACH_ANY, false, WANT_REFUSED,
     IMG_E_LIMIT},
    {"R12 backing file is a FIFO", backing_fifo, "qcow2", IMG_REACH_ANY, false, WANT_REFUSED, 0},
    {"R12 backing file is a device", backing_zero_device, "qcow2", IMG_REACH_ANY, false,
     WANT_REFUSED, 0},
    {"R12 the image is a FIFO", image_fifo, NULL, IMG_REACH_ANY, false, WANT_REFUSED, 0},
    {"R13 two magics at once, format not named", polyglot, NULL, IMG_REACH_ANY, true, WANT_REFUSED,
     DENIED},
    {"D1 one compressed cluster for 2 TiB", bomb_small, "qcow2", IMG_REACH_ANY, false, WANT_FAULTS,
     0},
    {"D1 one compressed cluster for 2 EiB", bomb_large, "qcow2", IMG_REACH_ANY, false, WANT_FAULTS,
     0},
    {"D1 one plain cluster for all", one_cluster_for_all, "qcow2", IMG_REACH_ANY, false,
     WANT_FAULTS, 0},
    {"D2 L1 table of the largest size in a small file", l1_table_maximal, "qcow2", IMG_REACH_ANY,
     false, WANT_REFUSED, 0},
    {"D2 L1 table that leads to itself", l1_table_in_itself, "qcow2", IMG_REACH_ANY, false,
     WANT_FAULTS, 0},
    {"D3 65536 snapshots", snapshots_maximal, "qcow2", IMG_REACH_ANY, false, WANT_BOUNDED, 0},
    {"D3 a snapshot with endless extra data", snapshot_extra_data, "qcow2", IMG_REACH_ANY, false,
     WANT_BOUNDED, 0},
    {"D10 a stream longer than its cluster", stream_too_long, "qcow2", IMG_REACH_ANY, false,
     WANT_READ_ERROR, IMG_E_CORRUPT},
    {"D10 a stream shorter than its cluster", stream_too_short, "qcow2", IMG_REACH_ANY, false,
     WANT_READ_ERROR, IMG_E_CORRUPT},
    {"D10 a stream of garbage", stream_garbage, "qcow2", IMG_REACH_ANY, false, WANT_READ_ERROR,
     IMG_E_CORRUPT},
    {"D10 a zstd frame with a window of GiB", zstd_window, "qcow2", IMG_REACH_ANY, false,
     WANT_READ_ERROR, IMG_E_CORRUPT},
    {"D10 a stream past the end of the file", stream_past_end, "qcow2", IMG_REACH_ANY, false,
     WANT_READ_ERROR, 0},
    {0}};

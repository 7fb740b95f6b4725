/*
 * Hostile VMDK images. SPDX-License-Identifier: BSD-2-Clause
 *
 * Descriptors as in Virtual Disk Format 5.0, "The Text Descriptor"; sparse extents are made of the
 * fixtures, with header offsets as in "Hosted Sparse Extent Header".
 */
#include "hostile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512u
#define DESCRIPTOR_MAX (4u << 20)

enum { FLAGS = 8, CAPACITY = 12, GRAIN_SIZE = 20, GTES = 44, GD_OFFSET = 56, OVERHEAD = 64 };

/* A descriptor whose extent lines are `extents`. */
static void put_descriptor(const char *type, const char *extents)
{
    size_t size = strlen(extents) + 512;
    char *text = malloc(size);

    if (!text)
        abort();
    snprintf(text, size,
             "# Disk DescriptorFile\nversion=1\nCID=1c2d3e4f\nparentCID=ffffffff\n"
             "createType=\"%s\"\n# Extent description\n%s\n# The Disk Data Base\n#DDB\n"
             "ddb.adapterType = \"ide\"\n",
             type, extents);
    file_put_text("image", text);
    free(text);
}

static void put_flat_extent(const char *name)
{
    char line[5000];

    snprintf(line, sizeof(line), "RW 16 FLAT \"%s\" 0", name);
    put_descriptor("monolithicFlat", line);
}

static void put_bytes(const char *name, size_t length)
{
    struct file file = file_zeros(length);

    file_put(&file, name);
    file_free(&file);
}

static void extent_beside(void)
{
    put_bytes("flat", 8192);
    put_flat_extent("flat");
}

static void extent_absolute(void)
{
    char *path = outside_path();

    put_flat_extent(path);
    free(path);
}

static void extent_above(void)
{
    put_flat_extent("../noise");
}

static void extent_in_folder(void)
{
    put_flat_extent("fixtures/noise.bin");
}

static void extent_link(void)
{
    char *path = outside_path();

    make_link("link", path);
    put_flat_extent("link");
    free(path);
}

static void extent_device(void)
{
    put_flat_extent("/dev/zero");
}

static void extent_proc(void)
{
    put_flat_extent("/proc/self/mem");
}

static void extent_fifo(void)
{
    make_fifo("fifo");
    put_flat_extent("fifo");
}

static void extent_url(void)
{
    put_flat_extent("nbd://127.0.0.1/disk");
}

static void extent_itself(void)
{
    put_descriptor("twoGbMaxExtentSparse", "RW 16 SPARSE \"image\"");
}

static void extent_descriptor(void)
{
    put_bytes("flat", 8192);
    put_descriptor("monolithicFlat", "RW 16 FLAT \"flat\" 0");
    rename("image", "inner");
    put_descriptor("twoGbMaxExtentSparse", "RW 16 SPARSE \"inner\"");
}

static void extent_short(void)
{
    put_bytes("flat", 4096);
    put_flat_extent("flat");
}

static void extent_offset_past_end(void)
{
    put_bytes("flat", 8192);
    put_descriptor("monolithicFlat", "RW 16 FLAT \"flat\" 36028797018963967");
}

static void extent_size_zero(void)
{
    put_bytes("flat", 8192);
    put_descriptor("monolithicFlat", "RW 0 FLAT \"flat\" 0");
}

static void extent_size_huge(void)
{
    put_bytes("flat", 8192);
    put_descriptor("monolithicFlat", "RW 18446744073709551615 FLAT \"flat\" 0");
}

static void extent_sizes_wrap(void)
{
    put_bytes("flat", 8192);
    put_descriptor("custom", "RW 18014398509481984 ZERO\nRW 18014398509481984 ZERO");
}

static void extent_type_unknown(void)
{
    put_descriptor("monolithicFlat", "RW 16 CLOUD \"flat\" 0");
}

static void extent_none(void)
{
    put_descriptor("monolithicFlat", "");
}

static char *repeat(const char *line, size_t count)
{
    size_t length = strlen(line);
    char *text = malloc(length * count + 1);

    if (!text)
        abort();
    for (size_t n = 0; n < count; n++)
        memcpy(text + n * length, line, length);
    text[length * count] = '\0';
    return text;
}

/* That many extents, all in one file; step sectors of it lie between the beginnings of two. */
static void extents_many(size_t count, size_t step)
{
    char *text = calloc(count, 64), *end = text;

    if (!text)
        abort();
    for (size_t n = 0; n < count; n++)
        end += snprintf(end, 64, "RW 16 FLAT \"flat\" %zu\n", n * step);
    put_bytes("flat", (count * step + 16) * SECTOR);
    put_descriptor("twoGbMaxExtentFlat", text);
    free(text);
}

static void extents_20000(void)
{
    extents_many(20000, 0);
}

static void extents_in_one_file(void)
{
    extents_many(4000, 16);
}

static void extents_overlapping(void)
{
    extents_many(2, 8);
}

static void descriptor_long_line(void)
{
    char *text = repeat("x", 100000);

    put_descriptor("monolithicFlat", text);
    free(text);
}

static void descriptor_long_value(void)
{
    char *text = repeat("x", 4000);

    put_flat_extent(text);
    free(text);
}

static void descriptor_huge(void)
{
    char *text =
        repeat("# nothing to see here, and again nothing to see here.\n", DESCRIPTOR_MAX / 54);

    put_descriptor("monolithicFlat", text);
    free(text);
}

static void descriptor_nuls(void)
{
    struct file file;

    put_flat_extent("flat");
    put_bytes("flat", 8192);
    file = file_zeros(100000);
    memcpy(file.bytes, "# Disk DescriptorFile\n", 22);
    file_put(&file, "image");
    file_free(&file);
}

static void descriptor_without_end(void)
{
    file_put_text("image", "# Disk DescriptorFile\nversion=1\nCID=1c2d3e4f\nparentCID=ffffffff\n"
                           "createType=\"monolithicFlat");
}

static void parent_hint(void)
{
    char *path = outside_path(), text[5000];
    struct file file = file_fixture("vmdk/monolithicSparse.vmdk");

    snprintf(text, sizeof(text),
             "# Disk DescriptorFile\nversion=1\nCID=1c2d3e4f\nparentCID=12345678\n"
             "createType=\"monolithicSparse\"\nparentFileNameHint=\"%s\"\n"
             "# Extent description\nRW 2049 SPARSE \"image\"\n",
             path);
    memset(file.bytes + SECTOR, 0, 20 * SECTOR);
    memcpy(file.bytes + SECTOR, text, strlen(text));
    file_put(&file, "image");
    file_free(&file);
    free(path);
}

/* ------------------------------------------------- sparse extents, from fixtures */

static void put_changed(const char *fixture, size_t offset, unsigned width, uint64_t value)
{
    struct file file = file_fixture(fixture);

    file_set(&file, offset, width, false, value);
    file_put(&file, "image");
    file_free(&file);
}

static void capacity_zero(void)
{
    put_changed("vmdk/monolithicSparse.vmdk", CAPACITY, 8, 0);
}

static void newlines_changed(void)
{
    put_changed("vmdk/monolithicSparse.vmdk", 73, 4, 0x0a0a200a);
}

static void unknown_flag(void)
{
    put_changed("vmdk/monolithicSparse.vmdk", FLAGS, 4, 0x00100003);
}

static void grain_size_huge(void)
{
    put_changed("vmdk/streamOptimized.vmdk", GRAIN_SIZE, 8, 2097152);
}

static void directory_without_footer(void)
{
    put_changed("vmdk/streamOptimized.vmdk", GD_OFFSET, 8, UINT64_MAX);
}

/* One field of the footer is not what the header says. */
static void footer_changed(size_t offset, unsigned width, uint64_t value)
{
    struct file file = file_fixture("vmdk/stream-footer.vmdk");

    file_set(&file, file.length - 2 * SECTOR + offset, width, false, value);
    file_put(&file, "image");
    file_free(&file);
}

static void footer_capacity(void)
{
    footer_changed(CAPACITY, 8, 4096);
}

static void footer_grain_size(void)
{
    footer_changed(GRAIN_SIZE, 8, 64);
}

static void footer_flags(void)
{
    footer_changed(FLAGS, 4, 3);
}

static void footer_descriptor(void)
{
    footer_changed(28, 8, 2);
}

/* All entries of the directory lead to one table, all entries of that to one grain. */
static void one_grain_for_all(void)
{
    struct file file = file_fixture("vmdk/monolithicSparse.vmdk");
    size_t directory = (size_t)file_get(&file, GD_OFFSET, 8, false) * SECTOR;
    uint64_t table = file_get(&file, directory, 4, false);

    for (size_t n = 0; n < 512; n++)
        file_set(&file, (size_t)table * SECTOR + n * 4, 4, false,
                 file_get(&file, OVERHEAD, 8, false));
    file_put(&file, "image");
    file_free(&file);
}

/* A directory of 2 TiB whose tables are one, in the sectors that follow the file's. */
static void one_table_for_all(void)
{
    const size_t entries = 65536;
    struct file file = file_fixture("vmdk/monolithicSparse.vmdk");
    size_t directory = (file.length + SECTOR - 1) / SECTOR;
    uint64_t table =
        file_get(&file, (size_t)file_get(&file, GD_OFFSET, 8, false) * SECTOR, 4, false);

    file_resize(&file, directory * SECTOR + entries * 4);
    for (size_t n = 0; n < entries; n++)
        file_set(&file, directory * SECTOR + n * 4, 4, false, table);
    file_set(&file, CAPACITY, 8, false, entries * 512 * 128);
    file_set(&file, FLAGS, 4, false, 1);
    file_set(&file, 48, 8, false, 0);
    file_set(&file, GD_OFFSET, 8, false, directory);
    file_put(&file, "image");
    file_free(&file);
}

/* The first grain of the stream says that it is of another place, or of another length. */
static void stream_changed(size_t offset, unsigned width, uint64_t value)
{
    struct file file = file_fixture("vmdk/stream-footer.vmdk");
    size_t grain = (size_t)file_get(&file, OVERHEAD, 8, false) * SECTOR;

    file_set(&file, grain + offset, width, false, value);
    file_put(&file, "image");
    file_free(&file);
}

static void marker_address(void)
{
    stream_changed(0, 8, 256);
}

static void marker_length_zero(void)
{
    stream_changed(8, 4, 0);
}

static void marker_length_past_end(void)
{
    stream_changed(8, 4, 1u << 30);
}

static void marker_stream_garbage(void)
{
    stream_changed(12, 8, 0x1122334455667788);
}

#define DENIED IMG_E_DENIED
#define ANY IMG_REACH_ANY
#define DIRECTORY IMG_REACH_DIRECTORY

const struct hostile hostile_vmdk[] = {
    {"R6 extent beside the descriptor", extent_beside, "vmdk", DIRECTORY, false, WANT_FINE, 0},
    {"R6 extent, none may be reached", extent_beside, "vmdk", IMG_REACH_NONE, false, WANT_REFUSED,
     DENIED},
    {"R6 absolute extent", extent_absolute, "vmdk", DIRECTORY, false, WANT_REFUSED, DENIED},
    {"R6 extent above the directory", extent_above, "vmdk", DIRECTORY, false, WANT_REFUSED, DENIED},
    {"R6 extent below the directory", extent_in_folder, "vmdk", DIRECTORY, false, WANT_REFUSED,
     DENIED},
    {"R6 extent is a link out of the directory", extent_link, "vmdk", DIRECTORY, false,
     WANT_REFUSED, 0},
    {"R6 extent is a device", extent_device, "vmdk", ANY, false, WANT_REFUSED, 0},
    {"R6 extent in /proc", extent_proc, "vmdk", ANY, false, WANT_REFUSED, 0},
    {"R6 extent is a URL", extent_url, "vmdk", ANY, false, WANT_REFUSED, 0},
    {"R7 capacity 0 with an embedded descriptor", capacity_zero, "vmdk", ANY, false, WANT_REFUSED,
     0},
    {"R8 parent of another directory", parent_hint, "vmdk", DIRECTORY, false, WANT_REFUSED, 0},
    {"R9 footer with another capacity", footer_capacity, "vmdk", ANY, false, WANT_REFUSED, 0},
    {"R9 footer with another grain size", footer_grain_size, "vmdk", ANY, false, WANT_REFUSED, 0},
    {"R9 footer with other flags", footer_flags, "vmdk", ANY, false, WANT_REFUSED, 0},
    {"R9 footer with another descriptor", footer_descriptor, "vmdk", ANY, false, WANT_REFUSED, 0},
    {"R10 extent is the descriptor itself", extent_itself, "vmdk", ANY, false, WANT_REFUSED, 0},
    {"R11 extent is another descriptor", extent_descriptor, "vmdk", ANY, false, WANT_REFUSED, 0},
    {"R12 extent is a FIFO", extent_fifo, "vmdk", ANY, false, WANT_REFUSED, 0},
    {"D6 20000 extents", extents_20000, "vmdk", ANY, false, WANT_REFUSED, IMG_E_LIMIT},
    {"D6 one file for 4000 extents", extents_in_one_file, "vmdk", ANY, false, WANT_FINE, 0},
    {"D6 extents that lie over one another", extents_overlapping, "vmdk", ANY, false, WANT_REFUSED,
     0},
    {"D7 grains of 1 GiB, compressed", grain_size_huge, "vmdk", ANY, false, WANT_REFUSED, 0},
    {"D8 sizes of extents that wrap", extent_sizes_wrap, "vmdk", ANY, false, WANT_REFUSED, 0},
    {"D9 all entries are one grain", one_grain_for_all, "vmdk", ANY, false, WANT_FAULTS, 0},
    {"D9 all tables are one", one_table_for_all, "vmdk", ANY, false, WANT_FAULTS, 0},
    {"D10 a grain of another place", marker_address, "vmdk", ANY, false, WANT_READ_ERROR, 0},
    {"D10 a grain of no bytes", marker_length_zero, "vmdk", ANY, false, WANT_READ_ERROR, 0},
    {"D10 a grain past the end", marker_length_past_end, "vmdk", ANY, false, WANT_READ_ERROR, 0},
    {"D10 a grain of garbage", marker_stream_garbage, "vmdk", ANY, false, WANT_READ_ERROR,
     IMG_E_CORRUPT},
    {"newline bytes changed", newlines_changed, "vmdk", ANY, false, WANT_REFUSED, 0},
    {"unknown flag that must be understood", unknown_flag, "vmdk", ANY, false, WANT_REFUSED, 0},
    {"directory at the end and no footer", directory_without_footer, "vmdk", ANY, false,
     WANT_REFUSED, 0},
    {"extent shorter than it should be", extent_short, "vmdk", ANY, false, WANT_ERROR, 0},
    {"extent offset past the end", extent_offset_past_end, "vmdk", ANY, false, WANT_ERROR, 0},
    {"extent of no size", extent_size_zero, "vmdk", ANY, false, WANT_REFUSED, 0},
    {"extent of 2^64 - 1 sectors", extent_size_huge, "vmdk", ANY, false, WANT_REFUSED, 0},
    {"extent of unknown type", extent_type_unknown, "vmdk", ANY, false, WANT_REFUSED, 0},
    {"no extent", extent_none, "vmdk", ANY, false, WANT_REFUSED, 0},
    {"descriptor with a line of 100000 bytes", descriptor_long_line, "vmdk", ANY, false,
     WANT_REFUSED, 0},
    {"descriptor with a name of 4000 bytes", descriptor_long_value, "vmdk", ANY, false,
     WANT_REFUSED, 0},
    {"descriptor of 4 MiB", descriptor_huge, "vmdk", ANY, false, WANT_REFUSED, 0},
    {"descriptor of NULs", descriptor_nuls, "vmdk", ANY, false, WANT_REFUSED, 0},
    {"descriptor without end", descriptor_without_end, "vmdk", ANY, false, WANT_REFUSED, 0},
    {0}};

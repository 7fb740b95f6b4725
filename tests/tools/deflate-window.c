/*
 * Can every compressed cluster of a qcow2 be read with a window of 4 KiB? It finds the clusters
 * by itself and inflates each in small pieces with zlib, so that the window counts; it knows
 * nothing of libimg. SPDX-License-Identifier: BSD-2-Clause
 *
 *     deflate-window IMAGE.qcow2          prints the number of clusters it read
 *
 * Trusted input only: the tests' own images.
 */
#include <endian.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define OFFSET_MASK 0x00fffffffffffe00u
#define COMPRESSED (UINT64_C(1) << 62)
#define WINDOW_BITS 12

static void fail(const char *what, uint64_t where)
{
    fprintf(stderr, "deflate-window: %s at 0x%" PRIx64 "\n", what, where);
    exit(1);
}

/* Returns what there is: the last compressed cluster may reach past the end of the file. */
static size_t read_at(int fd, void *buffer, size_t length, uint64_t offset)
{
    ssize_t got = pread(fd, buffer, length, (off_t)offset);

    if (got < 0)
        fail("read failed", offset);
    return (size_t)got;
}

static uint64_t get_be64(const uint8_t *bytes)
{
    uint64_t value;

    memcpy(&value, bytes, sizeof(value));
    return be64toh(value);
}

/*
 * zlib looks into its window only for bytes of earlier calls, so the output is taken 64 bytes
 * at a time: a distance of more than 4 KiB is then an error.
 */
static void inflate_cluster(uint8_t *in, size_t in_length, size_t cluster_size, uint64_t where)
{
    z_stream stream = {.next_in = in, .avail_in = (uInt)in_length};
    size_t made = 0;
    uint8_t out[64];
    int rc = inflateInit2(&stream, -WINDOW_BITS);

    while (rc == Z_OK && made < cluster_size) {
        stream.next_out = out;
        stream.avail_out = sizeof(out);
        rc = inflate(&stream, Z_SYNC_FLUSH);
        made += sizeof(out) - stream.avail_out;
        if (rc == Z_STREAM_END)
            break;
        if (stream.avail_out > 0 && stream.avail_in == 0)
            break;
    }
    inflateEnd(&stream);
    if ((rc != Z_OK && rc != Z_STREAM_END) || made != cluster_size)
        fail("no cluster with a 4 KiB window", where);
}

/* qcow2 specification, "Compressed Clusters Descriptor": offset below bit x, sectors above it. */
static void read_compressed(int fd, uint64_t entry, unsigned cluster_bits)
{
    unsigned x = 62 - (cluster_bits - 8);
    uint64_t offset = entry & ((UINT64_C(1) << x) - 1);
    uint64_t sectors = (entry & (COMPRESSED - 1)) >> x;
    size_t length = (size_t)((sectors + 1) * 512 - offset % 512);
    uint8_t *bytes = malloc(length);

    if (!bytes)
        fail("out of memory", offset);
    length = read_at(fd, bytes, length, offset);
    inflate_cluster(bytes, length, (size_t)1 << cluster_bits, offset);
    free(bytes);
}

static uint64_t read_l2_table(int fd, uint64_t offset, unsigned cluster_bits)
{
    size_t size = (size_t)1 << cluster_bits;
    uint8_t *table = malloc(size);
    uint64_t count = 0;

    if (!table || read_at(fd, table, size, offset) != size)
        fail("no L2 table", offset);
    for (size_t n = 0; n < size; n += 8) {
        uint64_t entry = get_be64(table + n);

        if (entry & COMPRESSED) {
            read_compressed(fd, entry, cluster_bits);
            count++;
        }
    }
    free(table);
    return count;
}

int main(int argc, char **argv)
{
    uint64_t l1_offset, l1_entries, count = 0;
    unsigned cluster_bits;
    uint8_t header[112];
    int fd = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;

    if (fd < 0)
        fail("cannot open the file", 0);
    if (read_at(fd, header, sizeof(header), 0) != sizeof(header) || memcmp(header, "QFI\xfb", 4))
        fail("no qcow2 header", 0);
    cluster_bits = header[23];
    l1_entries = get_be64(header + 36) >> 32;
    l1_offset = get_be64(header + 40);
    for (uint64_t n = 0; n < l1_entries; n++) {
        uint8_t entry[8];

        if (read_at(fd, entry, sizeof(entry), l1_offset + n * 8) != sizeof(entry))
            fail("no L1 table", l1_offset);
        if (get_be64(entry) & OFFSET_MASK)
            count += read_l2_table(fd, get_be64(entry) & OFFSET_MASK, cluster_bits);
    }
    printf("%" PRIu64 "\n", count);
    close(fd);
    return 0;
}

/*
 * Deflate by ISA-L: several times faster than any other, and it can limit its window.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Used for compressing only: libdeflate decompresses faster.
 */
#ifdef HAVE_ISAL

#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "../util/bytes.h"
#include "backend.h"

/*
 * The assembly of levels 1 and 2 (igzip_icf_body, ISA-L 2.30) files the third position of the input
 * under a hash of bits 16 to 47 of the stream's *address*. Whoever looks there, for whatever
 * position, may find a match more or less (distances are taken modulo the window, so that a stale
 * entry can fit by chance), and the bytes would depend on where the stream lies. It is therefore
 * always put where that hash is 0.
 */
#define STREAM_BYTES sizeof(struct isal_zstream)
#define HASH_MASK 0xffffu /* the library's tables are smaller */
#define PLACES_TRIED 4096 /* so many packers there may be at a time, and more */

struct packer {
    struct isal_zstream *stream; /* at a place of its own */
    uint8_t *buffer; /* the level's tables, and the symbols of a block until they are coded */
    uint32_t buffer_size;
    uint32_t level;
    uint16_t window_bits;
    uint16_t wrapper;
};

/* CRC-32C of four bytes, as the processor's instruction has it, which is the library's hash. */
static uint32_t hash(uint32_t value)
{
    for (int bit = 0; bit < 32; bit++)
        value = value >> 1 ^ (value & 1 ? 0x82f63b78u : 0);
    return value;
}

/* The address with hash 0 among those whose bits 32 and up are `high`; 0: none has it. */
static uint64_t place_in(uint32_t high)
{
    uint32_t value = high << 16, sum = hash(value);
    uint32_t of_bit[16];

    for (unsigned bit = 0; bit < 16; bit++)
        of_bit[bit] = hash(1u << bit);
    for (uint32_t i = 1; (sum & HASH_MASK) && i <= HASH_MASK; i++) {
        unsigned bit = (unsigned)__builtin_ctz(i); /* the one in which the Gray code changes */

        value ^= 1u << bit;
        sum ^= of_bit[bit];
    }
    return sum & HASH_MASK ? 0 : (uint64_t)value << 16;
}

/* Memory for a stream at a place with hash 0, below where the kernel would put it. */
static struct isal_zstream *stream_map(void)
{
    int protection = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    void *usual = mmap(NULL, STREAM_BYTES, protection, flags, -1, 0);
    uint32_t high = (uint32_t)((uint64_t)(uintptr_t)usual >> 32);

    if (usual == MAP_FAILED)
        return NULL;
    munmap(usual, STREAM_BYTES);
    for (unsigned i = 0; i < PLACES_TRIED && high > i; i++) {
        void *place = (void *)(uintptr_t)place_in(high - 1 - i);
        void *got = MAP_FAILED;

        if (place)
            got = mmap(place, STREAM_BYTES, protection, flags | MAP_FIXED_NOREPLACE, -1, 0);
        if (got == place)
            return got;
        if (got != MAP_FAILED)
            munmap(got, STREAM_BYTES);
    }
    return NULL;
}

static void packer_destroy(void *state)
{
    struct packer *packer = state;

    if (!packer)
        return;
    if (packer->stream)
        munmap(packer->stream, STREAM_BYTES);
    free(packer->buffer);
    free(packer);
}

static void *packer_create(const struct imgi_pack_setting *setting)
{
    static const uint32_t table_bytes[] = {0, ISAL_DEF_LVL1_REQ, ISAL_DEF_LVL2_REQ,
                                           ISAL_DEF_LVL3_REQ};
    struct packer *packer = calloc(1, sizeof(*packer));

    if (!packer)
        return NULL;
    packer->level = (uint32_t)setting->level;
    packer->window_bits = (uint16_t)setting->window_bits;
    packer->wrapper = setting->wrapped ? IGZIP_ZLIB : IGZIP_DEFLATE;
    /* The symbols' size, 4 bytes, is the same on every level. */
    packer->buffer_size =
        table_bytes[setting->level] + ISAL_DEF_LVL1_TOKEN_SIZE * 1024 * setting->block;
    packer->buffer = calloc(1, packer->buffer_size);
    packer->stream = stream_map();
    if (!packer->buffer || !packer->stream) {
        packer_destroy(packer);
        return NULL;
    }
    return packer;
}

static size_t packer_pack(void *state, const void *in, size_t length, void *out, size_t capacity)
{
    struct packer *packer = state;
    struct isal_zstream *stream = packer->stream;

    isal_deflate_stateless_init(stream);
    stream->level = packer->level;
    stream->level_buf = packer->buffer;
    stream->level_buf_size = packer->buffer_size;
    stream->hist_bits = packer->window_bits;
    stream->gzip_flag = packer->wrapper;
    stream->end_of_stream = 1;
    stream->flush = NO_FLUSH;
    stream->next_in = (uint8_t *)(uintptr_t)in; /* not written to */
    stream->avail_in = (uint32_t)length;
    stream->next_out = out;
    stream->avail_out = (uint32_t)capacity;
    if (isal_deflate_stateless(stream) != COMP_OK)
        return 0;
    return stream->total_out;
}

const struct imgi_pack_backend imgi_isal_pack = {
    .create = packer_create,
    .destroy = packer_destroy,
    .pack = packer_pack,
};

#endif

/*
 * Deflate by ISA-L: several times faster than any other, and it can limit its window.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Used for compressing only: libdeflate decompresses faster.
 */
#ifdef HAVE_ISAL

#include <isa-l/igzip_lib.h>
#include <stdlib.h>

#include "../util/bytes.h"
#include "backend.h"

/*
 * The assembly of levels 1 and 2 (igzip_icf_body, ISA-L 2.30) files the third position of the input
 * under the hash of bits 16 to 47 of the stream's *address*. That is harmless unless the slot
 * happens to be the right one for one of the first three positions: then a match more or less is
 * found, and the bytes depend on where the stream lies. So it is put, each time, where the slot is
 * none of those.
 */
#define PLACES 8
#define PLACE_STEP 65536u
/* The low bits of a hash that two slots must differ in; the library's masks are wider. */
#define SLOT_MASK 0xfffu

struct packer {
    uint8_t *places; /* room for a stream at each of PLACES addresses, PLACE_STEP apart */
    uint8_t *buffer; /* the level's tables, and the symbols of a block until they are coded */
    uint32_t buffer_size;
    uint32_t level;
    uint16_t window_bits;
    uint16_t wrapper;
};

static void packer_destroy(void *state)
{
    struct packer *packer = state;

    if (!packer)
        return;
    free(packer->places);
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
    packer->places = calloc(1, PLACES * PLACE_STEP + sizeof(struct isal_zstream));
    if (!packer->buffer || !packer->places) {
        packer_destroy(packer);
        return NULL;
    }
    return packer;
}

/* CRC-32C of four bytes, as the processor's instruction has it, which is the library's hash. */
static uint32_t hash(uint32_t value)
{
    for (int bit = 0; bit < 32; bit++)
        value = value >> 1 ^ (value & 1 ? 0x82f63b78u : 0);
    return value & SLOT_MASK;
}

static bool place_is_good(const void *place, const uint8_t *in)
{
    uint32_t slot = hash((uint32_t)((uintptr_t)place >> 16));

    for (int i = 0; i < 3; i++)
        if (hash(imgi_get_le32(in + i)) == slot)
            return false;
    return true;
}

static struct isal_zstream *place_stream(struct packer *packer, const uint8_t *in, size_t length)
{
    uint8_t *place = packer->places;

    for (int i = 1; i < PLACES && length >= 8 && !place_is_good(place, in); i++)
        place += PLACE_STEP;
    return (struct isal_zstream *)place;
}

static size_t packer_pack(void *state, const void *in, size_t length, void *out, size_t capacity)
{
    struct packer *packer = state;
    struct isal_zstream *stream = place_stream(packer, in, length);

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

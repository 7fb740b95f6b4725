/*
 * Chunks: their types, and where they lie. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>

#include "dmg.h"

static const struct {
    enum dmg_type type;
    const char *name;
    enum imgi_codec codec;
} types[] = {
    {DMG_ZERO, "zero", IMGI_CODEC_NONE},     {DMG_RAW, "raw", IMGI_CODEC_NONE},
    {DMG_IGNORE, "ignore", IMGI_CODEC_NONE}, {DMG_ADC, "ADC", IMGI_CODEC_ADC},
    {DMG_ZLIB, "zlib", IMGI_CODEC_ZLIB},     {DMG_BZIP2, "bzip2", IMGI_CODEC_BZIP2},
    {DMG_LZFSE, "LZFSE", IMGI_CODEC_LZFSE},  {DMG_LZMA, "LZMA", IMGI_CODEC_LZMA},
};

const char *dmg_type_name(enum dmg_type type)
{
    for (size_t i = 0; i < IMGI_COUNT(types); i++) {
        if (types[i].type == type)
            return types[i].name;
    }
    return NULL;
}

enum imgi_codec dmg_codec(enum dmg_type type)
{
    for (size_t i = 0; i < IMGI_COUNT(types); i++) {
        if (types[i].type == type)
            return types[i].codec;
    }
    return IMGI_CODEC_NONE;
}

int dmg_chunk_check(const struct dmg *dmg, const struct dmg_chunk *chunk, img_error *err)
{
    uint64_t bytes = chunk->sectors * DMG_SECTOR;

    if (!dmg_type_name(chunk->type))
        return imgi_fail(err, IMG_E_UNSUPPORTED, "chunks of the type 0x%08x are not known",
                         (unsigned)chunk->type);
    if (chunk->type == DMG_ZERO || chunk->type == DMG_IGNORE)
        return 0;
    if (chunk->type == DMG_RAW && chunk->length != bytes)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "%llu sectors are stored as they are, but in %llu bytes",
                         (unsigned long long)chunk->sectors, (unsigned long long)chunk->length);
    if (chunk->type != DMG_RAW && bytes > IMGI_UNIT_MAX)
        return imgi_fail(err, IMG_E_LIMIT,
                         "a compressed chunk of %llu sectors is over the limit of %u",
                         (unsigned long long)chunk->sectors, IMGI_UNIT_MAX / DMG_SECTOR);
    if (chunk->type != DMG_RAW && chunk->length > 2 * bytes)
        return imgi_fail(err, IMG_E_CORRUPT, "%llu sectors are compressed to %llu bytes",
                         (unsigned long long)chunk->sectors, (unsigned long long)chunk->length);
    if (chunk->offset > dmg->file_size)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "the data lies at 0x%llx, past the end of the file (%llu bytes)",
                         (unsigned long long)chunk->offset, (unsigned long long)dmg->file_size);
    return 0;
}

static int compare(const void *a, const void *b)
{
    const struct dmg_chunk *first = a, *second = b;

    return (first->sector > second->sector) - (first->sector < second->sector);
}

int dmg_chunks_sort(struct dmg *dmg, img_error *err)
{
    if (dmg->chunk_count == 0)
        return 0;
    qsort(dmg->chunks, dmg->chunk_count, sizeof(*dmg->chunks), compare);
    for (size_t i = 1; i < dmg->chunk_count; i++) {
        const struct dmg_chunk *chunk = &dmg->chunks[i], *before = chunk - 1;

        if (before->sector + before->sectors > chunk->sector)
            return imgi_fail(
                err, IMG_E_CORRUPT, "two chunks hold sector %llu, of the tables \"%s\" and \"%s\"",
                (unsigned long long)chunk->sector, dmg->partitions[before->partition].name,
                dmg->partitions[chunk->partition].name);
    }
    return 0;
}

size_t dmg_chunk_find(const struct dmg *dmg, uint64_t sector)
{
    size_t low = 0, high = dmg->chunk_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct dmg_chunk *chunk = &dmg->chunks[middle];

        if (chunk->sector + chunk->sectors <= sector)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

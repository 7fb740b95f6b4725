/*
 * The table of one partition. SPDX-License-Identifier: BSD-2-Clause
 *
 * Its chunks' sectors count from the partition's first, their offsets from the data fork's begin.
 */
#include <stdlib.h>

#include "dmg.h"

#define AT_CHECKSUM 64
#define AT_COUNT 200

/* A table on its way. */
struct mish {
    const uint8_t *bytes;
    uint32_t count; /* of chunks */
    uint64_t data_offset;
    uint32_t partition;
};

static int add_partition(struct dmg *dmg, const struct dmg_partition *partition, const char *name,
                         img_error *err)
{
    struct dmg_partition *larger =
        reallocarray(dmg->partitions, dmg->partition_count + 1, sizeof(*dmg->partitions));

    if (!larger)
        return imgi_fail_nomem(err, "a partition");
    dmg->partitions = larger;
    larger[dmg->partition_count] = *partition;
    larger[dmg->partition_count].name = strdup(name);
    if (!larger[dmg->partition_count].name)
        return imgi_fail_nomem(err, "a partition's name");
    dmg->partition_count++;
    return 0;
}

static int decode_head(struct dmg *dmg, const uint8_t *bytes, size_t length, const char *name,
                       struct mish *mish, img_error *err)
{
    struct dmg_partition partition;

    if (length < DMG_MISH_BYTES || imgi_get_be32(bytes) != DMG_MISH_MAGIC)
        return imgi_fail(err, IMG_E_CORRUPT, "it has no magic \"mish\"");
    partition.sector = imgi_get_be64(bytes + 8);
    partition.sectors = imgi_get_be64(bytes + 16);
    dmg_checksum_decode(bytes + AT_CHECKSUM, &partition.checksum);
    if (!imgi_span_ok(partition.sector, partition.sectors, DMG_SECTORS_MAX))
        return imgi_fail(err, IMG_E_CORRUPT, "%llu sectors from %llu on are too many",
                         (unsigned long long)partition.sectors,
                         (unsigned long long)partition.sector);
    *mish = (struct mish){.bytes = bytes,
                          .count = imgi_get_be32(bytes + AT_COUNT),
                          .data_offset = imgi_get_be64(bytes + 24),
                          .partition = (uint32_t)dmg->partition_count};
    if (mish->count > (length - DMG_MISH_BYTES) / DMG_CHUNK_BYTES)
        return imgi_fail(err, IMG_E_CORRUPT, "%u chunks do not fit into its %zu bytes", mish->count,
                         length);
    return add_partition(dmg, &partition, name, err);
}

/* Make room for so many chunks more. */
static int grow(struct imgi_node *node, uint32_t count, img_error *err)
{
    struct dmg *dmg = dmg_of(node);
    size_t wanted = dmg->chunk_count + count;
    struct dmg_chunk *larger;
    int rc = imgi_policy_limit(node->policy, IMG_LIMIT_TABLE_BYTES, wanted * sizeof(*larger),
                               "bytes of all chunks", err);

    if (rc < 0 || wanted <= dmg->chunk_room)
        return rc;
    larger = reallocarray(dmg->chunks, wanted, sizeof(*larger));
    if (!larger)
        return imgi_fail_nomem(err, "chunks");
    dmg->chunks = larger;
    dmg->chunk_room = wanted;
    return 0;
}

/* Entry n; *skip: it stands for no sectors. */
static int decode_chunk(const struct dmg *dmg, const struct mish *mish, uint32_t n,
                        struct dmg_chunk *chunk, bool *skip, img_error *err)
{
    const uint8_t *bytes = mish->bytes + DMG_MISH_BYTES + (size_t)n * DMG_CHUNK_BYTES;
    const struct dmg_partition *partition = &dmg->partitions[mish->partition];
    uint64_t sector = imgi_get_be64(bytes + 8);

    chunk->type = (enum dmg_type)imgi_get_be32(bytes);
    chunk->sectors = imgi_get_be64(bytes + 16);
    chunk->length = imgi_get_be64(bytes + 32);
    chunk->partition = mish->partition;
    *skip = chunk->type == DMG_COMMENT || chunk->type == DMG_TERMINATOR || chunk->sectors == 0;
    if (*skip)
        return 0;
    if (!imgi_span_ok(sector, chunk->sectors, partition->sectors))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "%llu sectors from %llu on lie outside the partition of %llu",
                         (unsigned long long)chunk->sectors, (unsigned long long)sector,
                         (unsigned long long)partition->sectors);
    chunk->sector = partition->sector + sector;
    if (!imgi_add(imgi_get_be64(bytes + 24), mish->data_offset, &chunk->offset) ||
        !imgi_add(chunk->offset, dmg->trailer.data_offset, &chunk->offset))
        return imgi_fail(err, IMG_E_CORRUPT, "its data lies past 2^64 bytes");
    return dmg_chunk_check(dmg, chunk, err);
}

static int add_chunks(struct dmg *dmg, const struct mish *mish, img_error *err)
{
    bool skip = false;
    int rc = 0;

    for (uint32_t n = 0; rc == 0 && n < mish->count; n++) {
        rc = decode_chunk(dmg, mish, n, &dmg->chunks[dmg->chunk_count], &skip, err);
        if (rc < 0)
            imgi_error_place(err, "chunk %u", n);
        else if (!skip)
            dmg->chunk_count++;
    }
    return rc;
}

int dmg_mish_add(struct imgi_node *node, const uint8_t *bytes, size_t length, const char *name,
                 img_error *err)
{
    struct dmg *dmg = dmg_of(node);
    struct mish mish = {0};
    int rc = decode_head(dmg, bytes, length, name, &mish, err);

    if (rc == 0)
        rc = grow(node, mish.count, err);
    if (rc == 0)
        rc = add_chunks(dmg, &mish, err);
    if (rc < 0)
        imgi_error_prefix(err, "table \"%.60s\"", name);
    return rc;
}

/*
 * The check: can every chunk be read, and are the bytes those that were written?
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * There are three kinds of CRC-32: of the data fork as it lies in the file, of each partition's
 * bytes, and of the partitions' CRCs. A partition's knows nothing of chunks of the type "ignore".
 */
#include <stdlib.h>

#include "dmg.h"

#define STEP (1u << 20)

struct check {
    struct imgi_node *node;
    struct imgi_checker *checker;
    struct imgi_unpacker *unpacker;
    uint8_t *in,
        *out;       /* room for the stored form of a chunk or STEP bytes, and for what it makes */
    uint32_t *crcs; /* of the partitions */
    bool *lost;     /* of which something could not be read */
};

static bool is_crc(const struct dmg_checksum *checksum)
{
    return checksum->type == DMG_CHECKSUM_CRC32 && checksum->bits == 32;
}

static void compare(const struct check *check, const char *what, const char *name,
                    const struct dmg_checksum *checksum, uint32_t found)
{
    if (checksum->value != found)
        imgi_found(check->checker, IMGI_FINDING_CORRUPTION,
                   "ERROR %s%s: the CRC-32 is %08x, not %08x as it should be", what, name, found,
                   checksum->value);
}

/* ----------------------------------------------------------------- chunks */

/* Bytes of the file. */
static int add_bytes(struct check *check, uint64_t offset, uint64_t length, uint32_t *crc,
                     img_error *err)
{
    int rc = 0;

    for (size_t step; rc == 0 && length > 0; length -= step, offset += step) {
        step = (size_t)IMGI_MIN(length, STEP);
        rc = imgi_io_read(check->node->file, check->in, step, offset, err);
        if (rc == 0)
            *crc = imgi_crc32(*crc, check->in, step);
    }
    return rc;
}

static int add_packed(struct check *check, const struct dmg_chunk *chunk, uint32_t *crc,
                      img_error *err)
{
    size_t length = (size_t)(chunk->sectors * DMG_SECTOR), packed = (size_t)chunk->length;
    int rc = imgi_io_read(check->node->file, check->in, packed, chunk->offset, err);

    if (rc == 0)
        rc = imgi_unpack(check->unpacker, dmg_codec(chunk->type), check->in, packed, check->out,
                         length, NULL, err);
    if (rc == 0)
        *crc = imgi_crc32(*crc, check->out, length);
    return rc;
}

/* Take one chunk into its partition's CRC. What is wrong with it is a finding, not a failure. */
static int add_chunk(struct check *check, const struct dmg_chunk *chunk, img_error *err)
{
    uint32_t *crc = &check->crcs[chunk->partition];
    img_error why = {0};
    int rc = 0;

    if (chunk->type == DMG_IGNORE)
        return 0;
    if (chunk->type == DMG_ZERO)
        *crc = imgi_crc32_zeros(*crc, chunk->sectors * DMG_SECTOR);
    else if (chunk->type == DMG_RAW)
        rc = add_bytes(check, chunk->offset, chunk->length, crc, &why);
    else
        rc = add_packed(check, chunk, crc, &why);
    if (rc == IMG_E_NOMEM || rc == IMG_E_UNSUPPORTED) {
        if (err)
            *err = why;
        return rc;
    }
    if (rc < 0) {
        check->lost[chunk->partition] = true;
        imgi_found(check->checker, IMGI_FINDING_CORRUPTION,
                   "ERROR table \"%s\": sectors %llu to %llu (%s at 0x%llx): %s",
                   dmg_of(check->node)->partitions[chunk->partition].name,
                   (unsigned long long)chunk->sector,
                   (unsigned long long)(chunk->sector + chunk->sectors - 1),
                   dmg_type_name(chunk->type), (unsigned long long)chunk->offset, why.message);
    }
    return 0;
}

static int check_chunks(struct check *check, img_error *err)
{
    const struct dmg *dmg = dmg_of(check->node);
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < dmg->chunk_count; i++) {
        const struct dmg_chunk *chunk = &dmg->chunks[i];

        rc = add_chunk(check, chunk, err);
        if (rc == 0)
            rc = imgi_check_progress(check->checker, chunk->sector * DMG_SECTOR, check->node->size,
                                     err);
    }
    for (size_t i = 0; rc == 0 && i < dmg->partition_count; i++) {
        const struct dmg_partition *partition = &dmg->partitions[i];

        if (is_crc(&partition->checksum) && !check->lost[i])
            compare(check, "table ", partition->name, &partition->checksum, check->crcs[i]);
    }
    return rc;
}

/* --------------------------------------------------------------- the whole */

static int check_data(struct check *check, img_error *err)
{
    const struct dmg_trailer *trailer = &dmg_of(check->node)->trailer;
    uint32_t crc = 0;
    int rc = 0;

    if (!is_crc(&trailer->data_checksum))
        return 0;
    rc = add_bytes(check, trailer->data_offset, trailer->data_length, &crc, err);
    if (rc == 0)
        compare(check, "data fork", "", &trailer->data_checksum, crc);
    return rc;
}

/* The partitions' checksums, as the tables have them, one behind the other. */
static void check_master(struct check *check)
{
    const struct dmg *dmg = dmg_of(check->node);
    uint32_t crc = 0;

    if (!is_crc(&dmg->trailer.master_checksum))
        return;
    for (size_t i = 0; i < dmg->partition_count; i++) {
        uint8_t bytes[4];

        if (!is_crc(&dmg->partitions[i].checksum))
            return;
        imgi_put_be32(bytes, dmg->partitions[i].checksum.value);
        crc = imgi_crc32(crc, bytes, sizeof(bytes));
    }
    compare(check, "checksums of all tables", "", &dmg->trailer.master_checksum, crc);
}

/* Room for the largest chunk. */
static int take_room(struct check *check, img_error *err)
{
    const struct dmg *dmg = dmg_of(check->node);
    uint64_t in = STEP, out = STEP;

    for (size_t i = 0; i < dmg->chunk_count; i++) {
        const struct dmg_chunk *chunk = &dmg->chunks[i];

        if (dmg_codec(chunk->type) == IMGI_CODEC_NONE)
            continue;
        in = IMGI_MAX(in, chunk->length);
        out = IMGI_MAX(out, chunk->sectors * DMG_SECTOR);
    }
    check->in = malloc((size_t)in);
    check->out = malloc((size_t)out);
    check->crcs = calloc(dmg->partition_count + 1, sizeof(*check->crcs));
    check->lost = calloc(dmg->partition_count + 1, sizeof(*check->lost));
    if (!check->in || !check->out || !check->crcs || !check->lost)
        return imgi_fail_nomem(err, "a check");
    return imgi_unpacker_new(&check->unpacker, err);
}

int dmg_check(struct imgi_node *node, struct imgi_checker *checker, img_error *err)
{
    struct check check = {.node = node, .checker = checker};
    int rc;

    if (checker->repair != IMGI_REPAIR_NONE)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "DMG images are only read here, not repaired");
    rc = take_room(&check, err);
    if (rc == 0)
        rc = check_chunks(&check, err);
    if (rc == 0)
        rc = check_data(&check, err);
    if (rc == 0)
        check_master(&check);
    imgi_unpacker_free(check.unpacker);
    free(check.lost);
    free(check.crcs);
    free(check.out);
    free(check.in);
    return rc;
}

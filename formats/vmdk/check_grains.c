/*
 * Where the grains lie. SPDX-License-Identifier: BSD-2-Clause
 *
 * Each grain lies behind the metadata and inside the file, and belongs to one entry. Entries on
 * which both copies of a table agree come first, for a grain that two copies name is most likely
 * theirs; of the others first those whose primary copy is possible, for that is what readers see.
 * Faults of one kind in one table are told as one, since a hostile image can have millions.
 *
 * When entries share a grain, the second gets a copy of it: each goes on reading what it did.
 */
#include <stdlib.h>

#include "check.h"

/* Fewer wrong entries are single accidents; so many: the whole table is another's, or noise. */
#define WRONG_TABLE 8u

/* What an entry is: empty, or how good its place is. */
enum verdict {
    VERDICT_GOOD,
    VERDICT_EMPTY,
    FAULT_PAST_END,
    FAULT_BEFORE_DATA,
    FAULT_UNALIGNED,
    FAULT_METADATA,
    FAULT_MARKER,
    FAULT_SHARED, /* good but for that */
    FAULT_DIFFERS,
    VERDICTS
};

/* Faults of one kind in one table: how many, and the first. */
struct fault {
    uint64_t count, entry, host;
};

/* Each goes through all tables. */
enum round {
    ROUND_AGREED,  /* entries that are the same in both copies */
    ROUND_PRIMARY, /* of the others those that are possible in the primary one */
    ROUND_REST
};

/* One table that is looked at. */
struct look {
    struct vmdk_checking *check;
    struct vmdk_tables tables;
    struct fault faults[VERDICTS];
    uint64_t leaked; /* entries that differ as writing leaves them when it is interrupted */
    bool lost;       /* the primary copy is empty or noise, the other is not */
};

/* Where a grain lies. */
struct grain {
    uint64_t number, host, stored;
};

static void note(struct look *look, enum verdict verdict, uint64_t entry, uint64_t host)
{
    struct fault *fault = &look->faults[verdict];

    if (fault->count++ == 0) {
        fault->entry = entry;
        fault->host = host;
    }
}

static void report(const struct look *look)
{
    static const char *const texts[VERDICTS] = {
        [FAULT_PAST_END] = "lie past the end of the file",
        [FAULT_BEFORE_DATA] = "lie before the first grain",
        [FAULT_UNALIGNED] = "do not begin at a multiple of the grain size",
        [FAULT_METADATA] = "lie in tables or other metadata",
        [FAULT_MARKER] = "have a wrong marker",
        [FAULT_SHARED] = "overlap others",
        [FAULT_DIFFERS] = "lie elsewhere by the redundant copy",
    };
    unsigned long long index = look->tables.index;

    for (size_t i = 0; i < VERDICTS; i++) {
        const struct fault *fault = &look->faults[i];

        if (fault->count > 0)
            vmdk_corrupt(look->check,
                         "grain table %llu: %llu grains %s, the first is entry %llu (0x%llx)",
                         index, (unsigned long long)fault->count, texts[i],
                         (unsigned long long)fault->entry, (unsigned long long)fault->host);
    }
    if (look->leaked > 0)
        imgi_found(look->check->checker, IMGI_FINDING_LEAK,
                   "Leaked in %s: grain table %llu%s: %llu entries are not the same in its copies",
                   look->check->file, index, look->lost ? ", lost but for its redundant copy" : "",
                   (unsigned long long)look->leaked);
}

/* ------------------------------------------------------------------ single entries */

/* The marker of a compressed grain tells its size. False: it is wrong. */
static bool read_marker(const struct vmdk_checking *check, struct grain *grain)
{
    const struct vmdk_sparse *sparse = check->sparse;
    uint8_t bytes[VMDK_GRAIN_MARKER_BYTES];
    uint64_t size;

    if (imgi_io_read(sparse->io, bytes, sizeof(bytes), grain->host, NULL) < 0)
        return false;
    size = imgi_get_le32(bytes + 8);
    grain->stored = sizeof(bytes) + size;
    return imgi_get_le64(bytes) == grain->number * sparse->header.grain_size && size > 0 &&
           size <= 2 * sparse->grain && imgi_span_ok(grain->host, grain->stored, check->file_size);
}

static bool in_metadata(const struct vmdk_checking *check, const struct grain *grain)
{
    uint64_t sector = grain->host / VMDK_SECTOR;

    return grain->host < check->metadata_end &&
           imgi_seen_test(check->metadata, sector,
                          imgi_div_up(grain->host + grain->stored, VMDK_SECTOR) - sector);
}

/* Whether a grain can lie there, whoever else has it. */
static enum verdict judge(const struct vmdk_checking *check, uint64_t number, uint32_t sector,
                          struct grain *grain)
{
    const struct vmdk_sparse *sparse = check->sparse;
    bool stream = vmdk_is_stream(&sparse->header);

    *grain = (struct grain){.number = number, .host = (uint64_t)sector * VMDK_SECTOR};
    if (sector == VMDK_ENTRY_ABSENT ||
        (sector == VMDK_ENTRY_ZERO && (sparse->header.flags & VMDK_FLAG_ZERO_GRAINS)))
        return VERDICT_EMPTY;
    grain->stored = stream ? VMDK_GRAIN_MARKER_BYTES
                           : IMGI_MIN(sparse->grain, sparse->size - number * sparse->grain);
    if (grain->host < check->first)
        return FAULT_BEFORE_DATA;
    if (!imgi_span_ok(grain->host, grain->stored, check->file_size))
        return FAULT_PAST_END;
    if (!stream && (grain->host - check->first) % check->unit != 0)
        return FAULT_UNALIGNED;
    if (stream && !read_marker(check, grain))
        return FAULT_MARKER;
    return in_metadata(check, grain) ? FAULT_METADATA : VERDICT_GOOD;
}

static uint64_t first_unit(const struct vmdk_checking *check, const struct grain *grain)
{
    return (grain->host - check->first) / check->unit;
}

/* Units of the bitmap that the grain takes up. */
static uint64_t units_of(const struct vmdk_checking *check, const struct grain *grain)
{
    return imgi_div_up(grain->host - check->first + grain->stored, check->unit) -
           first_unit(check, grain);
}

static bool is_free(const struct vmdk_checking *check, const struct grain *grain)
{
    return !imgi_seen_test(check->grains, first_unit(check, grain), units_of(check, grain));
}

static int mark(struct vmdk_checking *check, const struct grain *grain, img_error *err)
{
    bool twice;

    check->end = IMGI_MAX(check->end, grain->host + grain->stored);
    return imgi_seen_mark(check->grains, first_unit(check, grain), units_of(check, grain), &twice,
                          err);
}

/* A fault that a copy of the grain mends: what it reads as is known. */
static bool is_copied(const struct vmdk_checking *check, enum verdict verdict)
{
    return check->mend && !vmdk_is_stream(&check->sparse->header) &&
           (verdict == FAULT_SHARED || verdict == FAULT_UNALIGNED || verdict == FAULT_METADATA);
}

/* An entry that will be used: its grain is taken, or else it is at fault. *sector may change. */
static int take(struct look *look, uint64_t entry, enum verdict verdict, const struct grain *grain,
                uint32_t *sector, img_error *err)
{
    struct vmdk_checking *check = look->check;

    if (verdict == VERDICT_EMPTY)
        return 0;
    if (verdict == VERDICT_GOOD && !is_free(check, grain))
        verdict = FAULT_SHARED;
    if (verdict == VERDICT_GOOD)
        return mark(check, grain, err);
    note(look, verdict, entry, grain->host);
    return is_copied(check, verdict) ? vmdk_mend_copy_grain(check, *sector, sector, err) : 0;
}

/* -------------------------------------------------------------------- both copies */

static void set_entries(struct look *look, uint64_t entry, uint32_t value)
{
    struct vmdk_tables *tables = &look->tables;
    size_t at = 4 * (size_t)entry;

    if (imgi_get_le32(tables->primary + at) != value) {
        imgi_put_le32(tables->primary + at, value);
        tables->primary_changed = true;
    }
    if (tables->redundant && imgi_get_le32(tables->redundant + at) != value) {
        imgi_put_le32(tables->redundant + at, value);
        tables->redundant_changed = true;
    }
}

/* Whether the redundant copy's entry is right: the other one is impossible, or its table lost. */
static bool prefers_redundant(const struct look *look, enum verdict primary, bool primary_free,
                              enum verdict redundant, bool redundant_free)
{
    if (redundant == VERDICT_EMPTY)
        return primary != VERDICT_EMPTY && !primary_free;
    if (redundant != VERDICT_GOOD || !redundant_free)
        return false;
    if (primary == VERDICT_EMPTY)
        return look->lost;
    return primary != VERDICT_GOOD || !primary_free;
}

/*
 * An entry on which the copies do not agree. Writers change both before a flush, when what the new
 * entry names is on disk: two entries that are possible were left by writing that was interrupted,
 * and nothing but space is lost. Other differences are no accident.
 */
static int settle(struct look *look, uint64_t entry, uint64_t number, img_error *err)
{
    struct vmdk_checking *check = look->check;
    uint32_t first = imgi_get_le32(look->tables.primary + 4 * entry), used = first;
    uint32_t second = imgi_get_le32(look->tables.redundant + 4 * entry);
    struct grain primary, redundant;
    enum verdict one = judge(check, number, first, &primary);
    enum verdict other = judge(check, number, second, &redundant);
    bool one_free = one == VERDICT_GOOD && is_free(check, &primary);
    bool other_free = other == VERDICT_GOOD && is_free(check, &redundant);
    bool swap = prefers_redundant(look, one, one_free, other, other_free);
    bool leak = (one == VERDICT_EMPTY || one_free) && (other == VERDICT_EMPTY || other_free);
    int rc;

    if (leak)
        look->leaked++;
    else
        note(look, FAULT_DIFFERS, entry, primary.host);
    if (swap && check->mend) {
        used = second;
        rc = take(look, entry, other, &redundant, &used, err);
        one = other;
    } else {
        rc = take(look, entry, one, &primary, &used, err);
    }
    if (rc < 0)
        return rc;
    /* Both wrong: none is better. A lost table is not made up for by giving up its copy. */
    if ((check->mend && (one <= VERDICT_EMPTY || used != first)) ||
        (check->free_leaks && !check->overlaid && leak && !look->lost))
        set_entries(look, entry, used);
    return 0;
}

static int agree(struct look *look, uint64_t entry, uint64_t number, img_error *err)
{
    uint32_t sector = imgi_get_le32(look->tables.primary + 4 * entry);
    struct grain grain;
    enum verdict verdict = judge(look->check, number, sector, &grain);
    int rc = take(look, entry, verdict, &grain, &sector, err);

    if (rc == 0)
        set_entries(look, entry, sector);
    return rc;
}

/* -------------------------------------------------------------------- single tables */

static bool is_empty_table(const uint8_t *entries, size_t bytes)
{
    return entries[0] == 0 && memcmp(entries, entries + 1, bytes - 1) == 0;
}

/* Read both copies. *there: there is a primary one. */
static int read_tables(struct look *look, uint8_t *buffer, bool *there, img_error *err)
{
    struct vmdk_checking *check = look->check;
    struct vmdk_tables *tables = &look->tables;
    uint32_t bytes = vmdk_table_bytes(check->sparse);
    int rc;

    *there = vmdk_table_place(check, check->sparse->gd, tables->index, &tables->primary_host);
    if (!*there)
        return 0;
    tables->primary = buffer;
    rc = imgi_io_read(check->sparse->io, buffer, bytes, tables->primary_host, err);
    if (rc < 0 || !vmdk_table_place(check, check->rgd, tables->index, &tables->redundant_host))
        return rc;
    tables->redundant = buffer + bytes;
    rc = imgi_io_read(check->sparse->io, tables->redundant, bytes, tables->redundant_host, err);
    look->lost = rc == 0 && is_empty_table(tables->primary, bytes) &&
                 !is_empty_table(tables->redundant, bytes);
    return rc;
}

/* The grain was settled in an earlier round, which takes what its entry names. */
static bool is_settled(const struct vmdk_checking *check, uint64_t number)
{
    return check->settled && imgi_seen_test(check->settled, number, 1);
}

/* Whether a copy's entry names a grain that cannot be, or is another's. */
static bool is_wrong(const struct vmdk_checking *check, uint64_t number, uint32_t sector)
{
    struct grain grain;
    enum verdict verdict = judge(check, number, sector, &grain);

    return verdict != VERDICT_EMPTY && (verdict != VERDICT_GOOD || !is_free(check, &grain));
}

/* Which copy to believe where one of them has a grain and the other has none. */
static void weigh(struct look *look)
{
    const struct vmdk_checking *check = look->check;
    const struct vmdk_header *header = &check->sparse->header;
    const struct vmdk_tables *tables = &look->tables;
    uint64_t grains = imgi_div_up(header->capacity, header->grain_size);
    unsigned primary = 0, redundant = 0;

    for (uint64_t i = 0; i < header->num_gtes; i++) {
        uint64_t number = tables->index * header->num_gtes + i;
        uint32_t first = imgi_get_le32(tables->primary + 4 * i);
        uint32_t second = imgi_get_le32(tables->redundant + 4 * i);

        if (number >= grains || first == second || is_settled(check, number))
            continue;
        primary += is_wrong(check, number, first);
        redundant += is_wrong(check, number, second);
    }
    look->lost = redundant < WRONG_TABLE && (primary >= WRONG_TABLE || look->lost);
}

/* An entry of which the copies differ, if its round has come. */
static int settle_in_round(struct look *look, uint64_t entry, uint64_t number, enum round round,
                           img_error *err)
{
    struct vmdk_checking *check = look->check;
    uint32_t sector = imgi_get_le32(look->tables.primary + 4 * entry);
    struct grain grain;
    bool twice;
    int rc = 0;

    if (round == ROUND_REST)
        return is_settled(check, number) ? 0 : settle(look, entry, number, err);
    if (judge(check, number, sector, &grain) == VERDICT_GOOD && is_free(check, &grain)) {
        rc = imgi_seen_mark(check->settled, number, 1, &twice, err);
        if (rc == 0)
            rc = settle(look, entry, number, err);
    }
    return rc;
}

static int look_at(struct look *look, enum round round, img_error *err)
{
    struct vmdk_checking *check = look->check;
    const struct vmdk_header *header = &check->sparse->header;
    const struct vmdk_tables *tables = &look->tables;
    uint64_t grains = imgi_div_up(header->capacity, header->grain_size);
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < header->num_gtes; i++) {
        uint64_t number = tables->index * header->num_gtes + i;
        bool same = !tables->redundant ||
                    memcmp(tables->primary + 4 * i, tables->redundant + 4 * i, 4) == 0;

        if (number >= grains)
            break;
        check->differing = check->differing || !same;
        if (same && round == ROUND_AGREED)
            rc = agree(look, i, number, err);
        else if (!same && round != ROUND_AGREED)
            rc = settle_in_round(look, i, number, round, err);
    }
    return rc;
}

static int check_table(struct vmdk_checking *check, uint64_t index, uint8_t *buffer,
                       enum round round, img_error *err)
{
    struct look look = {.check = check, .tables = {.index = index}};
    bool there;
    int rc = read_tables(&look, buffer, &there, err);

    if (rc < 0 || !there)
        return rc;
    if (round != ROUND_AGREED && look.tables.redundant)
        weigh(&look);
    rc = look_at(&look, round, err);
    report(&look);
    check->lost = check->lost || (look.lost && look.leaked > 0 && !check->mend);
    return rc < 0 ? rc : vmdk_mend_tables(check, &look.tables, err);
}

static int check_all(struct vmdk_checking *check, uint8_t *buffer, enum round round, img_error *err)
{
    uint64_t covers = check->sparse->grain * check->sparse->header.num_gtes;
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < check->sparse->gd_entries; i++) {
        rc = check_table(check, i, buffer, round, err);
        if (rc == 0 && i % 64 == 0)
            rc = imgi_check_progress(check->checker, check->offset + i * covers, check->node->size,
                                     err);
    }
    return rc;
}

/* The entries of which the copies differ. */
static int check_differing(struct vmdk_checking *check, uint8_t *buffer, img_error *err)
{
    uint64_t grains = check->sparse->gd_entries * check->sparse->header.num_gtes;
    int rc;

    check->settled = imgi_seen_new(grains, check->node->policy, err);
    rc = check->settled ? check_all(check, buffer, ROUND_PRIMARY, err) : IMG_E_NOMEM;
    if (rc == 0)
        rc = check_all(check, buffer, ROUND_REST, err);
    imgi_seen_free(check->settled);
    check->settled = NULL;
    return rc;
}

int vmdk_check_grains(struct vmdk_checking *check, img_error *err)
{
    uint8_t *buffer = malloc(2 * (size_t)vmdk_table_bytes(check->sparse));
    int rc = buffer ? 0 : imgi_fail_nomem(err, "grain tables");

    if (rc == 0)
        rc = check_all(check, buffer, ROUND_AGREED, err);
    if (rc == 0 && check->differing)
        rc = check_differing(check, buffer, err);
    free(buffer);
    return rc;
}

/*
 * Is everything in a seSparse extent where it says it is? SPDX-License-Identifier: BSD-2-Clause
 *
 * Tables and grains lie inside the file and have one owner each, entries are of a known kind.
 * Faults of one kind in one table are told as one. Journal, free bitmap and back map are not
 * looked at: nothing is published about them.
 */
#include "sesparse.h"

struct check {
    const struct vmdk_sesparse *sesparse;
    struct imgi_checker *checker;
    const char *file; /* its name, for messages */
    uint64_t file_size;
    struct imgi_seen *seen_tables, *seen_grains; /* by their numbers */
};

enum fault { FAULT_UNKNOWN, FAULT_PAST_END, FAULT_SHARED, FAULTS };

/* What is wrong with one entry of a table; FAULTS: nothing. */
static int judge_entry(const struct check *check, uint64_t entry, enum fault *fault, img_error *err)
{
    const struct vmdk_sesparse_region *region =
        &check->sesparse->header.regions[VMDK_SESPARSE_GRAINS];
    uint64_t host;
    bool twice;
    int rc;

    *fault = FAULTS;
    switch (vmdk_sesparse_entry(check->sesparse, entry, &host)) {
    case VMDK_SESPARSE_ABSENT:
    case VMDK_SESPARSE_ZERO:
        return 0;
    case VMDK_SESPARSE_UNKNOWN:
        *fault = FAULT_UNKNOWN;
        return 0;
    case VMDK_SESPARSE_DATA:
        break;
    }
    if (!imgi_span_ok(host, VMDK_SESPARSE_GRAIN_BYTES, check->file_size)) {
        *fault = FAULT_PAST_END;
        return 0;
    }
    rc = imgi_seen_mark(check->seen_grains,
                        (host - region->offset * VMDK_SECTOR) / VMDK_SESPARSE_GRAIN_BYTES, 1,
                        &twice, err);
    if (rc == 0 && twice)
        *fault = FAULT_SHARED;
    return rc;
}

static int check_entries(const struct check *check, uint64_t index, const uint8_t *entries,
                         img_error *err)
{
    static const char *const what[] = {"are of no known kind", "lie past the end of the file",
                                       "overlap others"};
    uint64_t count[FAULTS] = {0}, first[FAULTS] = {0};
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < VMDK_SESPARSE_GT_ENTRIES; i++) {
        enum fault fault;

        rc = judge_entry(check, imgi_get_le64(entries + 8 * i), &fault, err);
        if (rc == 0 && fault < FAULTS && count[fault]++ == 0)
            first[fault] = i;
    }
    for (size_t i = 0; i < FAULTS; i++) {
        if (count[i] > 0)
            imgi_found(check->checker, IMGI_FINDING_CORRUPTION,
                       "ERROR %s: grain table %llu: %llu grains %s, the first is entry %llu",
                       check->file, (unsigned long long)index, (unsigned long long)count[i],
                       what[i], (unsigned long long)first[i]);
    }
    return rc;
}

static int check_table(const struct check *check, uint64_t index, img_error *err)
{
    uint64_t entry = imgi_get_le64(check->sesparse->gd + 8 * index);
    const uint8_t *entries;
    img_error why;
    bool twice;
    int rc = vmdk_sesparse_table(check->sesparse, index, &entries, &why);

    if (rc == IMG_E_CORRUPT)
        imgi_found(check->checker, IMGI_FINDING_CORRUPTION, "ERROR %s: %s", check->file,
                   why.message);
    else if (rc < 0)
        return imgi_fail(err, why.code, "%s", why.message);
    if (rc < 0 || !entries)
        return 0;
    rc = imgi_seen_mark(check->seen_tables, entry & UINT32_MAX, 1, &twice, err);
    if (rc == 0 && twice)
        imgi_found(check->checker, IMGI_FINDING_CORRUPTION,
                   "ERROR %s: grain directory entry %llu shares its table with another",
                   check->file, (unsigned long long)index);
    return rc < 0 || twice ? rc : check_entries(check, index, entries, err);
}

int vmdk_sesparse_check_extent(struct imgi_node *node, const struct vmdk_extent *extent,
                               struct imgi_checker *checker, img_error *err)
{
    const struct vmdk_sesparse *sesparse = extent->sesparse;
    const struct vmdk_sesparse_region *regions = sesparse->header.regions;
    struct check check = {.sesparse = sesparse, .checker = checker, .file = sesparse->io->name};
    int rc = imgi_io_size(sesparse->io, &check.file_size, err);

    if (rc < 0)
        return rc;
    check.seen_grains =
        imgi_seen_new(check.file_size / VMDK_SESPARSE_GRAIN_BYTES + 1, node->policy, err);
    check.seen_tables = imgi_seen_new(
        regions[VMDK_SESPARSE_GT].sectors / VMDK_SESPARSE_GT_SECTORS + 1, node->policy, err);
    if (!check.seen_grains || !check.seen_tables)
        rc = IMG_E_NOMEM;
    for (uint64_t i = 0; rc == 0 && i < sesparse->gd_entries; i++) {
        rc = check_table(&check, i, err);
        if (rc == 0 && i % 64 == 0)
            rc = imgi_check_progress(
                checker, extent->offset + i * VMDK_SESPARSE_GRAIN_BYTES * VMDK_SESPARSE_GT_ENTRIES,
                node->size, err);
    }
    imgi_seen_free(check.seen_grains);
    imgi_seen_free(check.seen_tables);
    return rc;
}

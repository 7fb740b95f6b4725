/*
 * Tables that lie in grains. SPDX-License-Identifier: BSD-2-Clause
 *
 * A directory's entry that was damaged can name any place, and where a disk's data is taken for a
 * table a repair must not write: the data is what somebody reads. Such a table gets a place of its
 * own before anything is written, with what stands in the old one, which stays the grain's.
 */
#include <stdlib.h>

#include "check.h"

/* Mark, in sectors, the grains that one primary table names. */
static int mark_grains(const struct vmdk_checking *check, uint64_t index, uint8_t *entries,
                       struct imgi_seen *used, img_error *err)
{
    const struct vmdk_sparse *sparse = check->sparse;
    uint64_t host = 0, sectors = check->file_size / VMDK_SECTOR;
    bool twice;
    int rc = 0;

    if (vmdk_table_place(check, sparse->gd, index, &host))
        rc = imgi_io_read(sparse->io, entries, vmdk_table_bytes(sparse), host, err);
    for (uint32_t i = 0; rc == 0 && host != 0 && i < sparse->header.num_gtes; i++) {
        uint32_t sector = imgi_get_le32(entries + 4 * i);

        if (sector >= sparse->header.overhead && sector < sectors)
            rc = imgi_seen_mark(used, sector, sparse->header.grain_size, &twice, err);
    }
    return rc;
}

static int judge_table(struct vmdk_checking *check, bool redundant, uint64_t index,
                       const struct imgi_seen *used, img_error *err)
{
    const struct vmdk_sparse *sparse = check->sparse;
    uint64_t host;

    if (!vmdk_table_place(check, redundant ? check->rgd : sparse->gd, index, &host) ||
        !imgi_seen_test(used, host / VMDK_SECTOR, vmdk_table_sectors(sparse)))
        return 0;
    check->overlaid = true;
    if (!check->mend)
        return 0;
    vmdk_corrupt(check, "%sgrain table %llu lies in grains (0x%llx)", redundant ? "redundant " : "",
                 (unsigned long long)index, (unsigned long long)host);
    return vmdk_mend_add_table(check, redundant, index, host, err);
}

static int judge_tables(struct vmdk_checking *check, uint8_t *entries, struct imgi_seen *used,
                        img_error *err)
{
    uint64_t count = check->sparse->gd_entries;
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < count; i++)
        rc = mark_grains(check, i, entries, used, err);
    for (uint64_t i = 0; rc == 0 && i < count; i++) {
        rc = judge_table(check, false, i, used, err);
        if (rc == 0)
            rc = judge_table(check, true, i, used, err);
    }
    check->overlaid = check->overlaid && !check->mend;
    return rc;
}

int vmdk_check_overlaid(struct vmdk_checking *check, img_error *err)
{
    struct imgi_seen *used;
    uint8_t *entries;
    int rc;

    if (vmdk_is_stream(&check->sparse->header) || (!check->mend && !check->free_leaks))
        return 0;
    used = imgi_seen_new(check->file_size / VMDK_SECTOR + 1, check->node->policy, err);
    entries = malloc(vmdk_table_bytes(check->sparse));
    rc = used ? 0 : IMG_E_NOMEM;
    if (rc == 0 && !entries)
        rc = imgi_fail_nomem(err, "a grain table");
    if (rc == 0)
        rc = judge_tables(check, entries, used, err);
    imgi_seen_free(used);
    free(entries);
    return rc;
}

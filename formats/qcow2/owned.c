/*
 * Which host clusters hold metadata. SPDX-License-Identifier: BSD-2-Clause
 *
 * In a damaged or hostile image an L2 entry may point at the header, and a refcount of 0 may
 * stand for the L1 table. Before a cluster is written as data, given out or freed, it is looked
 * up here.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "qcow2.h"

#define OWNER_BITS QCOW2_OWNER_BITS
#define OWNER_MASK ((1u << OWNER_BITS) - 1)

const char *qcow2_owner_name(enum qcow2_owner owner)
{
    static const char *const names[] = {
        "nothing",     "the header", "the refcount table", "a refcount block",     "the L1 table",
        "an L2 table", "a snapshot", "a bitmap",           "the encryption header"};

    return names[owner];
}

static size_t start_of(const struct qcow2_owned *owned, uint64_t cluster)
{
    return (size_t)((cluster * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (owned->size - 1);
}

/* The slot that has the cluster, or the free one where it would go. size is not 0. */
static uint64_t *slot_of(const struct qcow2_owned *owned, uint64_t cluster)
{
    size_t i = start_of(owned, cluster);

    while (owned->slots[i] != 0 && owned->slots[i] >> OWNER_BITS != cluster)
        i = (i + 1) & (owned->size - 1);
    return &owned->slots[i];
}

enum qcow2_owner qcow2_owned_find(const struct qcow2_owned *owned, uint64_t cluster)
{
    return owned->size ? (enum qcow2_owner)(*slot_of(owned, cluster) & OWNER_MASK)
                       : QCOW2_OWNER_NONE;
}

static int make_larger(struct qcow2_owned *owned, img_error *err)
{
    struct qcow2_owned larger = {.size = owned->size ? 2 * owned->size : 64, .count = owned->count};

    larger.slots = calloc(larger.size, sizeof(*larger.slots));
    if (!larger.slots)
        return imgi_fail_nomem(err, "the list of metadata clusters");
    for (size_t i = 0; i < owned->size; i++) {
        if (owned->slots[i] != 0)
            *slot_of(&larger, owned->slots[i] >> OWNER_BITS) = owned->slots[i];
    }
    free(owned->slots);
    *owned = larger;
    return 0;
}

int qcow2_owned_add(struct qcow2_owned *owned, uint64_t cluster, enum qcow2_owner owner,
                    img_error *err)
{
    uint64_t *slot;
    int rc;

    if (2 * (owned->count + 1) > owned->size) {
        rc = make_larger(owned, err);
        if (rc < 0)
            return rc;
    }
    slot = slot_of(owned, cluster);
    if (*slot != 0)
        return imgi_fail(err, IMG_E_CORRUPT, "host cluster %" PRIu64 " is used for %s and for %s",
                         cluster, qcow2_owner_name((enum qcow2_owner)(*slot & OWNER_MASK)),
                         qcow2_owner_name(owner));
    *slot = cluster << OWNER_BITS | owner;
    owned->count++;
    return 0;
}

int qcow2_owned_add_run(struct qcow2_owned *owned, uint64_t cluster, uint64_t count,
                        enum qcow2_owner owner, img_error *err)
{
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < count; i++)
        rc = qcow2_owned_add(owned, cluster + i, owner, err);
    return rc;
}

void qcow2_owned_remove(struct qcow2_owned *owned, uint64_t cluster)
{
    uint64_t *slot = owned->size ? slot_of(owned, cluster) : NULL;
    size_t hole, i;

    if (!slot || *slot == 0)
        return;
    *slot = 0;
    owned->count--;
    /* Entries behind the hole whose search would now end there move into it. */
    hole = (size_t)(slot - owned->slots);
    for (i = (hole + 1) & (owned->size - 1); owned->slots[i] != 0;
         i = (i + 1) & (owned->size - 1)) {
        size_t start = start_of(owned, owned->slots[i] >> OWNER_BITS);

        if (((i - start) & (owned->size - 1)) >= ((i - hole) & (owned->size - 1))) {
            owned->slots[hole] = owned->slots[i];
            owned->slots[i] = 0;
            hole = i;
        }
    }
}

void qcow2_owned_remove_run(struct qcow2_owned *owned, uint64_t cluster, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        qcow2_owned_remove(owned, cluster + i);
}

void qcow2_owned_free(struct qcow2_owned *owned)
{
    free(owned->slots);
    *owned = (struct qcow2_owned){0};
}

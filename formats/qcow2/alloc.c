/*
 * Giving out host clusters. SPDX-License-Identifier: BSD-2-Clause
 *
 * First fit from free_hint on: an image that is filled from its start to its end lies in the
 * file in that order. A cluster that is given out has refcount 1 in memory.
 */
#include <inttypes.h>

#include "qcow2.h"

/* Refcounts of 0 for clusters that hold metadata: the image contradicts itself. */
static int check_owners(struct qcow2 *q, uint64_t cluster, uint64_t count, img_error *err)
{
    for (uint64_t i = cluster; i < cluster + count; i++) {
        enum qcow2_owner owner = qcow2_owned_find(&q->owned, i);

        if (owner == QCOW2_OWNER_NONE)
            continue;
        imgi_fail(err, IMG_E_CORRUPT, "host cluster %" PRIu64 " has refcount 0, but it holds %s", i,
                  qcow2_owner_name(owner));
        return qcow2_broken(q);
    }
    return 0;
}

int qcow2_alloc(struct qcow2 *q, uint64_t count, bool exact, uint64_t *cluster, uint64_t *got,
                img_error *err)
{
    int rc;

    *cluster = q->free_hint;
    *got = count;
    rc = qcow2_find_free(q, cluster, got, exact, err);
    if (rc == 0)
        rc = check_owners(q, *cluster, *got, err);
    if (rc == 0)
        rc = qcow2_refcount_add(q, *cluster, *got, err);
    if (rc < 0)
        return rc;
    /* A run of many may have left smaller holes below it. */
    if (!exact || count == 1 || *cluster == q->free_hint)
        q->free_hint = *cluster + *got;
    return 0;
}

int qcow2_alloc_metadata(struct qcow2 *q, uint64_t count, enum qcow2_owner owner, uint64_t *cluster,
                         img_error *err)
{
    uint64_t got;
    int rc = qcow2_alloc(q, count, true, cluster, &got, err);

    if (rc < 0)
        return rc;
    rc = qcow2_owned_add_run(&q->owned, *cluster, count, owner, err);
    if (rc < 0)
        qcow2_cancel_metadata(q, *cluster, count);
    return rc;
}

void qcow2_cancel_metadata(struct qcow2 *q, uint64_t cluster, uint64_t count)
{
    qcow2_owned_remove_run(&q->owned, cluster, count);
    if (count > 0)
        qcow2_refcount_drop(q, cluster, count, false, NULL);
}

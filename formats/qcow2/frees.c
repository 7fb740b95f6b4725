/*
 * Clusters that are to be freed. SPDX-License-Identifier: BSD-2-Clause
 *
 * A cluster that lost its reference in memory still has it on disk. Were it given out again at
 * once and the machine died, the old reference would lead to somebody else's bytes. So its
 * refcount stays until the next flush has put the tables without the reference on disk. What is
 * lost when memory or the machine gives out in between is space, which a check finds.
 */
#include <stdlib.h>

#include "qcow2.h"

/* More runs than this do not wait in memory for somebody's flush. */
#define FREES_MAX 65536

static struct qcow2_free *last(const struct qcow2_frees *frees)
{
    return frees->count ? &frees->runs[frees->count - 1] : NULL;
}

int qcow2_frees_add(struct qcow2_frees *frees, uint64_t cluster, uint64_t count, bool discard,
                    img_error *err)
{
    struct qcow2_free *run = last(frees);

    if (run && run->cluster + run->count == cluster && run->discard == discard) {
        run->count += count;
        return 0;
    }
    if (frees->count == frees->room) {
        size_t room = frees->room ? 2 * frees->room : 64;

        run = realloc(frees->runs, room * sizeof(*run));
        if (!run)
            return imgi_fail_nomem(err, "the list of freed clusters");
        frees->runs = run;
        frees->room = room;
    }
    frees->runs[frees->count++] = (struct qcow2_free){cluster, count, discard};
    return 0;
}

int qcow2_free_later(struct qcow2 *q, uint64_t cluster, uint64_t count, bool discard,
                     img_error *err)
{
    return qcow2_frees_add(&q->frees, cluster, count, discard, err);
}

void qcow2_punch(struct qcow2 *q, uint64_t host)
{
    if (!q->node->encrypted)
        imgi_io_discard(q->data, host, q->cluster_size, NULL);
}

int qcow2_free_entry(struct qcow2 *q, const struct qcow2_entry *entry, bool discard, img_error *err)
{
    uint64_t first = entry->host >> q->cluster_bits;

    if (q->data_file) {
        /* Nobody else can get the place. The host need not take it. */
        if (entry->space && discard)
            qcow2_punch(q, entry->host);
        return 0;
    }
    if (entry->packed)
        return qcow2_free_later(q, first,
                                ((entry->host + entry->length - 1) >> q->cluster_bits) - first + 1,
                                discard, err);
    if (!entry->space)
        return 0;
    return qcow2_free_later(q, first, 1, discard, err);
}

int qcow2_frees_apply(struct qcow2 *q, img_error *err)
{
    struct qcow2_frees *frees = &q->frees;
    size_t done = 0;
    int rc = 0;

    if (frees->count == 0)
        return 0;
    while (rc == 0 && done < frees->count) {
        const struct qcow2_free *run = &frees->runs[done++];

        rc = qcow2_refcount_drop(q, run->cluster, run->count, run->discard, err);
    }
    /* A run that failed half-way is not tried again: what is left of it is lost space. */
    memmove(frees->runs, frees->runs + done, (frees->count - done) * sizeof(*frees->runs));
    frees->count -= done;
    return rc;
}

int qcow2_frees_limit(struct qcow2 *q, img_error *err)
{
    return q->frees.count > FREES_MAX ? qcow2_flush(q->node, err) : 0;
}

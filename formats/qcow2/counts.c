/*
 * Numbers of references, for every host cluster of a file. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>

#include "check.h"

#define PAGE (UINT64_C(1) << QCOW2_COUNTS_PAGE_BITS)
#define FIRST_ORDER 1
#define LAST_ORDER 5

int qcow2_counts_new(struct qcow2_counts *counts, uint64_t clusters,
                     const struct img_policy *policy, img_error *err)
{
    uint64_t pages = imgi_div_up(clusters, PAGE);
    struct imgi_table table = {.what = "the counts of references",
                               .entries = pages,
                               .entry_size = sizeof(*counts->pages),
                               .file_size = UINT64_MAX};
    int rc = imgi_policy_table(policy, &table, err);

    if (rc < 0)
        return rc;
    counts->clusters = clusters;
    counts->pages = calloc((size_t)pages + 1, sizeof(*counts->pages));
    return counts->pages ? 0 : imgi_fail_nomem(err, "the counts of references");
}

void qcow2_counts_free(struct qcow2_counts *counts)
{
    for (uint64_t i = 0; counts->pages && i < imgi_div_up(counts->clusters, PAGE); i++)
        free(counts->pages[i].data);
    free(counts->pages);
    *counts = (struct qcow2_counts){0};
}

static struct qcow2_counts_page *page_of(const struct qcow2_counts *counts, uint64_t cluster)
{
    return &counts->pages[cluster >> QCOW2_COUNTS_PAGE_BITS];
}

uint64_t qcow2_counts_get(const struct qcow2_counts *counts, uint64_t cluster)
{
    const struct qcow2_counts_page *page;

    if (cluster >= counts->clusters)
        return 0;
    page = page_of(counts, cluster);
    return page->data ? qcow2_refcount_get(page->data, page->order, cluster & (PAGE - 1)) : 0;
}

bool qcow2_counts_empty(const struct qcow2_counts *counts, uint64_t cluster)
{
    return cluster >= counts->clusters || !page_of(counts, cluster)->data;
}

/* Make a page whose numbers have 2^order bits, with what the old one holds. */
static int remake(struct qcow2_counts_page *page, unsigned order, img_error *err)
{
    uint8_t *data = calloc((size_t)(PAGE << order) / 8, 1);

    if (!data)
        return imgi_fail_nomem(err, "the counts of references");
    for (uint64_t i = 0; page->data && i < PAGE; i++)
        qcow2_refcount_put(data, order, i, qcow2_refcount_get(page->data, page->order, i));
    free(page->data);
    page->data = data;
    page->order = order;
    return 0;
}

int qcow2_counts_add(struct qcow2_counts *counts, uint64_t cluster, uint64_t number, img_error *err)
{
    struct qcow2_counts_page *page = page_of(counts, cluster);
    uint64_t index = cluster & (PAGE - 1), sum;
    int rc = 0;

    if (!page->data)
        rc = remake(page, FIRST_ORDER, err);
    if (rc < 0)
        return rc;
    sum = qcow2_refcount_get(page->data, page->order, index) + IMGI_MIN(number, UINT32_MAX);
    sum = IMGI_MIN(sum, UINT32_MAX);
    while (rc == 0 && sum >> (1u << page->order) != 0 && page->order < LAST_ORDER)
        rc = remake(page, page->order + 1, err);
    if (rc == 0)
        qcow2_refcount_put(page->data, page->order, index, sum);
    return rc;
}

void qcow2_counts_clear(struct qcow2_counts *counts, uint64_t cluster)
{
    struct qcow2_counts_page *page = page_of(counts, cluster);

    if (page->data)
        qcow2_refcount_put(page->data, page->order, cluster & (PAGE - 1), 0);
}

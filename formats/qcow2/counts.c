/*
 * Numbers of references, for every host cluster of a file. SPDX-License-Identifier: BSD-2-Clause
 *
 * Almost all clusters are referred to once or not at all, so a page begins with one bit a
 * cluster, and runs of clusters are counted 64 at a time. Only a page in which something is
 * shared grows.
 */
#include <stdlib.h>

#include "check.h"

#define PAGE (UINT64_C(1) << QCOW2_COUNTS_PAGE_BITS)
#define LAST_ORDER 5
#define WORD 64u

int qcow2_counts_grow(struct qcow2_counts *counts, uint64_t clusters, img_error *err)
{
    uint64_t old = imgi_div_up(counts->clusters, PAGE), pages = imgi_div_up(clusters, PAGE);
    struct qcow2_counts_page *larger;

    if (counts->pages && pages <= old) {
        counts->clusters = IMGI_MAX(counts->clusters, clusters);
        return 0;
    }
    larger = realloc(counts->pages, ((size_t)pages + 1) * sizeof(*larger));
    if (!larger)
        return imgi_fail_nomem(err, "the counts of references");
    memset(larger + old, 0, ((size_t)(pages - old) + 1) * sizeof(*larger));
    counts->pages = larger;
    counts->clusters = clusters;
    return 0;
}

int qcow2_counts_new(struct qcow2_counts *counts, uint64_t clusters,
                     const struct img_policy *policy, img_error *err)
{
    struct imgi_table table = {.what = "the counts of references",
                               .entries = imgi_div_up(clusters, PAGE),
                               .entry_size = sizeof(*counts->pages),
                               .file_size = UINT64_MAX};
    int rc = imgi_policy_table(policy, &table, err);

    *counts = (struct qcow2_counts){0};
    return rc < 0 ? rc : qcow2_counts_grow(counts, clusters, err);
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

static uint64_t page_get(const struct qcow2_counts_page *page, uint64_t index)
{
    return page->order == 0 ? page->data[index / WORD] >> index % WORD & 1
                            : qcow2_refcount_get((const uint8_t *)page->data, page->order, index);
}

static void page_put(struct qcow2_counts_page *page, uint64_t index, uint64_t number)
{
    uint64_t bit = UINT64_C(1) << index % WORD;

    if (page->order > 0)
        qcow2_refcount_put((uint8_t *)page->data, page->order, index, number);
    else if (number > 0)
        page->data[index / WORD] |= bit;
    else
        page->data[index / WORD] &= ~bit;
}

uint64_t qcow2_counts_get(const struct qcow2_counts *counts, uint64_t cluster)
{
    const struct qcow2_counts_page *page;

    if (cluster >= counts->clusters)
        return 0;
    page = page_of(counts, cluster);
    return page->data ? page_get(page, cluster & (PAGE - 1)) : 0;
}

bool qcow2_counts_empty(const struct qcow2_counts *counts, uint64_t cluster)
{
    return cluster >= counts->clusters || !page_of(counts, cluster)->data;
}

bool qcow2_counts_bits(const struct qcow2_counts *counts, uint64_t cluster, uint64_t *bits)
{
    const struct qcow2_counts_page *page = page_of(counts, cluster);

    *bits = page->data ? page->data[(cluster & (PAGE - 1)) / WORD] : 0;
    return page->order == 0;
}

/* Make a page whose numbers have 2^order bits, with what the old one holds. */
static int remake(struct qcow2_counts_page *page, unsigned order, img_error *err)
{
    struct qcow2_counts_page larger = {.order = order};

    larger.data = calloc((size_t)(PAGE << order) / 8, 1);
    if (!larger.data)
        return imgi_fail_nomem(err, "the counts of references");
    for (uint64_t i = 0; page->data && i < PAGE; i++)
        page_put(&larger, i, page_get(page, i));
    free(page->data);
    *page = larger;
    return 0;
}

static int add_one(struct qcow2_counts_page *page, uint64_t index, uint64_t number, img_error *err)
{
    uint64_t sum = page_get(page, index) + IMGI_MIN(number, UINT32_MAX);
    int rc = 0;

    sum = IMGI_MIN(sum, UINT32_MAX);
    while (rc == 0 && sum >> (1u << page->order) != 0 && page->order < LAST_ORDER)
        rc = remake(page, page->order + 1, err);
    if (rc == 0)
        page_put(page, index, sum);
    return rc;
}

/* The same number to `count` clusters of one page. */
static int add_in_page(struct qcow2_counts_page *page, uint64_t index, uint64_t count,
                       uint64_t number, img_error *err)
{
    int rc = page->data ? 0 : remake(page, 0, err);

    while (rc == 0 && count > 0) {
        unsigned shift = (unsigned)(index % WORD);
        uint64_t step = IMGI_MIN(count, (uint64_t)(WORD - shift));
        uint64_t bits = UINT64_MAX >> (WORD - step) << shift;

        if (number == 1 && page->order == 0 && !(page->data[index / WORD] & bits)) {
            page->data[index / WORD] |= bits;
        } else {
            step = 1;
            rc = add_one(page, index, number, err);
        }
        index += step;
        count -= step;
    }
    return rc;
}

int qcow2_counts_add(struct qcow2_counts *counts, uint64_t cluster, uint64_t count, uint64_t number,
                     img_error *err)
{
    int rc = 0;

    while (rc == 0 && count > 0) {
        uint64_t index = cluster & (PAGE - 1), step = IMGI_MIN(count, PAGE - index);

        rc = add_in_page(page_of(counts, cluster), index, step, number, err);
        cluster += step;
        count -= step;
    }
    return rc;
}

void qcow2_counts_drop(struct qcow2_counts *counts, uint64_t cluster)
{
    uint64_t number = qcow2_counts_get(counts, cluster);

    if (number > 0 && number < UINT32_MAX)
        page_put(page_of(counts, cluster), cluster & (PAGE - 1), number - 1);
}

void qcow2_counts_clear(struct qcow2_counts *counts, uint64_t cluster)
{
    struct qcow2_counts_page *page = page_of(counts, cluster);

    if (page->data)
        page_put(page, cluster & (PAGE - 1), 0);
}

uint64_t qcow2_counts_free_run(const struct qcow2_counts *counts, uint64_t from, uint64_t count)
{
    uint64_t run = 0;

    while (run < count) {
        if (qcow2_counts_get(counts, from + run) == 0) {
            run++;
        } else {
            from += run + 1;
            run = 0;
        }
    }
    return from;
}

/*
 * Guest ranges in use by requests in flight. SPDX-License-Identifier: BSD-2-Clause
 *
 * A list, since there are no more entries than threads. `lock` protects it; waiters
 * sleep on `released`.
 */
#include <stdlib.h>

#include "internal.h"

struct imgi_ranges {
    pthread_mutex_t lock;
    pthread_cond_t released;
    struct imgi_range *active;
};

struct imgi_ranges *imgi_ranges_new(img_error *err)
{
    struct imgi_ranges *ranges = calloc(1, sizeof(*ranges));

    if (!ranges) {
        imgi_fail_nomem(err, "the ranges in flight");
        return NULL;
    }
    pthread_mutex_init(&ranges->lock, NULL);
    pthread_cond_init(&ranges->released, NULL);
    return ranges;
}

void imgi_ranges_free(struct imgi_ranges *ranges)
{
    if (!ranges)
        return;
    pthread_cond_destroy(&ranges->released);
    pthread_mutex_destroy(&ranges->lock);
    free(ranges);
}

static bool in_the_way(const struct imgi_range *active, const struct imgi_range *wanted)
{
    for (; active; active = active->next) {
        if (active->start < wanted->end && wanted->start < active->end &&
            (active->exclusive || wanted->exclusive))
            return true;
    }
    return false;
}

void imgi_ranges_take(struct imgi_ranges *ranges, struct imgi_range *range, uint64_t start,
                      uint64_t end, bool exclusive)
{
    range->start = start;
    range->end = end;
    range->exclusive = exclusive;
    pthread_mutex_lock(&ranges->lock);
    while (in_the_way(ranges->active, range))
        pthread_cond_wait(&ranges->released, &ranges->lock);
    range->next = ranges->active;
    ranges->active = range;
    pthread_mutex_unlock(&ranges->lock);
}

void imgi_ranges_release(struct imgi_ranges *ranges, struct imgi_range *range)
{
    struct imgi_range **link = &ranges->active;

    pthread_mutex_lock(&ranges->lock);
    while (*link != range)
        link = &(*link)->next;
    *link = range->next;
    pthread_cond_broadcast(&ranges->released);
    pthread_mutex_unlock(&ranges->lock);
}

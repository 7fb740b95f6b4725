/*
 * The check's counts of references, against a plain array. SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "qcow2/check.h"

#define CLUSTERS 20000u

struct pair {
    struct qcow2_counts counts;
    uint64_t plain[CLUSTERS];
};

static uint64_t roll(uint64_t *state, uint64_t sides)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*state >> 33) % sides;
}

static void add(struct pair *pair, uint64_t cluster, uint64_t count, uint64_t number)
{
    assert_int_equal(qcow2_counts_add(&pair->counts, cluster, count, number, NULL), 0);
    for (uint64_t i = cluster; i < cluster + count; i++)
        pair->plain[i] = IMGI_MIN(pair->plain[i] + number, (uint64_t)UINT32_MAX);
}

static void verify(const struct pair *pair)
{
    uint64_t bits, expected;

    for (uint64_t i = 0; i < CLUSTERS; i++) {
        assert_int_equal(qcow2_counts_get(&pair->counts, i), pair->plain[i]);
        if (pair->plain[i] > 0)
            assert_false(qcow2_counts_empty(&pair->counts, i));
    }
    for (uint64_t i = 0; i + 64 <= CLUSTERS; i += 64) {
        if (!qcow2_counts_bits(&pair->counts, i, &bits))
            continue;
        expected = 0;
        for (uint64_t j = 0; j < 64; j++) {
            assert_true(pair->plain[i + j] <= 1);
            expected |= pair->plain[i + j] << j;
        }
        assert_int_equal(bits, expected);
    }
}

static void random_runs(void **state)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    uint64_t seed = 1;

    (void)state;
    assert_non_null(pair);
    assert_int_equal(qcow2_counts_new(&pair->counts, CLUSTERS, imgi_policy_default(), NULL), 0);
    for (unsigned round = 0; round < 40; round++) {
        uint64_t cluster = roll(&seed, CLUSTERS), count = 1 + roll(&seed, 300);
        uint64_t number = round % 5 ? 1 : roll(&seed, 70000);

        add(pair, cluster, IMGI_MIN(count, CLUSTERS - cluster), number);
        cluster = roll(&seed, CLUSTERS);
        qcow2_counts_drop(&pair->counts, cluster);
        pair->plain[cluster] -= pair->plain[cluster] > 0;
        cluster = roll(&seed, CLUSTERS);
        qcow2_counts_clear(&pair->counts, cluster);
        pair->plain[cluster] = 0;
        verify(pair);
    }
    qcow2_counts_free(&pair->counts);
    free(pair);
}

/* A count that has reached the end stays there: it is not known how high it was. */
static void saturation(void **state)
{
    struct qcow2_counts counts;

    (void)state;
    assert_int_equal(qcow2_counts_new(&counts, 10, imgi_policy_default(), NULL), 0);
    assert_int_equal(qcow2_counts_add(&counts, 3, 1, UINT64_MAX, NULL), 0);
    assert_int_equal(qcow2_counts_add(&counts, 3, 1, 1, NULL), 0);
    qcow2_counts_drop(&counts, 3);
    assert_int_equal(qcow2_counts_get(&counts, 3), UINT32_MAX);
    qcow2_counts_drop(&counts, 4);
    assert_int_equal(qcow2_counts_get(&counts, 4), 0);
    assert_int_equal(qcow2_counts_get(&counts, 1000000), 0);
    qcow2_counts_free(&counts);
}

static void free_runs_and_growth(void **state)
{
    struct qcow2_counts counts;

    (void)state;
    assert_int_equal(qcow2_counts_new(&counts, 100, imgi_policy_default(), NULL), 0);
    assert_int_equal(qcow2_counts_add(&counts, 0, 10, 1, NULL), 0);
    assert_int_equal(qcow2_counts_add(&counts, 12, 80, 2, NULL), 0);
    assert_int_equal(qcow2_counts_free_run(&counts, 0, 1), 10);
    assert_int_equal(qcow2_counts_free_run(&counts, 0, 2), 10);
    assert_int_equal(qcow2_counts_free_run(&counts, 0, 3), 92);
    assert_int_equal(qcow2_counts_free_run(&counts, 95, 50), 95);
    assert_int_equal(qcow2_counts_grow(&counts, 50000, NULL), 0);
    assert_int_equal(qcow2_counts_get(&counts, 13), 2);
    assert_int_equal(qcow2_counts_add(&counts, 49999, 1, 1, NULL), 0);
    assert_int_equal(qcow2_counts_get(&counts, 49999), 1);
    assert_true(qcow2_counts_empty(&counts, 30000));
    qcow2_counts_free(&counts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_runs),
        cmocka_unit_test(saturation),
        cmocka_unit_test(free_runs_and_growth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

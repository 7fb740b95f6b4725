/*
 * The metadata table cache. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cache.h"

#define TABLE 512

/* A cache of two tables on memory of eight, table i filled with the byte i. */
struct fixture {
    struct imgi_io *io, *fault;
    struct imgi_cache *cache;
    unsigned hook_calls;
    int hook_result;
};

static int hook(void *opaque, img_error *err)
{
    struct fixture *f = opaque;

    (void)err;
    f->hook_calls++;
    return f->hook_result;
}

static void begin(struct fixture *f, size_t tables)
{
    struct imgi_cache_params params = {.what = "table",
                                       .table_size = TABLE,
                                       .budget = tables * TABLE,
                                       .before_write = hook,
                                       .opaque = f};
    uint8_t content[TABLE];

    *f = (struct fixture){0};
    assert_int_equal(imgi_mem_new(&f->io, NULL), 0);
    for (int i = 0; i < 8; i++) {
        memset(content, i, sizeof(content));
        assert_int_equal(imgi_io_write(f->io, content, TABLE, (uint64_t)i * TABLE, NULL), 0);
    }
    assert_int_equal(imgi_fault_new(&f->fault, f->io, NULL), 0);
    params.io = f->fault;
    assert_int_equal(imgi_cache_new(&f->cache, &params, NULL), 0);
}

static void end(struct fixture *f)
{
    imgi_cache_free(f->cache);
    imgi_io_close(f->fault);
}

static uint8_t *get(struct fixture *f, uint64_t index)
{
    uint8_t *table = NULL;

    assert_int_equal(imgi_cache_get(f->cache, index * TABLE, &table, NULL), 0);
    return table;
}

static uint8_t stored(struct fixture *f, size_t at)
{
    size_t length;
    const uint8_t *bytes = imgi_mem_bytes(f->io, &length);

    assert_true(at < length);
    return bytes[at];
}

static void a_change_waits_for_its_write(void **state)
{
    struct fixture f;
    uint8_t *table;

    (void)state;
    begin(&f, 2);
    table = get(&f, 3);
    assert_int_equal(table[0], 3);
    table[7] = 99;
    imgi_cache_dirty(f.cache, table, 7, 1);
    assert_true(imgi_cache_is_dirty(f.cache));
    assert_int_equal(stored(&f, 3 * TABLE + 7), 3);
    assert_int_equal(imgi_cache_write(f.cache, NULL), 0);
    assert_int_equal(stored(&f, 3 * TABLE + 7), 99);
    assert_int_equal(f.hook_calls, 1);
    assert_false(imgi_cache_is_dirty(f.cache));
    assert_int_equal(imgi_cache_write(f.cache, NULL), 0);
    assert_int_equal(f.hook_calls, 1);
    end(&f);
}

static void only_changed_bytes_are_written(void **state)
{
    struct fixture f;
    uint8_t *table;

    (void)state;
    begin(&f, 2);
    table = get(&f, 1);
    memset(table, 50, TABLE);
    imgi_cache_dirty(f.cache, table, 100, 4);
    imgi_cache_dirty(f.cache, table, 200, 4);
    assert_int_equal(imgi_cache_write(f.cache, NULL), 0);
    assert_int_equal(stored(&f, TABLE + 99), 1);
    assert_int_equal(stored(&f, TABLE + 100), 50);
    assert_int_equal(stored(&f, TABLE + 203), 50);
    assert_int_equal(stored(&f, TABLE + 204), 1);
    end(&f);
}

static void making_room_writes_all_that_changed(void **state)
{
    struct fixture f;
    uint8_t *table;

    (void)state;
    begin(&f, 4);
    for (uint64_t i = 0; i < 3; i++) {
        table = get(&f, i);
        table[0] = (uint8_t)(i + 60);
        imgi_cache_dirty(f.cache, table, 0, 1);
    }
    get(&f, 4);
    assert_int_equal(f.hook_calls, 0);
    get(&f, 5); /* takes the place of table 0 */
    assert_int_equal(f.hook_calls, 1);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(stored(&f, i * TABLE), i + 60);
    assert_int_equal(get(&f, 0)[0], 60);
    end(&f);
}

static void tables_used_last_stay(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, 2);
    get(&f, 0);
    get(&f, 1);
    get(&f, 0);
    get(&f, 2); /* 1 goes */
    assert_true(imgi_cache_has(f.cache, 0));
    assert_false(imgi_cache_has(f.cache, TABLE));
    imgi_fault_set(f.fault, IMGI_FAULT_READ, 0, EIO, true);
    assert_int_equal(get(&f, 0)[0], 0);
    assert_int_equal(get(&f, 2)[0], 2);
    assert_false(imgi_fault_hit(f.fault));
    end(&f);
}

static void a_new_table_is_zeros_or_a_copy(void **state)
{
    struct fixture f;
    uint8_t *table;

    (void)state;
    begin(&f, 2);
    assert_int_equal(imgi_cache_add(f.cache, 9 * TABLE, 0, &table, NULL), 0);
    assert_int_equal(table[TABLE - 1], 0);
    assert_int_equal(imgi_cache_add(f.cache, 10 * TABLE, 5 * TABLE, &table, NULL), 0);
    assert_int_equal(table[TABLE - 1], 5);
    assert_int_equal(imgi_cache_add(f.cache, 11 * TABLE, 10 * TABLE, &table, NULL), 0);
    assert_int_equal(table[0], 5);
    assert_int_equal(imgi_cache_write(f.cache, NULL), 0);
    assert_int_equal(stored(&f, 9 * TABLE), 0);
    assert_int_equal(stored(&f, 10 * TABLE), 5);
    assert_int_equal(stored(&f, 12 * TABLE - 1), 5);
    end(&f);
}

static void what_is_forgotten_is_not_written(void **state)
{
    struct fixture f;
    uint8_t *table;

    (void)state;
    begin(&f, 2);
    table = get(&f, 6);
    table[0] = 77;
    imgi_cache_dirty(f.cache, table, 0, 1);
    imgi_cache_forget(f.cache, 6 * TABLE);
    imgi_cache_forget(f.cache, 7 * TABLE);
    assert_false(imgi_cache_is_dirty(f.cache));
    assert_int_equal(imgi_cache_write(f.cache, NULL), 0);
    assert_int_equal(f.hook_calls, 0);
    assert_int_equal(get(&f, 6)[0], 6);
    end(&f);
}

static void a_failed_write_is_tried_again(void **state)
{
    struct fixture f;
    img_error err = {0};
    uint8_t *table;

    (void)state;
    begin(&f, 2);
    table = get(&f, 2);
    table[0] = 88;
    imgi_cache_dirty(f.cache, table, 0, 1);
    f.hook_result = IMG_E_IO;
    assert_int_equal(imgi_cache_write(f.cache, NULL), IMG_E_IO);
    f.hook_result = 0;
    imgi_fault_set(f.fault, IMGI_FAULT_WRITE, 0, ENOSPC, false);
    assert_int_equal(imgi_cache_write(f.cache, &err), IMG_E_NOSPACE);
    assert_non_null(strstr(err.message, "table at 0x400"));
    assert_true(imgi_cache_is_dirty(f.cache));
    assert_int_equal(stored(&f, 2 * TABLE), 2);
    assert_int_equal(imgi_cache_write(f.cache, NULL), 0);
    assert_int_equal(stored(&f, 2 * TABLE), 88);
    end(&f);
}

static void a_table_past_the_end_is_an_error(void **state)
{
    struct fixture f;
    img_error err = {0};
    uint8_t *table;

    (void)state;
    begin(&f, 2);
    assert_int_equal(imgi_cache_get(f.cache, 8 * TABLE - 1, &table, &err), IMG_E_RANGE);
    assert_int_equal(get(&f, 7)[0], 7);
    end(&f);
}

/* Many tables in a small cache, against memory that knows them all. */
static void it_never_mixes_tables_up(void **state)
{
    struct fixture f;
    uint8_t expected[64] = {0};
    uint32_t random = 1;
    uint8_t *table;

    (void)state;
    begin(&f, 8);
    for (uint64_t i = 0; i < 64; i++)
        assert_int_equal(imgi_cache_add(f.cache, i * TABLE, 0, &table, NULL), 0);
    for (unsigned step = 0; step < 20000; step++) {
        unsigned index;

        random = random * 1103515245 + 12345;
        index = random >> 16 & 63;
        table = get(&f, index);
        assert_int_equal(table[index], expected[index]);
        if (random & 0x400000) {
            table[index] = expected[index] = (uint8_t)step;
            imgi_cache_dirty(f.cache, table, index, 1);
        }
    }
    assert_int_equal(imgi_cache_write(f.cache, NULL), 0);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(stored(&f, i * TABLE + i), expected[i]);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_waits_for_its_write),
        cmocka_unit_test(only_changed_bytes_are_written),
        cmocka_unit_test(making_room_writes_all_that_changed),
        cmocka_unit_test(tables_used_last_stay),
        cmocka_unit_test(a_new_table_is_zeros_or_a_copy),
        cmocka_unit_test(what_is_forgotten_is_not_written),
        cmocka_unit_test(a_failed_write_is_tried_again),
        cmocka_unit_test(a_table_past_the_end_is_an_error),
        cmocka_unit_test(it_never_mixes_tables_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

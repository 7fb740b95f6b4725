/*
 * Encrypted images against a plain array: at all alignments, and by many threads.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The seeds are fixed. What the file holds is looked at too: nothing of what was written may be in
 * it as it was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "internal.h"

#define SIZE (300u << 10)
#define THREADS 4

static const struct shape {
    const char *format, *create, *open;
} shapes[] = {
    {"luks", "key-secret=s,iter-time=1", "key-secret=s"},
    {"luks", "key-secret=s,iter-time=1,cipher-mode=cbc,ivgen-alg=essiv", "key-secret=s"},
    {"qcow2", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=1",
     "encrypt.key-secret=s"},
    {"qcow2", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=1,cluster_size=512",
     "encrypt.key-secret=s"},
    {"qcow2",
     "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=1,cluster_size=16k,extended_l2=on",
     "encrypt.key-secret=s,encrypt.format=luks"},
    {"qcow2", "encrypt.format=aes,encrypt.key-secret=s,cluster_size=4k", "encrypt.key-secret=s"},
    {"qcow2", "encryption=on,encrypt.key-secret=s,compat=0.10",
     "encrypt.key-secret=s,encrypt.format=aes"},
};

struct model {
    const struct shape *shape;
    img_image *image;
    img_secrets *secrets;
    img_options *create, *open;
    uint8_t *content, *buffer;
    uint64_t random;
};

static void complain(const img_error *err, int rc)
{
    if (rc < 0)
        print_error("%s\n", err->message);
    assert_int_equal(rc, 0);
}

static uint64_t random_below(struct model *m, uint64_t limit)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return m->random % limit;
}

static img_options *parse(const char *text)
{
    img_options *options = img_options_new();
    img_error err = {0};

    if (*text)
        complain(&err, img_options_parse(options, text, &err));
    return options;
}

static void begin(struct model *m, const struct shape *shape)
{
    img_options *secret = parse("id=s,data=open sesame");
    img_open_params params = {0};
    struct imgi_io *io;
    img_error err = {0};

    print_message("%s: %s\n", shape->format, shape->create);
    *m = (struct model){.shape = shape,
                        .secrets = img_secrets_new(),
                        .create = parse(shape->create),
                        .open = parse(shape->open),
                        .content = calloc(1, SIZE),
                        .buffer = malloc(SIZE),
                        .random = 0x5eed};
    complain(&err, img_secrets_add(m->secrets, secret, &err));
    img_options_free(secret);
    params.secrets = m->secrets;
    assert_int_equal(imgi_mem_new(&io, NULL), 0);
    complain(&err, imgi_image_create_io(&m->image, io, "memory", shape->format, SIZE, m->create,
                                        &params, &err));
    complain(&err, img_zero(m->image, 0, SIZE, 0, &err));
}

/* A new image around the same bytes. */
static int open_copy(struct model *m, const img_options *options, unsigned flags, img_image **copy,
                     img_error *err)
{
    const img_open_params params = {.flags = flags, .options = options, .secrets = m->secrets};
    struct imgi_io *io;
    const uint8_t *bytes;
    size_t length;

    complain(err, img_flush(m->image, err));
    bytes = imgi_mem_bytes(m->image->top->file, &length);
    assert_int_equal(imgi_mem_new(&io, NULL), 0);
    assert_int_equal(imgi_io_write(io, bytes, length, 0, NULL), 0);
    return imgi_image_open_io(copy, io, "memory", &params, err);
}

static void reopen(struct model *m)
{
    img_image *copy = NULL;
    img_error err = {0};

    complain(&err, open_copy(m, m->open, IMG_OPEN_WRITE, &copy, &err));
    complain(&err, img_close(m->image, &err));
    m->image = copy;
}

static void end(struct model *m)
{
    assert_int_equal(img_close(m->image, NULL), 0);
    img_secrets_free(m->secrets);
    img_options_free(m->create);
    img_options_free(m->open);
    free(m->content);
    free(m->buffer);
}

static void verify(struct model *m)
{
    img_error err = {0};

    complain(&err, img_read(m->image, 0, m->buffer, SIZE, &err));
    assert_memory_equal(m->buffer, m->content, SIZE);
    for (int i = 0; i < 20; i++) {
        uint64_t offset = random_below(m, SIZE), length = 1 + random_below(m, 1500);

        length = IMGI_MIN(length, SIZE - offset);
        complain(&err, img_read(m->image, offset, m->buffer, length, &err));
        assert_memory_equal(m->buffer, m->content + offset, length);
    }
}

static void change(struct model *m)
{
    uint64_t offset = random_below(m, SIZE), length = 1 + random_below(m, 20000);
    img_error err = {0};

    if (random_below(m, 2))
        length = 1 + random_below(m, 700);
    length = IMGI_MIN(length, SIZE - offset);
    if (random_below(m, 5) == 0) {
        memset(m->content + offset, 0, length);
        complain(&err, img_zero(m->image, offset, length, IMG_ZERO_UNMAP, &err));
        return;
    }
    for (uint64_t i = 0; i < length; i++)
        m->content[offset + i] = (uint8_t)random_below(m, 256);
    memcpy(m->buffer, m->content + offset, length);
    complain(&err, img_write(m->image, offset, m->buffer, length, &err));
    /* Encrypted elsewhere: the caller's bytes are as they were. */
    assert_memory_equal(m->buffer, m->content + offset, length);
}

static void images_hold_what_was_written(void **state)
{
    (void)state;
    for (size_t s = 0; s < IMGI_COUNT(shapes); s++) {
        struct model m;

        begin(&m, &shapes[s]);
        verify(&m);
        for (int batch = 0; batch < 4; batch++) {
            for (int i = 0; i < 40; i++)
                change(&m);
            verify(&m);
            reopen(&m);
            verify(&m);
        }
        end(&m);
    }
}

static void files_hold_nothing_in_the_clear(void **state)
{
    static const char text[] = "this must not be found in the file";

    (void)state;
    for (size_t s = 0; s < IMGI_COUNT(shapes); s++) {
        struct model m;
        const uint8_t *bytes;
        size_t length;
        img_error err = {0};

        begin(&m, &shapes[s]);
        for (uint64_t at = 0; at + sizeof(text) < SIZE; at += 777)
            complain(&err, img_write(m.image, at, text, sizeof(text), &err));
        complain(&err, img_flush(m.image, &err));
        bytes = imgi_mem_bytes(m.image->top->file, &length);
        assert_null(memmem(bytes, length, text, sizeof(text)));
        assert_null(memmem(bytes, length, "open sesame", 11));
        end(&m);
    }
}

/* Each thread has every THREADS-th byte of the same sectors. */
struct worker {
    struct model *m;
    unsigned n;
    int rc;
};

static void *work(void *opaque)
{
    struct worker *worker = opaque;
    const struct model *m = worker->m;

    for (uint64_t at = worker->n; at < 3000; at += THREADS) {
        uint8_t byte;

        if (worker->rc == 0)
            worker->rc = img_write(m->image, at, m->content + at, 1, NULL);
        if (worker->rc == 0)
            worker->rc = img_read(m->image, at, &byte, 1, NULL);
        if (worker->rc == 0 && byte != m->content[at])
            worker->rc = 1;
    }
    return NULL;
}

static void threads_share_sectors(void **state)
{
    (void)state;
    for (size_t s = 0; s < IMGI_COUNT(shapes); s++) {
        struct worker workers[THREADS];
        pthread_t threads[THREADS];
        struct model m;

        begin(&m, &shapes[s]);
        for (uint64_t i = 0; i < 3000; i++)
            m.content[i] = (uint8_t)random_below(&m, 256);
        for (unsigned n = 0; n < THREADS; n++) {
            workers[n] = (struct worker){&m, n, 0};
            assert_int_equal(pthread_create(&threads[n], NULL, work, &workers[n]), 0);
        }
        for (unsigned n = 0; n < THREADS; n++) {
            pthread_join(threads[n], NULL);
            assert_int_equal(workers[n].rc, 0);
        }
        verify(&m);
        end(&m);
    }
}

static void assert_refused(struct model *m, const char *options, unsigned flags, const char *text)
{
    img_options *parsed = parse(options);
    img_image *copy = NULL;
    img_error err = {0};

    assert_true(open_copy(m, parsed, flags, &copy, &err) < 0);
    assert_string_equal(err.message, text);
    img_options_free(parsed);
}

static void wrong_keys_are_refused(void **state)
{
    img_options *wrong = parse("id=wrong,data=open sesam");
    img_image *copy = NULL;
    img_error err = {0};
    struct model m;
    uint8_t byte = 0;

    (void)state;
    begin(&m, &shapes[2]);
    complain(&err, img_secrets_add(m.secrets, wrong, &err));
    assert_refused(&m, "", 0, "Parameter 'encrypt.key-secret' is required for cipher");
    assert_refused(&m, "encrypt.key-secret=x", 0, "No secret with id 'x'");
    assert_refused(&m, "encrypt.key-secret=wrong", IMG_OPEN_WRITE,
                   "Invalid password, cannot unlock any keyslot");
    assert_refused(&m, "encrypt.key-secret=s,encrypt.format=aes", 0,
                   "Header reported 'luks' encryption format but options specify 'aes'");

    /* Without a key its structures can be looked at, and nothing of its data. */
    complain(&err, open_copy(&m, NULL, IMG_OPEN_NO_KEY | IMG_OPEN_WRITE, &copy, &err));
    assert_int_equal(img_size(copy), SIZE);
    assert_int_equal(img_write(copy, 0, &byte, 1, &err), IMG_E_DENIED);
    img_abandon(copy);
    complain(&err, img_write(m.image, 0, &byte, 1, &err));
    complain(&err, open_copy(&m, NULL, IMG_OPEN_CHECK, &copy, &err));
    assert_int_equal(img_read(copy, 0, &byte, 1, &err), IMG_E_DENIED);
    img_abandon(copy);
    img_options_free(wrong);
    end(&m);
}

static void compression_is_refused(void **state)
{
    struct model m;
    img_error err = {0};

    (void)state;
    begin(&m, &shapes[2]);
    assert_int_equal(img_write_compressed(m.image, 0, m.content, 65536, &err), IMG_E_UNSUPPORTED);
    assert_string_equal(err.message, "Compression and encryption not supported at the same time");
    end(&m);
}

/* ------------------------------------------------------- LUKS in qcow2, with one field changed */

enum base { EXTENSION, AREA }; /* what an offset counts from: the extension's head, the header */

static const struct damage {
    const char *name;
    enum base base;
    unsigned offset, width;
    uint64_t value;
    int code; /* 0: opens without a key */
} damages[] = {
    {"no extension", EXTENSION, 0, 4, 0x12345678, IMG_E_CORRUPT},
    {"a short extension", EXTENSION, 4, 4, 8, IMG_E_CORRUPT},
    {"an offset inside a cluster", EXTENSION, 8, 8, 0x40200, IMG_E_CORRUPT},
    {"an offset past the end", EXTENSION, 8, 8, UINT64_C(1) << 40, IMG_E_CORRUPT},
    {"an offset near 2^64", EXTENSION, 8, 8, UINT64_C(0xffffffffffff0000), IMG_E_CORRUPT},
    {"the L1 table's offset", EXTENSION, 8, 8, 0x30000, IMG_E_FORMAT},
    {"the image's own header", EXTENSION, 8, 8, 0, IMG_E_FORMAT},
    {"a length of nothing", EXTENSION, 16, 8, 0, IMG_E_CORRUPT},
    {"a length that ends in a key slot", EXTENSION, 16, 8, 8192, IMG_E_CORRUPT},
    {"a length past the end", EXTENSION, 16, 8, UINT64_C(1) << 24, IMG_E_CORRUPT},
    {"a length past all limits", EXTENSION, 16, 8, UINT64_C(1) << 40, IMG_E_LIMIT},
    {"a length near 2^64", EXTENSION, 16, 8, UINT64_MAX - 1, IMG_E_LIMIT},
    {"no magic", AREA, 0, 1, 0, IMG_E_FORMAT},
    {"LUKS version 2", AREA, 6, 2, 2, IMG_E_UNSUPPORTED},
    {"a key of 4 GiB", AREA, 108, 4, UINT32_MAX, IMG_E_CORRUPT},
    {"an endless digest", AREA, 164, 4, UINT32_MAX, IMG_E_LIMIT},
    {"an endless key slot", AREA, 208 + 4, 4, UINT32_MAX, IMG_E_LIMIT},
    {"a key slot that takes hours", AREA, 208 + 4, 4, IMGI_PBKDF2_MAX_ITERATIONS, 0},
    {"a key slot past the end", AREA, 208 + 40, 4, UINT32_MAX, IMG_E_CORRUPT},
    {"a key slot in the header", AREA, 208 + 40, 4, 0, IMG_E_CORRUPT},
    {"a key slot in another", AREA, 208 + 40, 4, 520, IMG_E_CORRUPT},
    {"2^32 stripes", AREA, 208 + 44, 4, UINT32_MAX, IMG_E_LIMIT},
    {"a state that is none", AREA, 208, 4, 7, IMG_E_CORRUPT},
};

/* Where the encryption extension begins, among the others behind the header. */
static size_t find_extension(const uint8_t *bytes)
{
    size_t at = imgi_get_be32(bytes + 100);

    while (imgi_get_be32(bytes + at) != 0x0537be77u)
        at += 8 + imgi_align_up(imgi_get_be32(bytes + at + 4), 8);
    return at;
}

static int open_damaged(struct model *m, const struct damage *damage, unsigned flags)
{
    const img_open_params params = {
        .format = "qcow2", .flags = flags, .options = m->open, .secrets = m->secrets};
    size_t length, at;
    const uint8_t *bytes = imgi_mem_bytes(m->image->top->file, &length);
    uint8_t field[8];
    struct imgi_io *io;
    img_image *image = NULL;
    img_error err = {0};
    int rc;

    at = find_extension(bytes);
    if (damage->base == AREA)
        at = (size_t)imgi_get_be64(bytes + at + 8);
    imgi_put_be64(field, damage->value << (64 - 8 * damage->width));
    assert_int_equal(imgi_mem_new(&io, NULL), 0);
    assert_int_equal(imgi_io_write(io, bytes, length, 0, NULL), 0);
    assert_int_equal(imgi_io_write(io, field, damage->width, at + damage->offset, NULL), 0);
    rc = imgi_image_open_io(&image, io, "memory", &params, &err);
    if (rc < 0)
        assert_true(err.message[0] != '\0');
    img_abandon(image);
    return rc;
}

static void damaged_headers_are_refused(void **state)
{
    struct model m;
    img_error err = {0};

    (void)state;
    begin(&m, &shapes[2]);
    complain(&err, img_write(m.image, 0, m.content, 1000, &err));
    complain(&err, img_flush(m.image, &err));
    for (size_t i = 0; i < IMGI_COUNT(damages); i++) {
        const struct damage *damage = &damages[i];
        int rc = open_damaged(&m, damage, IMG_OPEN_NO_KEY);

        print_message("%s: %d\n", damage->name, rc);
        assert_int_equal(rc, damage->code);
        if (rc < 0)
            assert_true(open_damaged(&m, damage, 0) < 0);
        /* The check looks at the image's own structures, and can be had of all of these. */
        assert_int_equal(open_damaged(&m, damage, IMG_OPEN_CHECK), 0);
    }
    /* A header that reaches over the tables behind it: not to be written to. */
    assert_int_equal(open_damaged(&m, &(struct damage){"", EXTENSION, 16, 8, 2200000, 0}, 0), 0);
    assert_int_equal(
        open_damaged(&m, &(struct damage){"", EXTENSION, 16, 8, 2200000, 0}, IMG_OPEN_WRITE),
        IMG_E_CORRUPT);
    end(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_hold_what_was_written),
        cmocka_unit_test(files_hold_nothing_in_the_clear),
        cmocka_unit_test(threads_share_sectors),
        cmocka_unit_test(wrong_keys_are_refused),
        cmocka_unit_test(compression_is_refused),
        cmocka_unit_test(damaged_headers_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * LUKS headers and key slots, in memory. SPDX-License-Identifier: BSD-2-Clause
 */
#include "crypto_test.h"

#include "crypto/luks_internal.h"
#include "util/bytes.h"

/* An area in memory that notes what happens to it and may fail. */
struct memory {
    struct imgi_luks_area area;
    uint8_t *bytes;
    char log[64];  /* S: stripes written, H: header written, F: flush */
    int fail_call; /* the write or flush that fails, from 1; 0: none */
    int calls;
};

static int memory_read(void *opaque, uint64_t offset, void *buffer, size_t length, img_error *err)
{
    const struct memory *memory = opaque;

    if (offset > memory->area.length || length > memory->area.length - offset)
        return imgi_fail(err, IMG_E_RANGE, "read past the end");
    memcpy(buffer, memory->bytes + offset, length);
    return 0;
}

static int note(struct memory *memory, char what, img_error *err)
{
    size_t used = strlen(memory->log);

    if (++memory->calls == memory->fail_call)
        return imgi_fail(err, IMG_E_NOSPACE, "the disk is full");
    if (used + 1 < sizeof(memory->log))
        memory->log[used] = what;
    return 0;
}

static int memory_write(void *opaque, uint64_t offset, const void *buffer, size_t length,
                        img_error *err)
{
    struct memory *memory = opaque;
    int rc = note(memory, offset == 0 ? 'H' : 'S', err);

    assert_true(offset <= memory->area.length && length <= memory->area.length - offset);
    if (rc == 0)
        memcpy(memory->bytes + offset, buffer, length);
    return rc;
}

static int memory_flush(void *opaque, img_error *err)
{
    return note(opaque, 'F', err);
}

static struct memory *memory_new(uint64_t length)
{
    struct memory *memory = calloc(1, sizeof(*memory));

    assert_non_null(memory);
    memory->bytes = calloc(1, length);
    assert_non_null(memory->bytes);
    memory->area = (struct imgi_luks_area){memory, length, memory_read, memory_write, memory_flush};
    return memory;
}

static void memory_free(struct memory *memory)
{
    free(memory->bytes);
    free(memory);
}

static const struct imgi_passphrase good = {(const uint8_t *)"good", 4};
static const struct imgi_passphrase other = {(const uint8_t *)"other", 5};
static const struct imgi_passphrase wrong = {(const uint8_t *)"wrong", 5};

/* A new area with slot 0 under "good". */
static struct memory *create(struct imgi_luks_choice choice, struct imgi_luks_header *header,
                             uint8_t *key)
{
    struct imgi_luks_params params;
    struct memory *memory;
    img_error err = {0};

    choice.iter_time = 1;
    assert_ok(imgi_luks_choose(&choice, &params, &err), err);
    memory = memory_new(imgi_luks_area_bytes(&params));
    assert_ok(imgi_luks_create(header, &memory->area, &params, &good, key, &err), err);
    return memory;
}

static void test_create(void **state)
{
    uint8_t key[IMGI_CIPHER_KEY_MAX], unlocked[IMGI_CIPHER_KEY_MAX];
    uint8_t bytes[IMGI_LUKS_HEADER_BYTES];
    struct imgi_luks_header header, loaded;
    struct memory *memory = create((struct imgi_luks_choice){0}, &header, key);
    img_error err = {0};

    (void)state;
    /* stripes, and only when they are durable the header */
    assert_string_equal(memory->log, "SFHF");
    /* the same numbers as qemu-img's and cryptsetup's */
    assert_int_equal(memory->area.length, 2068480);
    assert_int_equal(header.payload_sector, 4040);
    assert_int_equal(header.slots[1].sector, 512);
    assert_int_equal(header.slots[7].sector, 3536);
    assert_string_equal(header.mode, "xts-plain64");
    assert_int_equal(header.key_bytes, 64);
    assert_true(header.slots[0].iterations >= 1000 && header.digest_iterations >= 1000);

    assert_true(imgi_luks_probe(memory->bytes, memory->area.length));
    assert_ok(imgi_luks_load(&loaded, &memory->area, &err), err);
    imgi_luks_encode(&loaded, bytes);
    assert_memory_equal(bytes, memory->bytes, sizeof(bytes));
    assert_string_equal(loaded.uuid, header.uuid);
    assert_int_equal(strlen(loaded.uuid), 36);

    assert_ok(imgi_luks_unlock(&loaded, &memory->area, &good, unlocked, &err), err);
    assert_memory_equal(key, unlocked, header.key_bytes);
    assert_error(imgi_luks_unlock(&loaded, &memory->area, &wrong, unlocked, &err), IMG_E_INVAL, err,
                 "Invalid password, cannot unlock any keyslot");
    /* nothing that looked like a key is left */
    for (size_t i = 0; i < header.key_bytes; i++)
        assert_int_equal(unlocked[i], 0);
    memory_free(memory);
}

/* Every combination opens, and its cipher is the one that was asked for. */
static void test_combinations(void **state)
{
    static const char *const algs[] = {"aes-128", "aes-192", "aes-256"};
    static const char *const modes[] = {"ecb", "cbc", "ctr", "xts"};
    static const char *const ivgens[] = {"plain", "plain64", "essiv"};
    static const char *const hashes[] = {"md5",    "sha1",   "sha224",   "sha256",
                                         "sha384", "sha512", "ripemd160"};
    static const char *const ivgen_hashes[] = {NULL, "sha256", "md5"};

    (void)state;
    for (unsigned n = 0; n < 36; n++) {
        const struct imgi_luks_choice choice = {
            .cipher_alg = algs[n % 3],
            .cipher_mode = modes[n / 3 % 4],
            .ivgen_alg = ivgens[n / 12],
            .ivgen_hash_alg = ivgen_hashes[n % 3],
            .hash_alg = hashes[n % 7],
        };
        struct imgi_luks_header header, loaded;
        uint8_t key[IMGI_CIPHER_KEY_MAX], unlocked[IMGI_CIPHER_KEY_MAX];
        uint8_t a[512] = {1}, b[512] = {1};
        struct memory *memory = create(choice, &header, key);
        struct imgi_cipher *ours, *theirs;
        img_error err = {0};

        assert_ok(imgi_luks_load(&loaded, &memory->area, &err), err);
        assert_string_equal(imgi_cipher_alg_name(loaded.cipher.alg), choice.cipher_alg);
        assert_string_equal(imgi_cipher_mode_name(loaded.cipher.mode), choice.cipher_mode);
        assert_string_equal(imgi_ivgen_name(loaded.cipher.ivgen), choice.ivgen_alg);
        assert_string_equal(imgi_hash_name(loaded.hash), choice.hash_alg);
        assert_ok(imgi_luks_unlock(&loaded, &memory->area, &good, unlocked, &err), err);
        assert_ok(imgi_luks_cipher(&header, key, &ours, &err), err);
        assert_ok(imgi_luks_cipher(&loaded, unlocked, &theirs, &err), err);
        assert_ok(imgi_cipher_encrypt(ours, 9, a, sizeof(a), &err), err);
        assert_ok(imgi_cipher_encrypt(theirs, 9, b, sizeof(b), &err), err);
        assert_memory_equal(a, b, sizeof(a));
        imgi_cipher_free(ours);
        imgi_cipher_free(theirs);
        memory_free(memory);
    }
}

static void test_choices_refused(void **state)
{
    static const struct {
        struct imgi_luks_choice choice;
        int code;
        const char *message;
    } cases[] = {
        {{.cipher_alg = "des"}, IMG_E_UNSUPPORTED, "Algorithm 'des' not supported"},
        {{.cipher_alg = "cast5-128"}, IMG_E_INVAL, "Unsupported cipher mode xts"},
        {{.cipher_alg = "cast5-128", .cipher_mode = "cbc", .ivgen_alg = "essiv"},
         IMG_E_INVAL,
         "Cipher cast5-128 not supported with essiv"},
        {{.cipher_alg = "serpent-128", .ivgen_alg = "essiv", .ivgen_hash_alg = "sha1"},
         IMG_E_INVAL,
         "No Serpent cipher with key size 20 available"},
        {{.cipher_alg = "3des"}, IMG_E_UNSUPPORTED, "Algorithm '3des' not supported"},
        {{.cipher_alg = "rot13"},
         IMG_E_INVAL,
         "Parameter 'cipher-alg' does not accept value 'rot13'"},
        {{.cipher_mode = "lrw"}, IMG_E_INVAL, "'cipher-mode' does not accept value 'lrw'"},
        {{.ivgen_alg = "null"}, IMG_E_INVAL, "'ivgen-alg' does not accept value 'null'"},
        {{.ivgen_hash_alg = "x"}, IMG_E_INVAL, "'ivgen-hash-alg' does not accept value 'x'"},
        {{.hash_alg = "blake2b-512"}, IMG_E_INVAL, "'hash-alg' does not accept value 'blake2b"},
        {{.ivgen_alg = "essiv", .ivgen_hash_alg = "sha1"},
         IMG_E_INVAL,
         "No AES cipher with key size 20 available"},
    };
    struct imgi_luks_params params;
    img_error err;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_error(imgi_luks_choose(&cases[i].choice, &params, &err), cases[i].code, err,
                     cases[i].message);
}

/* A key split and merged is the key; change any byte and it is not. */
static void test_split(void **state)
{
    struct imgi_luks_header header = {.hash = IMGI_HASH_SHA1, .key_bytes = 64};
    uint8_t key[64], merged[64], *split = malloc(64 * 100);
    img_error err = {0};

    (void)state;
    assert_non_null(split);
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)i;
    for (uint32_t stripes = 1; stripes <= 100; stripes += 33) {
        assert_ok(imgi_luks_split(&header, stripes, key, split, &err), err);
        assert_ok(imgi_luks_merge(&header, stripes, split, merged, &err), err);
        assert_memory_equal(key, merged, sizeof(key));
        split[0] ^= 1;
        assert_ok(imgi_luks_merge(&header, stripes, split, merged, &err), err);
        assert_memory_not_equal(key, merged, sizeof(key));
    }
    free(split);
}

/* ------------------------------------------------------------------ amend */

static const struct imgi_luks_change add_other = {
    .activate = true, .new_passphrase = &other, .has_iter_time = true, .iter_time = 1};

static void test_amend(void **state)
{
    uint8_t key[IMGI_CIPHER_KEY_MAX], unlocked[IMGI_CIPHER_KEY_MAX];
    struct imgi_luks_header header;
    struct memory *memory = create((struct imgi_luks_choice){0}, &header, key);
    struct imgi_luks_area *area = &memory->area;
    struct imgi_luks_change change = add_other;
    img_error err = {0};

    (void)state;
    /* slots 1 and 6 */
    assert_ok(imgi_luks_amend(&header, area, &change, key, &err), err);
    change.has_slot = true;
    change.slot = 6;
    assert_ok(imgi_luks_amend(&header, area, &change, key, &err), err);
    assert_ok(imgi_luks_load(&header, area, &err), err);
    assert_true(header.slots[0].active && header.slots[1].active && header.slots[6].active);
    assert_false(header.slots[2].active);
    assert_ok(imgi_luks_unlock(&header, area, &other, unlocked, &err), err);
    assert_memory_equal(key, unlocked, header.key_bytes);

    /* both go with their passphrase; the first stays */
    memset(memory->log, 0, sizeof(memory->log));
    change = (struct imgi_luks_change){.old_passphrase = &other};
    assert_ok(imgi_luks_amend(&header, area, &change, NULL, &err), err);
    assert_string_equal(memory->log, "SFHFSFHF");
    assert_ok(imgi_luks_load(&header, area, &err), err);
    assert_true(header.slots[0].active && !header.slots[1].active && !header.slots[6].active);
    assert_int_equal(header.slots[1].iterations, 0);
    assert_int_equal(imgi_luks_unlock(&header, area, &other, unlocked, &err), IMG_E_INVAL);
    assert_ok(imgi_luks_unlock(&header, area, &good, unlocked, &err), err);

    /* the last one goes only when forced */
    change = (struct imgi_luks_change){.has_slot = true, .slot = 0, .force = true};
    assert_ok(imgi_luks_amend(&header, area, &change, NULL, &err), err);
    assert_int_equal(imgi_luks_unlock(&header, area, &good, unlocked, &err), IMG_E_INVAL);
    memory_free(memory);
}

static void test_amend_refused(void **state)
{
    static const struct {
        struct imgi_luks_change change;
        const char *message;
    } cases[] = {
        {{.activate = true}, "'new-secret' is required to activate a keyslot"},
        {{.activate = true, .new_passphrase = &other, .old_passphrase = &good},
         "'old-secret' must not be given when activating keyslots"},
        {{.activate = true, .new_passphrase = &other, .has_slot = true, .slot = 0},
         "Refusing to overwrite active keyslot 0 - please erase it first"},
        {{.activate = true, .new_passphrase = &other, .has_slot = true, .slot = 8},
         "Invalid keyslot 8 specified, must be between 0 and 7"},
        {{.has_slot = true, .slot = -1}, "Invalid keyslot -1 specified, must be between 0 and 7"},
        {{.has_slot = true, .slot = 4}, "Given keyslot 4 is already erased (inactive) "},
        {{.has_slot = true, .slot = 0}, "Attempt to erase the only active keyslot 0"},
        {{.has_slot = true, .slot = 0, .old_passphrase = &wrong, .force = true},
         "Given keyslot 0 doesn't contain the given old password"},
        {{.old_passphrase = &good}, "All the active keyslots match the (old) password"},
        {{.old_passphrase = &wrong}, "No keyslots match given (old) password"},
        {{.new_passphrase = &good}, "'new-secret' must not be given when erasing keyslots"},
        {{.has_iter_time = true}, "'iter-time' must not be given when erasing keyslots"},
        {{.activate = false}, "To erase keyslot(s), either explicit keyslot index"},
    };
    uint8_t key[IMGI_CIPHER_KEY_MAX], before[IMGI_LUKS_HEADER_BYTES];
    struct imgi_luks_header header;
    struct memory *memory = create((struct imgi_luks_choice){0}, &header, key);
    img_error err = {0};

    (void)state;
    memcpy(before, memory->bytes, sizeof(before));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memset(&err, 0, sizeof(err));
        assert_true(imgi_luks_amend(&header, &memory->area, &cases[i].change, key, &err) < 0);
        if (!strstr(err.message, cases[i].message))
            fail_msg("\"%s\" is not in \"%s\"", cases[i].message, err.message);
        assert_memory_equal(before, memory->bytes, sizeof(before));
    }
    for (int n = 1; n < IMGI_LUKS_SLOTS; n++)
        assert_ok(imgi_luks_amend(&header, &memory->area, &add_other, key, &err), err);
    assert_error(imgi_luks_amend(&header, &memory->area, &add_other, key, &err), IMG_E_NOSPACE, err,
                 "Can't add a keyslot - all keyslots are in use");
    memory_free(memory);
}

/*
 * Whatever write or flush of the change fails: the error is said, and the first passphrase still
 * opens what is there then. The area is put back as it was.
 */
static void fail_everywhere(struct memory *memory, const struct imgi_luks_change *change,
                            const uint8_t *key)
{
    uint8_t unlocked[IMGI_CIPHER_KEY_MAX], *before = malloc(memory->area.length);
    struct imgi_luks_header header;
    img_error err = {0};

    assert_non_null(before);
    memcpy(before, memory->bytes, memory->area.length);
    for (int n = 1; n <= 4; n++) { /* stripes, flush, header, flush */
        assert_ok(imgi_luks_load(&header, &memory->area, &err), err);
        memory->calls = 0;
        memory->fail_call = n;
        assert_error(imgi_luks_amend(&header, &memory->area, change, key, &err), IMG_E_NOSPACE, err,
                     "the disk is full");
        memory->fail_call = 0;
        assert_ok(imgi_luks_load(&header, &memory->area, &err), err);
        assert_ok(imgi_luks_unlock(&header, &memory->area, &good, unlocked, &err), err);
        assert_memory_equal(key, unlocked, header.key_bytes);
        memcpy(memory->bytes, before, memory->area.length);
    }
    free(before);
}

static void test_failing_disk(void **state)
{
    uint8_t key[IMGI_CIPHER_KEY_MAX];
    struct imgi_luks_header header;
    struct memory *memory = create((struct imgi_luks_choice){0}, &header, key);
    const struct imgi_luks_change erase_other = {.old_passphrase = &other};
    img_error err = {0};

    (void)state;
    fail_everywhere(memory, &add_other, key);
    assert_ok(imgi_luks_amend(&header, &memory->area, &add_other, key, &err), err);
    fail_everywhere(memory, &erase_other, key);
    assert_ok(imgi_luks_amend(&header, &memory->area, &erase_other, key, &err), err);
    memory_free(memory);
}

/* ------------------------------------------------------------- malformed */

static void test_malformed(void **state)
{
    static const struct {
        size_t at;
        const char *bytes;
        int code;
        const char *message;
    } cases[] = {
        {0, "4c554b53babf", IMG_E_FORMAT, "not in LUKS format"},
        {6, "0002", IMG_E_UNSUPPORTED, "LUKS version 2"},
        {6, "0000", IMG_E_UNSUPPORTED, "LUKS version 0"},
        {8, "63616d656c6c696100", IMG_E_UNSUPPORTED, "LUKS cipher 'camellia'"},
        {8, "00", IMG_E_UNSUPPORTED, "LUKS cipher ''"},
        {40, "6c72772d62656e626900", IMG_E_UNSUPPORTED, "mode 'lrw-benbi'"},
        {40, "7874732d6c6d6b00", IMG_E_UNSUPPORTED, "mode 'xts-lmk'"},
        {40, "78747300", IMG_E_CORRUPT, "'xts' names no IV generator"},
        {40, "7874732d657373697600", IMG_E_CORRUPT, "'xts-essiv' names no hash"},
        {40, "7874732d65737369763a00", IMG_E_UNSUPPORTED, "hash '' is not"},
        {40, "7874732d65737369763a61626300", IMG_E_UNSUPPORTED, "hash 'abc' is not"},
        {72, "776869726c706f6f6c00", IMG_E_UNSUPPORTED, "LUKS hash 'whirlpool'"},
        {108, "00000000", IMG_E_CORRUPT, "a key of 0 bytes"},
        {108, "00000041", IMG_E_CORRUPT, "a key of 65 bytes"},
        {108, "ffffffff", IMG_E_CORRUPT, "a key of 4294967295 bytes"},
        {164, "00000000", IMG_E_LIMIT, "digest: 0 iterations"},
        {164, "ffffffff", IMG_E_LIMIT, "digest: 4294967295 iterations"},
        {208, "00000000", IMG_E_CORRUPT, "slot 0: state 0x0"},
        {212, "00000000", IMG_E_LIMIT, "slot 0: 0 iterations"},
        {212, "10000001", IMG_E_LIMIT, "slot 0: 268435457 iterations"},
        {248, "00000000", IMG_E_CORRUPT, "slot 0: its stripes at 0x0 are not between"},
        {248, "00000001", IMG_E_CORRUPT, "slot 0: its stripes at 0x200 are not"},
        {248, "00000dd1", IMG_E_CORRUPT, "slots 0 and 7 overlap"},
        {248, "ffffffff", IMG_E_CORRUPT, "slot 0: its stripes at 0x1fffffffe00 are not"},
        {252, "00000000", IMG_E_LIMIT, "slot 0: 0 stripes"},
        {252, "ffffffff", IMG_E_LIMIT, "slot 0: 4294967295 stripes"},
        {252, "00001000", IMG_E_CORRUPT, "slots 0 and 1 overlap"},
        {584, "00000dd9", IMG_E_CORRUPT, "slot 7: its stripes at 0x1bb200 are not"},
    };
    uint8_t key[IMGI_CIPHER_KEY_MAX], bytes[IMGI_LUKS_HEADER_BYTES];
    struct imgi_luks_header header;
    struct memory *memory = create((struct imgi_luks_choice){0}, &header, key);
    img_error err;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memcpy(bytes, memory->bytes, sizeof(bytes));
        from_hex(cases[i].bytes, bytes + cases[i].at);
        assert_error(imgi_luks_decode(&header, bytes, memory->area.length, &err), cases[i].code,
                     err, cases[i].message);
    }
    /* texts without an end */
    for (size_t at = 8; at <= 72; at += 32) {
        memcpy(bytes, memory->bytes, sizeof(bytes));
        memset(bytes + at, 'a', 32);
        assert_error(imgi_luks_decode(&header, bytes, memory->area.length, &err), IMG_E_CORRUPT,
                     err, "does not end");
    }
    memset(bytes, 0, sizeof(bytes));
    assert_false(imgi_luks_probe(bytes, sizeof(bytes)));
    assert_false(imgi_luks_probe(memory->bytes, IMGI_LUKS_HEADER_BYTES - 1));
    memory_free(memory);
}

/* An area that ends early. */
static void test_short_area(void **state)
{
    uint8_t key[IMGI_CIPHER_KEY_MAX];
    struct imgi_luks_header header;
    struct memory *memory = create((struct imgi_luks_choice){0}, &header, key);
    struct imgi_luks_params params;
    img_error err = {0};

    (void)state;
    for (uint64_t length = 0; length < 2068480 - 4096; length = length * 2 + 1) {
        memory->area.length = length;
        memset(&err, 0, sizeof(err));
        assert_int_equal(imgi_luks_load(&header, &memory->area, &err), IMG_E_CORRUPT);
    }
    assert_ok(imgi_luks_choose(&(struct imgi_luks_choice){0}, &params, &err), err);
    assert_error(imgi_luks_create(&header, &memory->area, &params, &good, key, &err),
                 IMG_E_INTERNAL, err, "needs 2068480 bytes");
    memory_free(memory);
}

/* Bytes of the header changed at random (the same ones every time): whatever is let through can be
 * used. */
static void test_random_damage(void **state)
{
    uint8_t key[IMGI_CIPHER_KEY_MAX], bytes[IMGI_LUKS_HEADER_BYTES];
    uint8_t again[IMGI_LUKS_HEADER_BYTES];
    struct imgi_luks_header header;
    struct memory *memory = create((struct imgi_luks_choice){0}, &header, key);
    uint64_t seed = 20240229;
    img_error err;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        memcpy(bytes, memory->bytes, sizeof(bytes));
        for (int change = 0; change <= round % 3; change++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            bytes[(seed >> 33) % sizeof(bytes)] = (uint8_t)(seed >> 24);
        }
        if (imgi_luks_decode(&header, bytes, memory->area.length, &err) < 0)
            continue;
        for (unsigned n = 0; n < IMGI_LUKS_SLOTS; n++)
            assert_true(imgi_luks_slot_end(&header, n) <= memory->area.length);
        assert_true(header.key_bytes <= IMGI_CIPHER_KEY_MAX);
        imgi_luks_encode(&header, again);
        assert_int_equal(imgi_luks_decode(&header, again, memory->area.length, &err), 0);
    }
    memory_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create),          cmocka_unit_test(test_combinations),
        cmocka_unit_test(test_choices_refused), cmocka_unit_test(test_split),
        cmocka_unit_test(test_amend),           cmocka_unit_test(test_amend_refused),
        cmocka_unit_test(test_failing_disk),    cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_short_area),      cmocka_unit_test(test_random_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

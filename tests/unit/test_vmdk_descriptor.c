/*
 * The descriptor: what is found in it, what is refused, and that nothing of it gets lost.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmdk/descriptor.h"

/* As VMware writes them, with what others add: CRLF, odd spaces, keys that nobody knows. */
static const char sample[] = "# Disk DescriptorFile\r\n"
                             "version=1\n"
                             "encoding=\"UTF-8\"\n"
                             "cid = 1c2D3e4f\n"
                             "parentCID=ffffffff\n"
                             "createType=\"twoGbMaxExtentSparse\"\n"
                             "\n"
                             "# Extent description\n"
                             "RW 4192256 SPARSE \"disk one-s001.vmdk\"\n"
                             "  rdonly  100   FLAT  \"flat=1.vmdk\" 63 \n"
                             "RW 7 ZERO\n"
                             "NOACCESS 8 VMFS \"x\"\n"
                             "\n"
                             "#DDB\n"
                             "ddb.adapterType = \"lsilogic\"\n"
                             "ddb.unknown.key = \"some = thing\"\n"
                             "ddb.uuid = \"first\"\n"
                             "ddb.uuid = \"second\"";

static int parse(struct vmdk_descriptor *descriptor, const char *text, img_error *err)
{
    return vmdk_descriptor_parse(descriptor, text, strlen(text), imgi_policy_default(), err);
}

static void assert_value(const struct vmdk_descriptor *descriptor, const char *name,
                         const char *expected)
{
    char *value;

    assert_int_equal(vmdk_descriptor_get(descriptor, name, &value, NULL), 0);
    if (expected)
        assert_string_equal(value, expected);
    else
        assert_null(value);
    free(value);
}

static void assert_line(const struct vmdk_descriptor *descriptor, size_t n, enum vmdk_access access,
                        uint64_t sectors, enum vmdk_type type, const char *file, uint64_t offset)
{
    const struct vmdk_extent_line *line = &descriptor->extents[n];
    char *name = vmdk_descriptor_file(descriptor, line);

    assert_int_equal(line->access, access);
    assert_int_equal(line->sectors, sectors);
    assert_int_equal(line->type, type);
    assert_string_equal(name, file);
    assert_int_equal(line->offset, offset);
    free(name);
}

static void keys_and_extents_are_found(void **state)
{
    struct vmdk_descriptor descriptor;
    uint32_t cid;

    (void)state;
    assert_int_equal(parse(&descriptor, sample, NULL), 0);
    assert_value(&descriptor, "VERSION", "1");
    assert_value(&descriptor, "createType", "twoGbMaxExtentSparse");
    assert_value(&descriptor, "ddb.unknown.key", "some = thing");
    assert_value(&descriptor, "ddb.uuid", "first");
    assert_value(&descriptor, "nothing", NULL);
    assert_int_equal(vmdk_descriptor_cid(&descriptor, "CID", 1, &cid, NULL), 0);
    assert_int_equal(cid, 0x1c2d3e4f);
    assert_int_equal(vmdk_descriptor_cid(&descriptor, "noCID", 7, &cid, NULL), 0);
    assert_int_equal(cid, 7);
    assert_int_equal(descriptor.extent_count, 4);
    assert_line(&descriptor, 0, VMDK_ACCESS_RW, 4192256, VMDK_TYPE_SPARSE, "disk one-s001.vmdk", 0);
    assert_line(&descriptor, 1, VMDK_ACCESS_RDONLY, 100, VMDK_TYPE_FLAT, "flat=1.vmdk", 63);
    assert_line(&descriptor, 2, VMDK_ACCESS_RW, 7, VMDK_TYPE_ZERO, "", 0);
    assert_line(&descriptor, 3, VMDK_ACCESS_NOACCESS, 8, VMDK_TYPE_VMFS, "x", 0);
    vmdk_descriptor_free(&descriptor);
}

/* Every byte but the changed value stays. */
static void a_change_loses_nothing(void **state)
{
    struct vmdk_descriptor descriptor;
    char expected[sizeof(sample) + 8];
    size_t before = (size_t)(strstr(sample, "1c2D3e4f") - sample);
    bool found;

    (void)state;
    assert_int_equal(parse(&descriptor, sample, NULL), 0);
    assert_int_equal(descriptor.length, sizeof(sample) - 1);
    assert_string_equal(descriptor.text, sample);
    assert_int_equal(
        vmdk_descriptor_set(&descriptor, "CID", "7", imgi_policy_default(), &found, NULL), 0);
    assert_true(found);
    memcpy(expected, sample, before);
    strcpy(expected + before, "7");
    strcat(expected, sample + before + 8);
    assert_string_equal(descriptor.text, expected);
    assert_int_equal(descriptor.extent_count, 4);
    assert_int_equal(
        vmdk_descriptor_set(&descriptor, "nothing", "7", imgi_policy_default(), &found, NULL), 0);
    assert_false(found);
    assert_string_equal(descriptor.text, expected);
    vmdk_descriptor_free(&descriptor);
}

static void padding_is_no_text(void **state)
{
    char bytes[100] = "version=1\n";
    struct vmdk_descriptor descriptor;
    img_error err;

    (void)state;
    assert_int_equal(
        vmdk_descriptor_parse(&descriptor, bytes, sizeof(bytes), imgi_policy_default(), NULL), 0);
    assert_int_equal(descriptor.length, 10);
    vmdk_descriptor_free(&descriptor);
    memset(bytes + 50, 'x', 7);
    assert_int_equal(
        vmdk_descriptor_parse(&descriptor, bytes, sizeof(bytes), imgi_policy_default(), NULL), 0);
    assert_int_equal(descriptor.length, 10);
    vmdk_descriptor_free(&descriptor);
    bytes[99] = 'x';
    assert_int_equal(
        vmdk_descriptor_parse(&descriptor, bytes, sizeof(bytes), imgi_policy_default(), &err),
        IMG_E_CORRUPT);
    assert_non_null(strstr(err.message, "NUL byte at 10"));
    vmdk_descriptor_free(&descriptor);
}

static void what_makes_no_sense_is_refused(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"# x\nversion\n", "line 2: neither key = value nor an extent: version"},
        {"=1\n", "no key before '='"},
        {"CID=1\ncid=2\n", "line 2: a key that is there already"},
        {"RW\n", "no extent size"},
        {"RW 0 FLAT \"x\"\n", "no extent size"},
        {"RW -1 FLAT \"x\"\n", "no extent size"},
        {"RW 99999999999999999999 FLAT \"x\"\n", "no extent size"},
        {"RW 1 FLATTER \"x\"\n", "unknown extent type"},
        {"RW 1 FLAT\n", "extent without a file"},
        {"RW 1 FLAT x\n", "no extent file name in quotes"},
        {"RW 1 FLAT \"x\n", "no extent file name in quotes"},
        {"RW 1 FLAT \"\"\n", "no extent file name in quotes"},
        {"RW 1 FLAT \"x\" y\n", "no number as extent offset"},
    };

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(cases); i++) {
        struct vmdk_descriptor descriptor;
        img_error err = {0};

        assert_int_equal(parse(&descriptor, cases[i].text, &err), IMG_E_CORRUPT);
        if (!strstr(err.message, cases[i].message))
            fail_msg("\"%s\" does not say \"%s\"", err.message, cases[i].message);
        vmdk_descriptor_free(&descriptor);
    }
}

static void cids_are_hexadecimal(void **state)
{
    static const char *const bad[] = {"CID=\n", "CID=123456789\n", "CID=0x12\n", "CID=-1\n",
                                      "CID=1 2\n"};

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(bad); i++) {
        struct vmdk_descriptor descriptor;
        uint32_t cid;

        assert_int_equal(parse(&descriptor, bad[i], NULL), 0);
        assert_int_equal(vmdk_descriptor_cid(&descriptor, "CID", 0, &cid, NULL), IMG_E_CORRUPT);
        vmdk_descriptor_free(&descriptor);
    }
}

/* count times the line, in memory of its own. */
static char *repeat(const char *line, size_t count)
{
    size_t length = strlen(line);
    char *text = malloc(count * length + 1);

    assert_non_null(text);
    for (size_t i = 0; i < count; i++)
        memcpy(text + i * length, line, length);
    text[count * length] = '\0';
    return text;
}

static void sizes_are_limited(void **state)
{
    static const struct {
        const char *line;
        size_t good, bad;
        int code;
    } cases[] = {
        {"RW 1 ZERO\n", 4096, 4097, IMG_E_LIMIT},
        {"ddb.x=1\n", VMDK_KEYS_MAX, VMDK_KEYS_MAX + 1, IMG_E_LIMIT},
        {"#", 100000, SIZE_MAX, 0},
        {"\n", 100000, SIZE_MAX, 0},
        {"x", SIZE_MAX, 100000, IMG_E_CORRUPT},
    };
    struct vmdk_descriptor descriptor;

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(cases); i++) {
        for (unsigned good = 0; good < 2; good++) {
            size_t count = good ? cases[i].good : cases[i].bad;
            char *text;

            if (count == SIZE_MAX)
                continue;
            text = repeat(cases[i].line, count);
            assert_int_equal(parse(&descriptor, text, NULL), good ? 0 : cases[i].code);
            vmdk_descriptor_free(&descriptor);
            free(text);
        }
    }
}

static void long_values_are_only_text(void **state)
{
    char *value = repeat("v", 6000), *name = repeat("n", VMDK_FILE_NAME_MAX + 1);
    struct imgi_text text = {0};
    struct vmdk_descriptor descriptor;

    (void)state;
    imgi_text_add(&text, "ddb.comment = \"%s\"\n", value);
    assert_false(text.failed);
    assert_int_equal(parse(&descriptor, text.bytes, NULL), 0);
    assert_value(&descriptor, "ddb.comment", value);
    vmdk_descriptor_free(&descriptor);
    text.length = 0;
    imgi_text_add(&text, "RW 1 FLAT \"%s\" 0\n", name + 1);
    assert_int_equal(parse(&descriptor, text.bytes, NULL), 0);
    vmdk_descriptor_free(&descriptor);
    text.length = 0;
    imgi_text_add(&text, "RW 1 FLAT \"%s\" 0\n", name);
    assert_int_equal(parse(&descriptor, text.bytes, NULL), IMG_E_CORRUPT);
    vmdk_descriptor_free(&descriptor);
    free(text.bytes);
    free(value);
    free(name);
}

static void the_first_line_is_recognised(void **state)
{
    static const char *const good[] = {"# Disk DescriptorFile\n", "# disk descriptorfile",
                                       "\n  \n# comment\n#Disk DescriptorFile\r\n"};
    static const char *const bad[] = {"",
                                      "\n",
                                      "# Disk Descriptor\n",
                                      "x\n# Disk DescriptorFile\n",
                                      "Disk DescriptorFile\n",
                                      "# a Disk DescriptorFile"};

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(good); i++)
        assert_true(vmdk_descriptor_looks_like((const uint8_t *)good[i], strlen(good[i])));
    for (size_t i = 0; i < IMGI_COUNT(bad); i++)
        assert_false(vmdk_descriptor_looks_like((const uint8_t *)bad[i], strlen(bad[i])));
}

static void the_template_is_what_readers_expect(void **state)
{
    const struct vmdk_template template = {
        .size = 5ull << 30,
        .create_type = "monolithicSparse",
        .parent = "base.vmdk",
        .parent_cid = 0x12,
        .cid = 0x1c2d3e4f,
        .extents = "RW 10485760 SPARSE \"disk.vmdk\"\n",
        .adapter = "lsilogic",
        .hw_version = "10",
        .tools_version = "2147483647",
        .seed = 1,
    };
    static const char begins[] = "# Disk DescriptorFile\n"
                                 "version=1\n"
                                 "CID=1c2d3e4f\n"
                                 "parentCID=00000012\n"
                                 "createType=\"monolithicSparse\"\n"
                                 "parentFileNameHint=\"base.vmdk\"\n"
                                 "# Extent description\n"
                                 "RW 10485760 SPARSE \"disk.vmdk\"\n"
                                 "# The Disk Data Base\n"
                                 "#DDB\n"
                                 "ddb.virtualHWVersion = \"10\"\n"
                                 "ddb.geometry.cylinders = \"652\"\n"
                                 "ddb.geometry.heads = \"255\"\n"
                                 "ddb.geometry.sectors = \"63\"\n"
                                 "ddb.adapterType = \"lsilogic\"\n"
                                 "ddb.longContentID = \"";
    struct imgi_text text = {0};
    struct vmdk_descriptor descriptor;
    char *value;

    (void)state;
    vmdk_template_write(&template, &text);
    assert_false(text.failed);
    assert_memory_equal(text.bytes, begins, sizeof(begins) - 1);
    assert_int_equal(parse(&descriptor, text.bytes, NULL), 0);
    assert_int_equal(vmdk_descriptor_get(&descriptor, "ddb.longContentID", &value, NULL), 0);
    assert_int_equal(strlen(value), 32);
    assert_string_equal(value + 24, "1c2d3e4f");
    free(value);
    assert_int_equal(vmdk_descriptor_get(&descriptor, "ddb.uuid", &value, NULL), 0);
    assert_int_equal(strlen(value), 47);
    assert_memory_equal(value, "60 00 C2 9", 10);
    assert_int_equal(value[23], '-');
    free(value);
    vmdk_descriptor_free(&descriptor);
    free(text.bytes);
}

#define EDITED "# Disk DescriptorFile\r\nCID=12\nparentCID = ffffffff\ncreateType=\"custom\"\n"

/* Each change leaves everything else as it was written. */
static void edits_keep_the_rest(void **state)
{
    static const char text[] =
        EDITED "RW 1 ZERO\n  RW  2\tFLAT \"a\"  7\n# c\nRW 3 ZERO\n# a comment\nddb.x = \"y\"";
    static const char wanted[] =
        EDITED "parentFileNameHint=\"p\"\nRW 1 ZERO\n  RW  900\tFLAT \"a\"  7\nRW 5 ZERO\n# c\n"
               "# a comment\nddb.x = \"z\"\nddb.new = \"1\"\n";
    const struct img_policy *policy = imgi_policy_default();
    struct vmdk_descriptor descriptor, copy;
    bool found;

    (void)state;
    assert_int_equal(parse(&descriptor, text, NULL), 0);
    assert_int_equal(vmdk_descriptor_copy(&copy, &descriptor, policy, NULL), 0);
    assert_string_equal(copy.text, descriptor.text);
    assert_int_equal(vmdk_descriptor_extents(&copy, 1, 900, "RW 5 ZERO\n", policy, NULL), 0);
    assert_int_equal(vmdk_descriptor_set(&copy, "DDB.X", "z", policy, &found, NULL), 0);
    assert_true(found);
    assert_int_equal(vmdk_descriptor_put(&copy, "ddb.new", "1", NULL, policy, NULL), 0);
    assert_int_equal(
        vmdk_descriptor_put(&copy, "parentFileNameHint", "p", "createType", policy, NULL), 0);
    assert_string_equal(copy.text, wanted);
    assert_int_equal(copy.extent_count, 3);
    assert_int_equal(vmdk_descriptor_remove(&copy, "parentFileNameHint", policy, NULL), 0);
    assert_int_equal(vmdk_descriptor_remove(&copy, "parentFileNameHint", policy, NULL), 0);
    assert_null(strstr(copy.text, "parentFileNameHint"));
    /* What would be no descriptor is refused, and changes nothing. */
    assert_int_not_equal(vmdk_descriptor_set(&copy, "createType", "a\nb", policy, &found, NULL), 0);
    assert_non_null(strstr(copy.text, "createType=\"custom\"\n"));
    vmdk_descriptor_free(&copy);
    vmdk_descriptor_free(&descriptor);
}

/* What stands between the lines of extents stays, and new lines end as the others do. */
static void edits_go_line_by_line(void **state)
{
#define CRLF "# Disk DescriptorFile\r\nCID=12\r\nparentCID=ffffffff\r\ncreateType=\"custom\"\r\n"
    static const char text[] =
        CRLF "RW 1 ZERO\r\nddb.a = \"1\"\r\nRW 2 ZERO\r\n# c\r\nRW 3 ZERO\r\n"
             "ddb.b = \"2\"";
    static const char fewer[] = CRLF "RW 9 ZERO\r\nddb.a = \"1\"\r\n# c\r\nddb.b = \"2\"";
    static const char more[] =
        CRLF "RW 9 ZERO\r\nRW 4 ZERO\r\nRW 5 ZERO\r\nddb.a = \"1\"\r\n# c\r\nddb.b = \"2\"\r\n"
             "ddb.c = \"3\"\r\n";
    const struct img_policy *policy = imgi_policy_default();
    struct vmdk_descriptor descriptor;

    (void)state;
    assert_int_equal(parse(&descriptor, text, NULL), 0);
    assert_int_equal(vmdk_descriptor_extents(&descriptor, 0, 9, "", policy, NULL), 0);
    assert_string_equal(descriptor.text, fewer);
    assert_int_equal(
        vmdk_descriptor_extents(&descriptor, 0, 9, "RW 4 ZERO\nRW 5 ZERO\n", policy, NULL), 0);
    assert_int_equal(vmdk_descriptor_put(&descriptor, "ddb.c", "3", NULL, policy, NULL), 0);
    assert_string_equal(descriptor.text, more);
    vmdk_descriptor_free(&descriptor);
}

int main(void)

{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_and_extents_are_found),
        cmocka_unit_test(a_change_loses_nothing),
        cmocka_unit_test(edits_keep_the_rest),
        cmocka_unit_test(edits_go_line_by_line),
        cmocka_unit_test(padding_is_no_text),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(cids_are_hexadecimal),
        cmocka_unit_test(sizes_are_limited),
        cmocka_unit_test(long_values_are_only_text),
        cmocka_unit_test(the_first_line_is_recognised),
        cmocka_unit_test(the_template_is_what_readers_expect),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

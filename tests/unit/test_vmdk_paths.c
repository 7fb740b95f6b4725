/*
 * Which files a descriptor may name, as extents and as a parent, under the strict policy and under
 * the one that everybody has. SPDX-License-Identifier: BSD-2-Clause
 *
 * The image lies in "home"; "outside" beside it must not be reached.
 */
#include "io_test.h"

#include "internal.h"

#define SECTOR 512u
#define IMAGE "home/disk.vmdk"
#define HEAD "# Disk DescriptorFile\nversion=1\nCID=00000012\n"
#define ALONE HEAD "parentCID=ffffffff\n"
#define CUSTOM ALONE "createType=\"custom\"\n"

static void put_sectors(const char *name, unsigned count)
{
    static const uint8_t bytes[8 * SECTOR] = {1};

    io_put(name, bytes, count * SECTOR, 0600);
}

/* Everything that a name may lead to. */
static void make_tree(void)
{
    if (access("home", F_OK) == 0)
        return;
    assert_int_equal(mkdir("home", 0700), 0);
    assert_int_equal(mkdir("home/sub", 0700), 0);
    assert_int_equal(mkdir("elsewhere", 0700), 0);
    assert_int_equal(mkdir("elsewhere/deep", 0700), 0);
    put_sectors("outside", 8);
    put_sectors("elsewhere/outside", 8);
    put_sectors("home/inside", 8);
    put_sectors("home/sub/below", 8);
    assert_int_equal(symlink("../outside", "home/link-out"), 0);
    assert_int_equal(symlink("inside", "home/link-in"), 0);
    assert_int_equal(symlink("link-out", "home/link-link-out"), 0);
    assert_int_equal(symlink("../elsewhere", "home/way-out"), 0);
    assert_int_equal(symlink("../elsewhere/deep", "home/way-deep"), 0);
    assert_int_equal(symlink(".", "home/way-here"), 0);
    assert_int_equal(link("outside", "home/hard"), 0);
    assert_int_equal(mkfifo("home/fifo", 0600), 0);
}

static int open_text(const char *text, const img_policy *policy, img_image **image, img_error *err)
{
    const img_open_params params = {.policy = policy};

    make_tree();
    io_put(IMAGE, text, strlen(text), 0600);
    return img_open(image, IMAGE, &params, err);
}

static int open_extent(const char *name, const img_policy *policy, img_error *err)
{
    char text[512];
    img_image *image;
    int rc;

    snprintf(text, sizeof(text), CUSTOM "RW 8 FLAT \"%s\" 0\n", name);
    rc = open_text(text, policy, &image, err);
    if (rc == 0)
        assert_ok(img_close(image, err), *err);
    return rc;
}

static void extents_stay_in_the_directory(void **state)
{
    static const struct {
        const char *name;
        int any, directory;
    } cases[] = {
        {"inside", 0, 0},
        {"./inside", 0, 0},
        {"hard", 0, 0}, /* whoever could make it could read the file */
        {"link-in", 0, 0},
        {"way-here/inside", 0, 0},
        {"sub/../inside", 0, 0},
        {"../home/inside", 0, 0},
        {"../outside", 0, IMG_E_DENIED},
        {"sub/below", 0, IMG_E_DENIED},
        {"link-out", 0, IMG_E_DENIED},
        {"link-link-out", 0, IMG_E_DENIED},
        {"way-out/outside", 0, IMG_E_DENIED},
        {"way-deep/../outside", 0, IMG_E_DENIED}, /* looks as if it were above home */
        {"/dev/zero", IMG_E_INVAL, IMG_E_DENIED},
        {"/dev/null", IMG_E_INVAL, IMG_E_DENIED},
        {"/proc/self/mem", IMG_E_CORRUPT, IMG_E_DENIED},
        {"fifo", IMG_E_INVAL, IMG_E_INVAL},
        {"sub", IMG_E_INVAL, IMG_E_INVAL},
        {"missing", IMG_E_NOENT, IMG_E_NOENT},
        {"disk.vmdk", IMG_E_CORRUPT, IMG_E_CORRUPT},
        {"way-here/disk.vmdk", IMG_E_CORRUPT, IMG_E_CORRUPT},
    };
    img_policy *strict = img_policy_new();

    (void)state;
    img_policy_set_reach(strict, IMG_REACH_DIRECTORY);
    for (size_t i = 0; i < IMGI_COUNT(cases); i++) {
        img_error err = {0};
        int any = open_extent(cases[i].name, NULL, &err);
        int directory = open_extent(cases[i].name, strict, &err);

        if (any != cases[i].any || directory != cases[i].directory)
            fail_msg("%s: %d and %d (%s)", cases[i].name, any, directory, err.message);
    }
    img_policy_free(strict);
}

static void an_absolute_name_is_judged_by_its_place(void **state)
{
    char here[256], path[300];
    img_policy *strict = img_policy_new();
    img_error err = {0};

    (void)state;
    img_policy_set_reach(strict, IMG_REACH_DIRECTORY);
    assert_non_null(getcwd(here, sizeof(here)));
    snprintf(path, sizeof(path), "%s/home/inside", here);
    assert_int_equal(open_extent(path, strict, &err), 0);
    snprintf(path, sizeof(path), "%s/outside", here);
    assert_int_equal(open_extent(path, NULL, &err), 0);
    assert_int_equal(open_extent(path, strict, &err), IMG_E_DENIED);
    img_policy_set_reach(strict, IMG_REACH_NONE);
    assert_int_equal(open_extent("inside", strict, &err), IMG_E_DENIED);
    img_policy_free(strict);
}

/* A name that becomes a link after it was judged is not followed. */
static void a_race_is_lost_by_the_link(void **state)
{
    img_policy *strict = img_policy_new();
    struct imgi_io *io;
    img_error err = {0};
    char *path;

    (void)state;
    make_tree();
    img_policy_set_reach(strict, IMG_REACH_DIRECTORY);
    put_sectors("home/raced", 8);
    assert_ok(imgi_policy_path(strict, IMAGE, "extent", "way-here/raced", &path, &err), err);
    assert_string_equal(path, "home/raced"); /* no link is left in what the image chose */
    assert_int_equal(unlink("home/raced"), 0);
    assert_int_equal(symlink("../outside", "home/raced"), 0);
    assert_int_not_equal(imgi_file_open(&io, path, imgi_named_io_flags(strict), &err), 0);
    assert_int_equal(unlink("home/raced"), 0);
    free(path);
    img_policy_free(strict);
}

/* The same file under two names is one file: its parts must not lie over one another. */
static void one_file_twice(void **state)
{
    img_image *image;
    img_error err = {0};

    (void)state;
    make_tree();
    assert_int_equal(link("home/inside", "home/again"), 0);
    assert_int_equal(
        open_text(CUSTOM "RW 5 FLAT \"inside\" 0\nRW 4 FLAT \"again\" 4\n", NULL, &image, &err),
        IMG_E_CORRUPT);
    assert_int_equal(
        open_text(CUSTOM "RW 5 FLAT \"inside\" 0\nRW 4 VMFS \"link-in\"\n", NULL, &image, &err),
        IMG_E_CORRUPT);
    assert_ok(
        open_text(CUSTOM "RW 4 FLAT \"again\" 4\nRW 4 VMFS \"link-in\"\n", NULL, &image, &err),
        err);
    assert_ok(img_close(image, &err), err);
    assert_int_equal(link(IMAGE, "home/self"), 0);
    assert_int_equal(open_extent("inside", NULL, &err), 0);
    assert_int_equal(unlink("home/self"), 0);
    assert_int_equal(link(IMAGE, "home/self"), 0);
    assert_int_equal(open_text(CUSTOM "RW 1 FLAT \"self\" 0\n", NULL, &image, &err), IMG_E_CORRUPT);
    assert_int_equal(unlink("home/self"), 0);
}

/* A delta of a parent. */
static void put_child(const char *name, const char *parent)
{
    char text[512];

    snprintf(text, sizeof(text),
             HEAD "parentCID=00000012\ncreateType=\"custom\"\nparentFileNameHint=\"%s\"\n"
                  "RW 8 FLAT \"inside\" 0\n",
             parent);
    io_put(name, text, strlen(text), 0600);
}

static int open_child(const char *parent, const img_policy *policy, img_error *err)
{
    const img_open_params params = {.policy = policy};
    img_image *image;
    int rc;

    make_tree();
    put_child(IMAGE, parent);
    rc = img_open(&image, IMAGE, &params, err);
    if (rc == 0)
        assert_ok(img_close(image, err), *err);
    return rc;
}

static void parents_stay_in_the_directory(void **state)
{
    static const char base[] = CUSTOM "RW 8 ZERO\n";
    static const struct {
        const char *name;
        int any, directory;
    } cases[] = {
        {"base.vmdk", 0, 0},
        {"link-base", 0, 0},
        {"../base.vmdk", 0, IMG_E_DENIED},
        {"link-base-out", 0, IMG_E_DENIED},
        {"way-out/base.vmdk", 0, IMG_E_DENIED},
        {"fifo", IMG_E_INVAL, IMG_E_INVAL},
        {"/dev/zero", IMG_E_INVAL, IMG_E_DENIED},
        {"sub", IMG_E_INVAL, IMG_E_INVAL},
        {"disk.vmdk", IMG_E_CORRUPT, IMG_E_CORRUPT}, /* its own parent */
        {"cycle.vmdk", IMG_E_CORRUPT, IMG_E_CORRUPT},
    };
    img_policy *strict = img_policy_new();

    (void)state;
    make_tree();
    io_put("home/base.vmdk", base, strlen(base), 0600);
    io_put("base.vmdk", base, strlen(base), 0600);
    io_put("elsewhere/base.vmdk", base, strlen(base), 0600);
    put_child("home/cycle.vmdk", "disk.vmdk");
    assert_int_equal(symlink("base.vmdk", "home/link-base"), 0);
    assert_int_equal(symlink("../base.vmdk", "home/link-base-out"), 0);
    img_policy_set_reach(strict, IMG_REACH_DIRECTORY);
    for (size_t i = 0; i < IMGI_COUNT(cases); i++) {
        img_error err = {0};
        int any = open_child(cases[i].name, NULL, &err);
        int directory = open_child(cases[i].name, strict, &err);

        if (any != cases[i].any || directory != cases[i].directory)
            fail_msg("%s: %d and %d (%s)", cases[i].name, any, directory, err.message);
    }
    img_policy_free(strict);
}

/* Kinds of image that stand for a device, of which nothing is opened. */
static void devices_must_be_allowed(void **state)
{
    static const char *const types[] = {
        "fullDevice",       "PartitionedDevice",          "vmfsRaw", "vmfsRDM", "vmfsRDMP",
        "vmfsRawDeviceMap", "vmfsPassthroughRawDeviceMap"};
    img_policy *policy = img_policy_new();
    img_options *options = img_options_new();
    const img_open_params params = {.options = options};
    img_image *image;
    img_error err = {0};

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(types); i++) {
        char text[512];

        snprintf(text, sizeof(text), ALONE "createType=\"%s\"\nRW 8 FLAT \"inside\" 0\n", types[i]);
        img_policy_set_devices(policy, false);
        assert_int_equal(open_text(text, policy, &image, &err), IMG_E_DENIED);
        assert_non_null(strcasestr(err.message, types[i]));
        img_policy_set_devices(policy, true);
        assert_ok(open_text(text, policy, &image, &err), err);
        assert_ok(img_close(image, &err), err);
    }
    assert_ok(img_options_parse(options, "devices=on", &err), err);
    assert_ok(img_open(&image, IMAGE, &params, &err), err);
    assert_ok(img_close(image, &err), err);
    assert_int_equal(open_text(CUSTOM "RW 8 VMFSRDM \"inside\"\n", policy, &image, &err),
                     IMG_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "mapping"));
    img_options_free(options);
    img_policy_free(policy);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(extents_stay_in_the_directory),
    cmocka_unit_test(an_absolute_name_is_judged_by_its_place),
    cmocka_unit_test(a_race_is_lost_by_the_link),
    cmocka_unit_test(one_file_twice),
    cmocka_unit_test(parents_stay_in_the_directory),
    cmocka_unit_test(devices_must_be_allowed),
};

IO_RUN(tests)

/*
 * Block devices and file systems that must be mounted for the purpose: root only, else skipped.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Mounts are made in a namespace of the test's own, so that none outlives it.
 */
#include <sched.h>
#include <sys/mount.h>

#include "io_test.h"

enum { DEVICE_SIZE = 8 << 20 };

/* A loop device that goes away when all who have it open have closed it. */
struct loop {
    char name[32];
    int fd;
};

/* Run a command and read its first word of output. */
static bool command(char *word, size_t length, const char *text)
{
    FILE *output = popen(text, "r");

    if (!output)
        return false;
    word[0] = '\0';
    if (fgets(word, (int)length, output))
        word[strcspn(word, "\n")] = '\0';
    return pclose(output) == 0;
}

static bool attach(struct loop *loop, unsigned sector)
{
    char text[128];

    snprintf(text, sizeof(text),
             "PATH=$PATH:/sbin:/usr/sbin; losetup -f --show -b %u disk 2>/dev/null", sector);
    if (!command(loop->name, sizeof(loop->name), text))
        return false;
    loop->fd = open(loop->name, O_RDWR | O_CLOEXEC);
    snprintf(text, sizeof(text), "PATH=$PATH:/sbin:/usr/sbin; losetup -d %s", loop->name);
    assert_int_equal(system(text), 0);
    assert_true(loop->fd >= 0);
    return true;
}

static void use_device(const char *name, unsigned flags)
{
    uint8_t *model = malloc(DEVICE_SIZE);
    uint8_t *bytes = malloc(300000);
    struct imgi_io_extent extent;
    struct imgi_io *io;
    img_error err = {0};
    uint64_t size, seed = 4;

    assert_ok(imgi_file_create(&io, name, flags, &err), err);
    assert_ok(imgi_io_size(io, &size, &err), err);
    assert_int_equal(size, DEVICE_SIZE);
    assert_ok(imgi_io_extent(io, 0, size, &extent, &err), err);
    assert_false(extent.hole);
    assert_int_equal(extent.length, size);
    assert_ok(imgi_io_resize(io, 1000, IMGI_PREALLOC_FULL, &err), err);
    assert_error(imgi_io_resize(io, DEVICE_SIZE + 1, IMGI_PREALLOC_OFF, &err), IMG_E_NOSPACE, err,
                 name, "the device has 8388608 bytes, 8388609 are needed");
    assert_error(imgi_io_zero(io, DEVICE_SIZE - 1, 2, true, &err), IMG_E_NOSPACE, err, name,
                 "the device ends at 0x800000");
    assert_error(imgi_io_write(io, "ab", 2, DEVICE_SIZE - 1, &err), IMG_E_NOSPACE, err, name,
                 "No space left");

    assert_ok(imgi_io_read(io, model, DEVICE_SIZE, 0, &err), err);
    for (int round = 0; round < 100; round++) {
        size_t length = 1 + io_random(&seed) % 300000;
        uint64_t offset = io_random(&seed) % (DEVICE_SIZE - length);
        unsigned what = io_random(&seed) % 3;

        memset(bytes, round + 1, length);
        if (what == 0) {
            memcpy(model + offset, bytes, length);
            assert_ok(imgi_io_write(io, bytes, length, offset, &err), err);
        } else {
            memset(model + offset, 0, length);
            assert_ok(imgi_io_zero(io, offset, length, what == 1, &err), err);
        }
    }
    assert_ok(imgi_io_discard(io, 5, 0, &err), err);
    assert_ok(imgi_io_flush(io, &err), err);
    assert_ok(imgi_io_publish(io, &err), err);
    imgi_io_close(io);
    io_expect(name, model, DEVICE_SIZE);
    free(bytes);
    free(model);
}

static void test_devices(void **state)
{
    static const unsigned sectors[] = {512, 4096};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct loop loop;
        uint8_t *garbage = malloc(DEVICE_SIZE);
        struct imgi_io *io;
        img_error err = {0};

        memset(garbage, 0xee, DEVICE_SIZE);
        io_put("disk", garbage, DEVICE_SIZE, 0600);
        free(garbage);
        if (geteuid() != 0 || !attach(&loop, sectors[i]))
            skip();
        use_device(loop.name, 0);
        use_device(loop.name, IMGI_IO_DIRECT);

        assert_ok(imgi_file_open(&io, loop.name, IMGI_IO_WRITE, &err), err);
        assert_ok(imgi_io_discard(io, 1000, 1 << 20, &err), err);
        imgi_io_close(io);
        close(loop.fd);
    }
}

/* Go where mounts are nobody else's. */
static void own_mounts(void)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        skip();
}

/* On XFS blocks are shared, when the range is made of whole ones. */
static void test_share(void **state)
{
    struct imgi_io *from, *to;
    img_error err = {0};
    uint8_t *bytes;

    (void)state;
    own_mounts();
    io_put("disk", "", 0, 0600);
    assert_int_equal(truncate("disk", 400 << 20), 0);
    assert_int_equal(mkdir("xfs", 0700), 0);
    if (system("PATH=$PATH:/sbin:/usr/sbin; mkfs.xfs -q -m reflink=1 disk && mount -o loop disk "
               "xfs") != 0)
        skip();

    bytes = malloc(1 << 20);
    memset(bytes, 0x77, 1 << 20);
    io_put("xfs/from", bytes, 1 << 20, 0600);
    assert_ok(imgi_file_open(&from, "xfs/from", 0, &err), err);
    assert_ok(imgi_file_create(&to, "xfs/to", 0, &err), err);
    assert_ok(imgi_io_share(to, 0, from, 0, 1 << 20, &err), err);
    assert_error(imgi_io_share(to, 5, from, 0, 1 << 19, &err), IMG_E_UNSUPPORTED, err, "xfs/to",
                 "shared");
    uint64_t size;
    assert_ok(imgi_io_size(to, &size, &err), err);
    assert_int_equal(size, 1 << 20);
    assert_ok(imgi_io_publish(to, &err), err);
    imgi_io_close(to);
    imgi_io_close(from);
    io_expect("xfs/to", bytes, 1 << 20);
    free(bytes);
    assert_int_equal(umount("xfs"), 0);
}

/* Without /proc a file cannot get its name later, so that it has a temporary one meanwhile. */
static void test_named(void **state)
{
    struct imgi_io *io;
    img_error err = {0};

    (void)state;
    own_mounts();
    assert_int_equal(mkdir("empty", 0700), 0);
    assert_int_equal(mkdir("target", 0700), 0);
    io_put("target/old", "old", 3, 0640);
    assert_int_equal(mount("empty", "/proc", NULL, MS_BIND, NULL), 0);

    assert_ok(imgi_file_create(&io, "target/old", 0, &err), err);
    assert_ok(imgi_io_write(io, "new", 3, 0, &err), err);
    assert_int_equal(io_count("target"), 2);
    imgi_io_close(io);
    assert_int_equal(io_count("target"), 1);
    io_expect("target/old", "old", 3);

    assert_ok(imgi_file_create(&io, "target/old", 0, &err), err);
    assert_ok(imgi_io_write(io, "new", 3, 0, &err), err);
    assert_ok(imgi_io_publish(io, &err), err);
    imgi_io_close(io);
    assert_int_equal(io_count("target"), 1);
    io_expect("target/old", "new", 3);

    struct stat info;
    assert_int_equal(stat("target/old", &info), 0);
    assert_int_equal(info.st_mode & 07777, 0640);
    assert_int_equal(umount("/proc"), 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_devices),
    cmocka_unit_test(test_share),
    cmocka_unit_test(test_named),
};

int main(void)
{
    io_place = io_places[0];
    return cmocka_run_group_tests(tests, io_enter, io_leave);
}

/*
 * The directory tree of a guest: mounts, paths, fstab. SPDX-License-Identifier: BSD-2-Clause
 *
 * On filesystems that are a table of files.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "guest/provider.h"
#include "guest/tree.h"

#define ROOT 2u

/* ---------------------------------------------------- a filesystem in memory */

/* A file; its inode number is its index. */
struct node {
    uint64_t parent;
    const char *name;
    uint32_t mode;
    const char *text; /* of a file, or a link */
};

static const struct node *node_of(struct img_fs *fs, uint64_t inode)
{
    return (const struct node *)fs->state + inode;
}

static bool is_end(const struct node *node)
{
    return node->mode == 0 && node->name;
}

static int fake_stat(struct img_fs *fs, uint64_t inode, img_stat *stat, img_error *err)
{
    (void)err;
    stat->mode = node_of(fs, inode)->mode;
    return 0;
}

static int fake_lookup(struct img_fs *fs, uint64_t directory, const char *name, uint64_t *inode,
                       img_error *err)
{
    if (!S_ISDIR(node_of(fs, directory)->mode))
        return imgi_fail_errno(err, ENOTDIR, "%s", name);
    if (strcmp(name, "..") == 0) {
        *inode = node_of(fs, directory)->parent;
        return 0;
    }
    for (uint64_t n = ROOT + 1; !is_end(node_of(fs, n)); n++) {
        if (node_of(fs, n)->parent == directory && strcmp(node_of(fs, n)->name, name) == 0) {
            *inode = n;
            return 0;
        }
    }
    return imgi_fail_errno(err, ENOENT, "%s", name);
}

static int fake_readlink(struct img_fs *fs, uint64_t inode, char **target, img_error *err)
{
    *target = strdup(node_of(fs, inode)->text);
    return *target ? 0 : imgi_fail_nomem(err, "a link");
}

static int fake_file_open(struct img_file *file, img_error *err)
{
    (void)err;
    file->size = strlen(node_of(file->fs, file->inode)->text);
    return 0;
}

static int fake_read(struct img_file *file, uint64_t offset, void *buffer, size_t length,
                     img_error *err)
{
    (void)err;
    memcpy(buffer, node_of(file->fs, file->inode)->text + offset, length);
    return 0;
}

static void fake_close(struct img_fs *fs)
{
    (void)fs;
}

static const struct imgi_provider fake = {
    .close = fake_close,
    .stat = fake_stat,
    .lookup = fake_lookup,
    .readlink = fake_readlink,
    .file_open = fake_file_open,
    .read = fake_read,
};

/* ------------------------------------------------------------------- guests */

struct fixture {
    img_guest guest;
    img_tree *tree;
    char notices[2048];
};

static void hear(void *opaque, const char *text)
{
    struct fixture *fixture = opaque;

    strcat(strcat(fixture->notices, text), "\n");
}

static void start(struct fixture *fixture)
{
    img_error err = {0};

    memset(fixture, 0, sizeof(*fixture));
    pthread_mutex_init(&fixture->guest.lock, NULL);
    fixture->guest.params.flags = IMG_GUEST_NO_APPLIANCE;
    fixture->guest.params.notice = hear;
    fixture->guest.params.opaque = fixture;
    assert_int_equal(img_tree_new(&fixture->tree, &fixture->guest, &err), 0);
}

/* Add a volume; nodes NULL: nothing in it can be read. */
static struct imgi_volume *add_volume(struct fixture *fixture, const char *device, const char *uuid,
                                      const struct node *nodes)
{
    const img_volume info = {.kind = IMG_VOLUME_PARTITION,
                             .device = device,
                             .uuid = uuid,
                             .content = nodes ? "ext4" : "unreadable",
                             .holds_filesystem = nodes != NULL};
    struct imgi_volume *volume;

    assert_int_equal(imgi_guest_add(&fixture->guest, NULL, &info, NULL), 0);
    volume = fixture->guest.volumes[fixture->guest.volume_count - 1];
    if (nodes) {
        volume->fs = calloc(1, sizeof(*volume->fs));
        assert_non_null(volume->fs);
        *volume->fs = (img_fs){.provider = &fake,
                               .guest = &fixture->guest,
                               .volume = volume,
                               .root = ROOT,
                               .state = (void *)nodes};
        pthread_mutex_init(&volume->fs->lock, NULL);
    }
    return volume;
}

static void end(struct fixture *fixture)
{
    img_tree_free(fixture->tree);
    for (size_t n = 0; n < fixture->guest.volume_count; n++) {
        struct imgi_volume *volume = fixture->guest.volumes[n];

        imgi_fs_close(volume->fs);
        free((char *)volume->info.device);
        free((char *)volume->info.uuid);
        free((char *)volume->info.content);
        free(volume);
    }
    free(fixture->guest.volumes);
    pthread_mutex_destroy(&fixture->guest.lock);
}

#define DIRECTORY (S_IFDIR | 0755)
#define REGULAR (S_IFREG | 0644)
#define LINK (S_IFLNK | 0777)
#define END                                                                                        \
    {                                                                                              \
        0, "", 0, ""                                                                               \
    }

/* 2 is the root; the numbers are those of the places in the tests. */
static const struct node root_nodes[] = {
    {0, "", 0, NULL},
    {0, "", 0, NULL},
    {ROOT, "/", DIRECTORY, NULL},
    {ROOT, "etc", DIRECTORY, NULL}, /* 3 */
    {3, "fstab", REGULAR,           /* 4 */
     "UUID=root / ext4 defaults 0 1\n"
     "UUID=data /srv/data ext4 defaults 0 2\n" /* its mount point is in another filesystem */
     "UUID=srv /srv ext4 defaults 0 2\n"
     "UUID=bad /opt auto defaults 0 2\n"
     "UUID=gone /mnt ext4 defaults 0 2\n"
     "UUID=away /mnt ext4 nofail 0 2\n"
     "/dev/sdb1 /nowhere ext4 defaults 0 2\n"},
    {ROOT, "srv", DIRECTORY, NULL},         /* 5 */
    {5, "hidden", REGULAR, "hidden"},       /* 6: by the filesystem that is mounted there */
    {ROOT, "opt", DIRECTORY, NULL},         /* 7 */
    {7, "file", REGULAR, "opt"},            /* 8 */
    {ROOT, "mnt", DIRECTORY, NULL},         /* 9 */
    {ROOT, "abs", LINK, "/etc/fstab"},      /* 10 */
    {3, "rel", LINK, "../opt/file"},        /* 11 */
    {ROOT, "loop", LINK, "loop"},           /* 12 */
    {ROOT, "out", LINK, "../../../../opt"}, /* 13 */
    {ROOT, "dir", LINK, "srv/"},            /* 14 */
    {ROOT, "empty", LINK, ""},              /* 15 */
    {ROOT, "broken", LINK, "no/such"},      /* 16 */
    END,
};
static const struct node srv_nodes[] = {
    {0, "", 0, NULL},
    {0, "", 0, NULL},
    {ROOT, "/", DIRECTORY, NULL},
    {ROOT, "data", DIRECTORY, NULL},       /* 3 */
    {ROOT, "up", LINK, "../etc/fstab"},    /* 4: out of this filesystem */
    {ROOT, "abs", LINK, "/srv/data/deep"}, /* 5 */
    END,
};
static const struct node data_nodes[] = {
    {0, "", 0, NULL},
    {0, "", 0, NULL},
    {ROOT, "/", DIRECTORY, NULL},
    {ROOT, "deep", DIRECTORY, NULL}, /* 3 */
    {3, "file", REGULAR, "deep"},    /* 4 */
    END,
};

static struct imgi_volume *root_volume, *srv_volume, *data_volume;

static void start_machine(struct fixture *fixture)
{
    img_error err = {0};

    start(fixture);
    srv_volume = add_volume(fixture, "/dev/sda3", "srv", srv_nodes);
    root_volume = add_volume(fixture, "/dev/sda1", "root", root_nodes);
    data_volume = add_volume(fixture, "/dev/sda4", "data", data_nodes);
    add_volume(fixture, "/dev/sda5", "bad", NULL);
    add_volume(fixture, "/dev/sdb1", "other", data_nodes);
    assert_int_equal(img_tree_mount_root(fixture->tree, NULL, &err), 0);
}

/* The path leads to that file of that volume. */
static void finds(struct fixture *fixture, const char *path, unsigned flags,
                  const struct imgi_volume *volume, uint64_t inode)
{
    img_error err = {0};
    img_place place;

    if (img_tree_find(fixture->tree, path, flags, &place, &err) < 0)
        fail_msg("%s: %s", path, err.message);
    if (place.fs != volume->fs || place.inode != inode)
        fail_msg("%s is %s of %s", path, node_of(place.fs, place.inode)->name,
                 img_fs_device(place.fs));
}

static void finds_not(struct fixture *fixture, const char *path, unsigned flags, int os_errno)
{
    img_error err = {0};
    img_place place;

    assert_true(img_tree_find(fixture->tree, path, flags, &place, &err) < 0);
    if (err.os_errno != os_errno)
        fail_msg("%s: %s", path, err.message);
    if (os_errno != ENAMETOOLONG && !strstr(err.message, path))
        fail_msg("%s: does not name the path: %s", path, err.message);
}

/* ------------------------------------------------------------------- tests */

static void test_paths(void **state)
{
    struct fixture fixture;

    (void)state;
    start_machine(&fixture);
    finds(&fixture, "/", 0, root_volume, ROOT);
    finds(&fixture, "///", 0, root_volume, ROOT);
    finds(&fixture, "/..", 0, root_volume, ROOT);
    finds(&fixture, "etc/./fstab", 0, root_volume, 4);
    finds(&fixture, "//etc//../etc/fstab", 0, root_volume, 4);
    finds(&fixture, "/opt/", 0, root_volume, 7);
    finds_not(&fixture, "/etc/nothing", 0, ENOENT);
    finds_not(&fixture, "/nothing/../etc", 0, ENOENT);
    finds_not(&fixture, "/etc/fstab/x", 0, ENOTDIR);
    finds_not(&fixture, "/etc/fstab/", 0, ENOTDIR);
    finds_not(&fixture, "/etc/fstab/..", 0, ENOTDIR);
    finds_not(&fixture, "", 0, ENOENT);
    end(&fixture);
}

static void test_links(void **state)
{
    struct fixture fixture;

    (void)state;
    start_machine(&fixture);
    finds(&fixture, "/abs", 0, root_volume, 4);
    finds(&fixture, "/abs", IMG_TREE_NO_FOLLOW, root_volume, 10);
    finds(&fixture, "/etc/rel", 0, root_volume, 8);
    finds(&fixture, "/out/file", IMG_TREE_NO_FOLLOW, root_volume, 8);
    finds(&fixture, "/dir", IMG_TREE_NO_FOLLOW, root_volume, 14);
    finds(&fixture, "/dir/", IMG_TREE_NO_FOLLOW, srv_volume, ROOT);
    finds(&fixture, "/dir/../etc", 0, root_volume, 3);
    finds_not(&fixture, "/loop", 0, ELOOP);
    finds_not(&fixture, "/loop/x", IMG_TREE_NO_FOLLOW, ELOOP);
    finds(&fixture, "/loop", IMG_TREE_NO_FOLLOW, root_volume, 12);
    finds_not(&fixture, "/empty", 0, ENOENT);
    finds_not(&fixture, "/broken", 0, ENOENT);
    finds_not(&fixture, "/abs/", IMG_TREE_NO_FOLLOW, ENOTDIR);
    end(&fixture);
}

static void test_long_paths(void **state)
{
    struct fixture fixture;
    char *path = malloc(100001);

    (void)state;
    assert_non_null(path);
    memset(path, 'x', 100000);
    path[100000] = '\0';
    start_machine(&fixture);
    finds_not(&fixture, path, 0, ENAMETOOLONG);
    path[5000] = '\0';
    finds_not(&fixture, path, 0, ENAMETOOLONG);
    end(&fixture);
    free(path);
}

static void test_mounts(void **state)
{
    struct fixture fixture;
    const char *device, *path;

    (void)state;
    start_machine(&fixture);
    finds(&fixture, "/srv", 0, srv_volume, ROOT);
    finds(&fixture, "/srv", IMG_TREE_NO_FOLLOW, srv_volume, ROOT);
    finds_not(&fixture, "/srv/hidden", 0, ENOENT);
    finds(&fixture, "/srv/..", 0, root_volume, ROOT);
    finds(&fixture, "/srv/data", 0, data_volume, ROOT);
    finds(&fixture, "/srv/data/deep/file", 0, data_volume, 4);
    finds(&fixture, "/srv/data/deep/../..", 0, srv_volume, ROOT);
    finds(&fixture, "/srv/data/../../etc", 0, root_volume, 3);
    finds(&fixture, "/srv/up", 0, root_volume, 4);
    finds(&fixture, "/srv/abs/file", 0, data_volume, 4);
    assert_true(img_tree_mounted(fixture.tree, 0, &device, &path));
    assert_string_equal(device, "/dev/sda1");
    assert_string_equal(path, "/");
    end(&fixture);
}

/* Nothing but the root is looked at before a path leads there, and then each once. */
static void test_mounts_wait(void **state)
{
    struct fixture fixture;

    (void)state;
    start_machine(&fixture);
    assert_non_null(strstr(fixture.notices, "UUID=gone"));
    assert_non_null(strstr(fixture.notices, "/nowhere"));
    assert_null(strstr(fixture.notices, "away"));
    assert_null(strstr(fixture.notices, "sda5"));
    for (size_t n = 0; n < fixture.tree->count; n++)
        assert_int_equal(fixture.tree->mounts[n].fs != NULL, n == 0);
    fixture.notices[0] = '\0';
    finds(&fixture, "/opt/file", 0, root_volume, 8);
    assert_non_null(strstr(fixture.notices, "/dev/sda5 is not mounted at /opt: "));
    fixture.notices[0] = '\0';
    finds(&fixture, "/opt/file", 0, root_volume, 8);
    finds(&fixture, "/srv/data/deep", 0, data_volume, 3);
    assert_string_equal(fixture.notices, "");
    end(&fixture);
}

static void test_steps(void **state)
{
    struct fixture fixture;
    img_place place, next;

    (void)state;
    start_machine(&fixture);
    assert_int_equal(img_tree_find(fixture.tree, "/", 0, &place, NULL), 0);
    assert_int_equal(img_tree_step(fixture.tree, &place, "..", &next, NULL), 0);
    assert_true(next.fs == root_volume->fs && next.inode == ROOT);
    assert_int_equal(img_tree_step(fixture.tree, &place, "srv", &next, NULL), 0);
    assert_true(next.fs == srv_volume->fs && next.inode == ROOT);
    assert_int_equal(img_tree_step(fixture.tree, &next, "data", &next, NULL), 0);
    assert_true(next.fs == data_volume->fs && next.inode == ROOT);
    assert_int_equal(img_tree_step(fixture.tree, &next, ".", &next, NULL), 0);
    assert_int_equal(img_tree_step(fixture.tree, &next, "..", &next, NULL), 0);
    assert_true(next.fs == srv_volume->fs && next.inode == ROOT);
    assert_int_equal(img_tree_step(fixture.tree, &next, "..", &next, NULL), 0);
    assert_true(next.fs == root_volume->fs && next.inode == ROOT);
    assert_int_equal(img_tree_step(fixture.tree, &next, "abs", &next, NULL), 0);
    assert_int_equal(next.inode, 10);
    assert_int_equal(img_tree_step(fixture.tree, &place, "nothing", &next, NULL), IMG_E_NOENT);
    end(&fixture);
}

static void test_covered(void **state)
{
    struct fixture fixture;
    img_place place;

    (void)state;
    start_machine(&fixture);
    place = (img_place){root_volume->fs, 5};
    assert_true(img_tree_covered(fixture.tree, &place));
    for (size_t n = 1; n < fixture.tree->count; n++)
        assert_null(fixture.tree->mounts[n].fs); /* nothing was opened for that */
    place.inode = 9;
    assert_false(img_tree_covered(fixture.tree, &place));
    end(&fixture);
}

static void test_cross_opened(void **state)
{
    struct fixture fixture;
    img_place place;

    (void)state;
    start_machine(&fixture);
    place = (img_place){root_volume->fs, 5};
    img_tree_cross_opened(fixture.tree, &place);
    assert_ptr_equal(place.fs, root_volume->fs);
    img_tree_cross(fixture.tree, &place);
    assert_ptr_equal(place.fs, srv_volume->fs);
    place = (img_place){root_volume->fs, 5};
    img_tree_cross_opened(fixture.tree, &place);
    assert_ptr_equal(place.fs, srv_volume->fs);
    end(&fixture);
}

/* No path that the appliance could not name is given to it. */
static void test_put_long(void **state)
{
    const char *const sources[] = {"."};
    struct fixture fixture;
    img_error err = {0};
    char path[5001];

    (void)state;
    start_machine(&fixture);
    memset(path, 'x', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_true(img_tree_put(fixture.tree, sources, 1, path, &err) < 0);
    assert_int_equal(err.os_errno, ENAMETOOLONG);
    end(&fixture);
}

static void test_mount_by_hand(void **state)
{
    struct fixture fixture;
    img_error err = {0};
    img_place place;

    (void)state;
    start(&fixture);
    root_volume = add_volume(&fixture, "/dev/sda1", "root", root_nodes);
    srv_volume = add_volume(&fixture, "/dev/sda3", "srv", srv_nodes);
    assert_int_equal(img_tree_find(fixture.tree, "/", 0, &place, &err), IMG_E_INVAL);
    assert_int_equal(img_tree_mount(fixture.tree, "/dev/sda1", "/mnt", &err), IMG_E_INVAL);
    assert_int_equal(img_tree_mount(fixture.tree, "/dev/sdz1", "/", &err), IMG_E_NOENT);
    assert_int_equal(img_tree_mount(fixture.tree, "LABEL=ROOT", "/", &err), IMG_E_NOENT);
    assert_int_equal(img_tree_mount(fixture.tree, "UUID=ROOT", "/", &err), 0);
    assert_int_equal(img_tree_mount(fixture.tree, "/dev/sda3", "mnt", &err), IMG_E_INVAL);
    assert_true(img_tree_mount(fixture.tree, "/dev/sda3", "/none", &err) < 0);
    assert_int_equal(err.os_errno, ENOENT);
    assert_true(img_tree_mount(fixture.tree, "/dev/sda3", "/etc/fstab", &err) < 0);
    assert_int_equal(err.os_errno, ENOTDIR);
    assert_int_equal(img_tree_mount(fixture.tree, "/dev/sda3", "/mnt", &err), 0);
    finds(&fixture, "/mnt/data", 0, srv_volume, 3);
    /* One on top of another, and a filesystem twice. */
    assert_int_equal(img_tree_mount(fixture.tree, "/dev/sda1", "/mnt", &err), 0);
    finds(&fixture, "/mnt/etc", 0, root_volume, 3);
    finds(&fixture, "/mnt/mnt/../../mnt", 0, root_volume, ROOT);
    end(&fixture);
}

static void test_no_single_root(void **state)
{
    struct fixture fixture;
    img_error err = {0};

    (void)state;
    start(&fixture);
    add_volume(&fixture, "/dev/sda1", "data", data_nodes);
    assert_int_equal(img_tree_mount_root(fixture.tree, NULL, &err), IMG_E_NOENT);
    add_volume(&fixture, "/dev/sda2", "a", root_nodes);
    root_volume = add_volume(&fixture, "/dev/sda3", "b", root_nodes);
    assert_int_equal(img_tree_mount_root(fixture.tree, NULL, &err), IMG_E_INVAL);
    assert_non_null(strstr(err.message, "/dev/sda2, /dev/sda3"));
    assert_int_equal(img_tree_mount_root(fixture.tree, "/dev/sda3", &err), 0);
    finds(&fixture, "/etc", 0, root_volume, 3);
    end(&fixture);
}

static void parse(struct imgi_fstab *fstab, const char *text)
{
    img_error err = {0};

    assert_int_equal(imgi_fstab_parse(fstab, text, strlen(text), &err), 0);
}

static void test_fstab(void **state)
{
    static const struct {
        const char *spec, *device;
    } cases[] = {
        {"UUID=0a1b-2c3d", "UUID=0a1b-2c3d"},
        {"UUID=\"0a1b-2c3d\"", "UUID=0a1b-2c3d"},
        {"LABEL=a\\040b", "LABEL=a b"},
        {"PARTUUID=x", "PARTUUID=x"},
        {"/dev/disk/by-uuid/x", "UUID=x"},
        {"/dev/disk/by-label/a\\x20b", "LABEL=a b"},
        {"/dev/disk/by-partlabel/root", "PARTLABEL=root"},
        {"/dev/sdb12", "/dev/sdb12"},
        {"/dev/vda1", "/dev/sda1"},
        {"/dev/xvdb", "/dev/sdb"},
        {"/dev/nvme1n1p3", "/dev/sdb3"},
        {"/dev/mmcblk0p1", "/dev/sda1"},
        {"/dev/mapper/vg-root", "/dev/vg/root"},
        {"/dev/mapper/my--vg-my--root-1", "/dev/my-vg/my-root-1"},
        {"/dev/mapper/secret", "/dev/mapper/secret"},
        {"/dev/md0", "/dev/md0"},
    };

    (void)state;
    for (size_t n = 0; n < IMGI_COUNT(cases); n++) {
        struct imgi_fstab fstab;
        char line[256];

        snprintf(line, sizeof(line), "# one\n\n  %s \t /a\\040b//c/ ext4", cases[n].spec);
        parse(&fstab, line);
        assert_int_equal(fstab.count, 1);
        assert_string_equal(fstab.entries[0].device, cases[n].device);
        assert_string_equal(fstab.entries[0].path, "/a b/c");
        assert_false(fstab.entries[0].optional);
        imgi_fstab_free(&fstab);
    }
}

static void test_fstab_subvolumes(void **state)
{
    static const struct {
        const char *options, *type, *device;
    } cases[] = {
        {"subvol=root,compress=zstd:1", "btrfs", "btrfsvol:UUID=a-b/root"},
        {"noatime,subvol=/@/home", "btrfs", "btrfsvol:UUID=a-b/@/home"},
        {"subvolid=256,subvol=@", "btrfs", "btrfsvol:UUID=a-b/@"},
        {"subvol=/", "btrfs", "UUID=a-b"},
        {"subvolid=5", "btrfs", "UUID=a-b"},
        {"subvol=root", "ext4", "UUID=a-b"},
    };

    (void)state;
    for (size_t n = 0; n < IMGI_COUNT(cases); n++) {
        struct imgi_fstab fstab;
        char line[128];

        snprintf(line, sizeof(line), "UUID=a-b /x %s %s 0 0\n", cases[n].type, cases[n].options);
        parse(&fstab, line);
        assert_int_equal(fstab.count, 1);
        assert_string_equal(fstab.entries[0].device, cases[n].device);
        imgi_fstab_free(&fstab);
    }
}

static void test_subvolumes(void **state)
{
    img_volume info = {.device = "/dev/group/pool",
                       .content = "btrfs",
                       .holds_filesystem = true,
                       .uuid = "a-b",
                       .size = 5};
    struct fixture fixture;
    struct imgi_volume *found;
    img_guest *guest;

    (void)state;
    start(&fixture);
    guest = &fixture.guest;
    assert_int_equal(imgi_guest_add(guest, NULL, &info, NULL), 0);
    assert_null(imgi_guest_find(guest, "btrfsvol:/dev/sda1/root"));
    assert_null(imgi_guest_find(guest, "btrfsvol:/dev/group/pool/"));
    assert_null(imgi_guest_find(guest, "btrfsvol:/dev/group/pool"));
    assert_null(imgi_guest_find(guest, "btrfsvol:"));
    found = imgi_guest_find(guest, "btrfsvol:UUID=a-b/@/home");
    assert_non_null(found);
    assert_string_equal(found->info.device, "btrfsvol:/dev/group/pool/@/home");
    assert_string_equal(found->info.content, "btrfs");
    assert_null(found->info.uuid);
    assert_ptr_equal(imgi_guest_find(guest, "btrfsvol:/dev/group/pool/@/home"), found);
    assert_ptr_not_equal(imgi_guest_find(guest, "btrfsvol:/dev/group/pool/@"), found);
    assert_int_equal(img_guest_volume(guest, 0, &info, NULL), 0);
    assert_int_equal(img_guest_volume(guest, 1, &info, NULL), IMG_E_NOENT);
    end(&fixture);
}

static void test_fstab_lines(void **state)
{
    struct imgi_fstab fstab;

    (void)state;
    parse(&fstab, "/dev/sda2 /home/deep ext4 defaults,nofail 0 0\r\n"
                  "/dev/sda3 /home ext4 noauto\n"
                  "/dev/sda4 /home/ ext4 nofailure,xnoauto\n"
                  "/dev/sda5 none swap sw 0 0\n"
                  "/dev/sda5 /swap swap sw 0 0\n"
                  "/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0\n"
                  "proc /proc proc defaults 0 0\n"
                  "server:/export /mnt nfs defaults 0 0\n"
                  "/srv /mnt none bind 0 0\n"
                  "/dev/sda6\n"
                  "/dev/sda6 /half\n");
    assert_int_equal(fstab.count, 3);
    assert_string_equal(fstab.entries[0].device, "/dev/sda3");
    assert_true(fstab.entries[0].optional);
    assert_string_equal(fstab.entries[1].device, "/dev/sda4");
    assert_string_equal(fstab.entries[1].path, "/home");
    assert_false(fstab.entries[1].optional);
    assert_string_equal(fstab.entries[2].path, "/home/deep");
    assert_true(fstab.entries[2].optional);
    imgi_fstab_free(&fstab);
    parse(&fstab, "");
    assert_int_equal(fstab.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_long_paths),
        cmocka_unit_test(test_mounts),
        cmocka_unit_test(test_mounts_wait),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_covered),
        cmocka_unit_test(test_mount_by_hand),
        cmocka_unit_test(test_no_single_root),
        cmocka_unit_test(test_fstab),
        cmocka_unit_test(test_fstab_subvolumes),
        cmocka_unit_test(test_subvolumes),
        cmocka_unit_test(test_fstab_lines),
        cmocka_unit_test(test_cross_opened),
        cmocka_unit_test(test_put_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

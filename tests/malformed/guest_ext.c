/*
 * ext2 and ext4 with bits that have flipped: some thousand seeded changes of small filesystems that
 * have all kinds of files. SPDX-License-Identifier: BSD-2-Clause
 *
 *     guest_ext [FIRST-SEED [COUNT]]
 *
 * Everything in them is walked, read and asked for. That may find errors and fewer files, but must
 * come to an end, in the memory that a batch allows.
 */
#include "malformed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "guest/provider.h"

#define CHUNK 16u
#define COUNT 200u
/* A walk that finds more went round in circles: the trees have some dozen files. */
#define FILES_MAX 20000u
#define DEPTH_MAX 64u

struct subject {
    const char *title, *options; /* of mke2fs */
};

/* Without checksums changes get further. */
static const struct subject subjects[] = {
    {"ext2", "-t ext2 -b 1024"},
    {"ext3", "-t ext3 -b 1024 -I 128 -O ^resize_inode"},
    {"ext4", "-t ext4 -b 1024 -O ea_inode,^has_journal"},
    {"ext4 without checksums", "-t ext4 -b 1024 -O ea_inode,^metadata_csum,^has_journal"},
    {"inline data", "-t ext4 -b 1024 -O inline_data,^metadata_csum,^has_journal"},
    {"bigalloc", "-t ext4 -b 1024 -C 4096 -O bigalloc,^metadata_csum,^has_journal"},
};

struct flips {
    const struct subject *subject;
    struct file whole;
    size_t *chunks; /* those that are not all zeros */
    size_t chunk_count;
    uint64_t first_seed;
};

/* ---------------------------------------------------------------- the walk */

struct walk {
    img_fs *fs;
    size_t files;
};

static void ask_xattrs(img_fs *fs, uint64_t inode)
{
    char *names;
    size_t length, size;
    void *value;

    if (img_fs_xattr_names(fs, inode, &names, &length, NULL) < 0)
        return;
    for (size_t at = 0; at < length; at += strlen(names + at) + 1) {
        if (img_fs_xattr(fs, inode, names + at, &value, &size, NULL) == 0)
            img_free(value);
    }
    img_free(names);
}

/* The first and the last of a file: sizes are as damaged as everything else. */
static void read_file(img_fs *fs, uint64_t inode)
{
    static uint8_t buffer[65536];
    size_t length = sizeof(buffer);
    uint64_t size, run;
    img_file *file;
    bool hole;

    if (img_file_open(&file, fs, inode, NULL) < 0)
        return;
    size = img_file_size(file);
    img_file_read(file, 0, buffer, &length, NULL);
    length = sizeof(buffer);
    img_file_read(file, size > length ? size - length : 0, buffer, &length, NULL);
    img_file_run(file, 0, IMGI_MIN(size, 1u << 20), &run, &hole, NULL);
    img_file_close(file);
}

static void walk_file(struct walk *walk, uint64_t inode, unsigned depth);

static void walk_directory(struct walk *walk, uint64_t inode, unsigned depth)
{
    img_dirent entry;
    uint64_t found;
    img_dir *dir;

    if (img_dir_open(&dir, walk->fs, inode, NULL) < 0)
        return;
    for (size_t n = 0; img_dir_entry(dir, n, &entry) && walk->files < FILES_MAX; n++) {
        img_fs_lookup(walk->fs, inode, entry.name, &found, NULL);
        walk_file(walk, entry.inode, depth + 1);
    }
    img_dir_close(dir);
}

static void walk_file(struct walk *walk, uint64_t inode, unsigned depth)
{
    img_stat stat;
    char *target;

    walk->files++;
    if (img_fs_stat(walk->fs, inode, &stat, NULL) < 0)
        return;
    ask_xattrs(walk->fs, inode);
    if (img_fs_readlink(walk->fs, inode, &target, NULL) == 0)
        img_free(target);
    read_file(walk->fs, inode);
    if (S_ISDIR(stat.mode) && depth < DEPTH_MAX)
        walk_directory(walk, inode, depth);
}

struct unused {
    uint64_t size, end;
    bool wrong;
};

static int check_unused(void *opaque, uint64_t offset, uint64_t length, img_error *err)
{
    struct unused *unused = opaque;

    (void)err;
    if (offset < unused->end || length == 0 || length > unused->size ||
        offset > unused->size - length)
        unused->wrong = true;
    unused->end = offset + length;
    return 0;
}

static void walk_all(img_image *image, char complaint[COMPLAINT_MAX])
{
    struct unused unused = {.size = img_size(image)};
    struct walk walk = {0};
    img_fs_usage usage;
    img_guest *guest;

    if (img_guest_open(&guest, &image, 1, NULL, NULL) < 0)
        return;
    if (img_guest_fs(guest, "/dev/sda", &walk.fs, NULL) == 0 &&
        strcmp(walk.fs->provider->library, "libext2fs") == 0) {
        walk_file(&walk, img_fs_root(walk.fs), 0);
        img_fs_usage_of(walk.fs, &usage, NULL);
        walk.fs->provider->unused(walk.fs, check_unused, &unused, NULL);
        if (unused.wrong)
            complain(complaint, "free blocks out of order, or outside of the volume");
    }
    img_guest_close(guest);
}

/* -------------------------------------------------------------- the changes */

/* xorshift64*: the same sequence everywhere for the same seed. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du;
}

/* One to eight bits or bytes of what is not zeros. */
static void change(const struct flips *flips, struct file *file, uint64_t seed)
{
    uint64_t state = (seed + 1) * 0x9e3779b97f4a7c15u;
    uint64_t count = 1 + next_random(&state) % 8;

    for (uint64_t n = 0; n < count; n++) {
        size_t place =
            flips->chunks[next_random(&state) % flips->chunk_count] + next_random(&state) % CHUNK;

        if (next_random(&state) % 2)
            file->bytes[place] ^= (uint8_t)(1u << next_random(&state) % 8);
        else
            file->bytes[place] = (uint8_t)next_random(&state);
    }
}

static void describe(void *opaque, size_t n, char *text, size_t size)
{
    const struct flips *flips = opaque;

    snprintf(text, size, "%s with seed %llu", flips->subject->title,
             (unsigned long long)(flips->first_seed + n));
}

static void run(void *opaque, size_t n, char complaint[COMPLAINT_MAX])
{
    const struct flips *flips = opaque;
    struct file file = file_copy(&flips->whole);
    img_open_params params = {.format = "raw"};
    img_image *image;

    change(flips, &file, flips->first_seed + n);
    file_put(&file, "flipped");
    file_free(&file);
    if (img_open(&image, "flipped", &params, NULL) < 0) {
        complain(complaint, "cannot be opened");
        return;
    }
    walk_all(image, complaint);
    img_close(image, NULL);
}

/* ------------------------------------------------------------- filesystems */

static void find_chunks(struct flips *flips)
{
    static const uint8_t zeros[CHUNK];

    flips->chunks = calloc(flips->whole.length / CHUNK, sizeof(*flips->chunks));
    if (!flips->chunks)
        abort();
    for (size_t at = 0; at + CHUNK <= flips->whole.length; at += CHUNK) {
        if (memcmp(flips->whole.bytes + at, zeros, CHUNK) != 0)
            flips->chunks[flips->chunk_count++] = at;
    }
}

/* All kinds of files, of which only few bytes are data. */
static const char tree[] =
    "mkdir -p tree/a/b/c tree/many && cd tree && echo tiny > tiny && "
    "printf '%0100d' 7 > hundred && printf '%03000d' 7 > blocks && "
    "truncate -s 3M holes && for n in 0 5 300 700 2000; do "
    "printf '%07d' $n | dd of=holes bs=1024 seek=$n conv=notrunc status=none; done && "
    "ln -s short fast && ln -s $(printf '%0200d' 7) slow && ln tiny hard && mkfifo fifo && "
    "for n in $(seq 80); do : > many/a-rather-long-name-$n; done && "
    "{ setfattr -n user.small -v value tiny; setfattr -n user.large -v $(printf '%0600d' 7) tiny; "
    "setfacl -m u:7:r tiny; "
    "setfacl -d -m g:7:r a; :; } 2>/dev/null";

/* A value that needs an inode of its own, where there are such. */
static const char huge[] = "-n user.huge -v $(printf '%03000d' 7)";

static size_t run_subject(const struct subject *subject, uint64_t first_seed, size_t count)
{
    struct flips flips = {.subject = subject, .first_seed = first_seed};
    struct batch batch = {.title = subject->title,
                          .count = count,
                          .describe = describe,
                          .run = run,
                          .opaque = &flips};
    char command[300];
    size_t failures;

    snprintf(command, sizeof(command),
             "PATH=$PATH:/usr/sbin:/sbin; rm -f made; truncate -s 4M made && "
             "setfattr %s tree/hundred 2>/dev/null; mke2fs -q -F -N 200 -d tree %s made",
             strstr(subject->options, "ea_inode") ? huge : "-x user.huge", subject->options);
    if (system(command) != 0) {
        printf("not ok - %s: cannot be made\n", subject->title);
        return 1;
    }
    flips.whole = file_load("made");
    find_chunks(&flips);
    failures = batch_run(&batch);
    free(flips.chunks);
    file_free(&flips.whole);
    return failures;
}

int main(int argc, char **argv)
{
    uint64_t first_seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    size_t count = argc > 2 ? strtoul(argv[2], NULL, 10) : COUNT, failures = 0;

    workshop_enter();
    if (system("PATH=$PATH:/usr/sbin:/sbin; command -v mke2fs >/dev/null") != 0) {
        workshop_leave();
        puts("mke2fs is not installed");
        return 77;
    }
    if (system(tree) != 0)
        abort();
    for (size_t n = 0; n < IMGI_COUNT(subjects); n++)
        failures += run_subject(&subjects[n], first_seed, count);
    if (system("rm -rf tree") != 0)
        abort();
    workshop_leave();
    return batch_report(IMGI_COUNT(subjects) * count, failures);
}

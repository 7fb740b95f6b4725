/*
 * A guest's filesystem with broken bytes: whatever is read of it, nothing worse than an error may
 * come of it. SPDX-License-Identifier: BSD-2-Clause
 *
 *     guest-flip IMAGE BYTES TRIALS
 *
 * Each trial changes some of the first BYTES of a raw image, where it is not empty, looks at all
 * files, and puts the bytes back. What is changed follows from the trial's number.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libimg.h"

#define UNIT 32u /* bytes; those that are zero are left so */
#define FLIPS_MAX 12u
#define DEPTH_MAX 25u /* directories may hold themselves */
#define ENTRIES_MAX 3000u
#define READS_MAX 6u
#define SECONDS_MAX 120u /* of a trial; more is taken for a hang */

static struct {
    int fd;
    uint64_t *places, count; /* of units that are not zero */
    uint64_t random;
    unsigned entries, errors;
    uint8_t buffer[200000];
} state;

static uint64_t next_random(void)
{
    state.random = state.random * 6364136223846793005u + 1442695040888963407u;
    return state.random >> 33;
}

static bool failed(int rc)
{
    state.errors += rc < 0;
    return rc < 0;
}

/* ------------------------------------------------------------------- looking */

static void read_file(img_fs *fs, uint64_t inode)
{
    img_file *file;
    uint64_t at = 0;

    if (failed(img_file_open(&file, fs, inode, NULL)))
        return;
    for (unsigned n = 0; n < READS_MAX; n++) {
        size_t length = sizeof(state.buffer);

        if (failed(img_file_read(file, at, state.buffer, &length, NULL)) || length == 0)
            break;
        at = at * 2 + 70000;
    }
    img_file_close(file);
}

static bool look_at_file(img_fs *fs, uint64_t inode)
{
    char *target = NULL;
    img_stat stat;

    if (failed(img_fs_stat(fs, inode, &stat, NULL)))
        return false;
    if (S_ISREG(stat.mode))
        read_file(fs, inode);
    if (S_ISLNK(stat.mode))
        failed(img_fs_readlink(fs, inode, &target, NULL));
    img_free(target);
    return S_ISDIR(stat.mode);
}

static void look_at_directory(img_fs *fs, uint64_t inode, unsigned depth)
{
    img_dirent entry;
    img_dir *dir;

    if (depth == DEPTH_MAX || failed(img_dir_open(&dir, fs, inode, NULL)))
        return;
    for (size_t n = 0; state.entries < ENTRIES_MAX && img_dir_entry(dir, n, &entry); n++) {
        state.entries++;
        if (look_at_file(fs, entry.inode))
            look_at_directory(fs, entry.inode, depth + 1);
    }
    img_dir_close(dir);
}

static void look_at_guest(img_guest *guest)
{
    img_free_space *space;
    img_fs_usage usage;
    img_fs *fs;

    if (failed(img_guest_fs(guest, "/dev/sda", &fs, NULL)))
        return;
    look_at_directory(fs, img_fs_root(fs), 0);
    failed(img_fs_usage_of(fs, &usage, NULL));
    if (!failed(img_free_space_find(&space, guest, 0, 0, NULL)))
        img_free_space_free(space);
}

static void look(const char *name)
{
    img_guest_params params = {.flags = IMG_GUEST_NO_APPLIANCE};
    img_image *image;
    img_guest *guest;

    if (failed(img_open(&image, name, &(img_open_params){.format = "raw"}, NULL)))
        return;
    if (!failed(img_guest_open(&guest, &image, 1, &params, NULL))) {
        look_at_guest(guest);
        img_guest_close(guest);
    }
    img_close(image, NULL);
}

/* ------------------------------------------------------------------ breaking */

static void find_places(uint64_t limit)
{
    static const uint8_t zeros[UNIT];
    uint8_t unit[UNIT];

    state.places = calloc(limit / UNIT + 1, sizeof(*state.places));
    for (uint64_t at = 0; state.places && at + UNIT <= limit; at += UNIT) {
        if (pread(state.fd, unit, UNIT, (off_t)at) == UNIT && memcmp(unit, zeros, UNIT) != 0)
            state.places[state.count++] = at;
    }
}

/* What a filesystem is told by stays: it is not about others. */
static bool is_magic(uint64_t at)
{
    return (at >= 3 && at < 11) || (at >= 54 && at < 62) || (at >= 82 && at < 90) || at == 510 ||
           at == 511 || (at >= 32768 && at < 32774);
}

/* One trial. False: the image cannot be written. */
static bool try(const char *name)
{
    struct {
        uint64_t at;
        uint8_t byte;
    } old[FLIPS_MAX];
    unsigned count = 0, wanted = 1 + (unsigned)(next_random() % FLIPS_MAX);
    bool written = true;

    while (written && count < wanted) {
        uint64_t any = state.places[next_random() % state.count];
        uint64_t at = next_random() % 3 == 0 ? next_random() % 512 : any + next_random() % UNIT;
        uint64_t random = next_random();
        uint8_t byte;

        if (is_magic(at) || pread(state.fd, &byte, 1, (off_t)at) != 1)
            continue;
        old[count].at = at;
        old[count++].byte = byte;
        byte = (uint8_t)(random % 4 == 0 ? 0xff : byte ^ 1u << random % 8);
        written = pwrite(state.fd, &byte, 1, (off_t)at) == 1;
    }
    look(name);
    while (count-- > 0)
        written = pwrite(state.fd, &old[count].byte, 1, (off_t)old[count].at) == 1 && written;
    return written;
}

int main(int argc, char **argv)
{
    unsigned trials = argc == 4 ? (unsigned)atoi(argv[3]) : 0, entries = 0;

    state.fd = trials > 0 ? open(argv[1], O_RDWR) : -1;
    if (state.fd < 0)
        return 2;
    find_places(strtoull(argv[2], NULL, 0));
    if (state.count == 0)
        return 2;
    look(argv[1]);
    if (state.entries == 0)
        return 2; /* it was not whole before */
    for (unsigned n = 0; n < trials; n++) {
        state.random = n * 7919u + 1;
        entries += state.entries;
        state.entries = 0;
        alarm(SECONDS_MAX);
        if (!try(argv[1]))
            return 2;
    }
    printf("%u trials: %u entries, %u errors\n", trials, entries, state.errors);
    free(state.places);
    close(state.fd);
    return state.errors == 0; /* nothing was broken then */
}

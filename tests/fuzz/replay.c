/*
 * Every seed in fixtures/fuzz, as it is and with a few bytes changed: what fuzzing has found stays
 * found, and no format is without seeds. SPDX-License-Identifier: BSD-2-Clause
 *
 *     replay [FORMAT FILE...]
 *
 * With arguments it replays these files alone, for what a fuzzer has left behind.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "libimg.h"

#define SEED_MAX (1u << 20)
#define PATH_BYTES 4096
#define CHANGED 40 /* variants of a seed */
#define CHANGES 4  /* bytes changed in each, at most */

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static uint8_t *load(const char *path, size_t *length)
{
    uint8_t *bytes = malloc(SEED_MAX);
    FILE *file = fopen(path, "rb");

    if (!file || !bytes) {
        perror(path);
        exit(1);
    }
    *length = fread(bytes, 1, SEED_MAX, file);
    fclose(file);
    return bytes;
}

/* Headers lie at the front in most formats, and at the end in some. */
static void change(uint8_t *bytes, size_t length, uint32_t *seed)
{
    static const uint8_t extremes[] = {0, 1, 0x7f, 0x80, 0xff};
    size_t near = length < 1024 ? length : 1024;

    for (uint32_t n = 1 + next(seed) % CHANGES; n > 0; n--) {
        size_t at = next(seed) % near;

        if (next(seed) % 3 == 0)
            at = length - 1 - at;
        if (next(seed) % 4 == 0)
            at = next(seed) % length;
        bytes[at] = extremes[next(seed) % sizeof(extremes)];
    }
}

static void replay(const char *format, const char *path, bool variants)
{
    size_t length;
    uint8_t *bytes = load(path, &length), *changed = malloc(SEED_MAX);
    uint32_t seed = 1;

    if (!changed)
        exit(1);
    printf("-- %s %s\n", format, path);
    fflush(stdout);
    fuzz_seed(format, bytes, length);
    for (unsigned i = 0; variants && length > 0 && i < CHANGED; i++) {
        memcpy(changed, bytes, length);
        change(changed, length, &seed);
        fuzz_seed(format, changed, length);
    }
    free(changed);
    free(bytes);
}

/* Returns the number of seeds. */
static unsigned replay_format(const char *fixtures, const char *format)
{
    char path[PATH_BYTES];
    unsigned seeds = 0;
    DIR *folder;

    snprintf(path, sizeof(path), "%s/fuzz/%s", fixtures, format);
    folder = opendir(path);
    if (!folder)
        return 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/fuzz/%s/%s", fixtures, format, entry->d_name);
        replay(format, path, true);
        seeds++;
    }
    closedir(folder);
    return seeds;
}

/* Returns 1 when the format has no seeds. */
static int replay_all(const char *fixtures, const char *format)
{
    if (replay_format(fixtures, format) > 0)
        return 0;
    printf("%s/fuzz/%s: no seeds\n", fixtures, format);
    return 1;
}

/* These are no formats of disks, so they are not in the list. */
static const char *const others[] = {"ova", "cowd", "sesparse"};

static int replay_fixtures(void)
{
    const char *srcdir = getenv("srcdir"), *format;
    char fixtures[PATH_BYTES / 2];
    int status = 0;

    snprintf(fixtures, sizeof(fixtures), "%s/fixtures", srcdir ? srcdir : ".");
    for (size_t n = 0; n < sizeof(others) / sizeof(others[0]); n++)
        status |= replay_all(fixtures, others[n]);
    for (size_t n = 0; (format = img_format_name(n)); n++)
        if (strcmp(format, "raw") != 0)
            status |= replay_all(fixtures, format);
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return replay_fixtures();
    for (int i = 2; i < argc; i++)
        replay(argv[1], argv[i], false);
    return 0;
}

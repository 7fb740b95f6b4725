/*
 * The directory where the images of a test lie, and files that are made up in memory.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "malformed.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Automake's word for "this test could not be run as it should". */
#define STATUS_HARD_ERROR 99

static void give_up(const char *what, const char *name)
{
    fprintf(stderr, "%s %s: %s\n", what, name, strerror(errno));
    exit(STATUS_HARD_ERROR);
}

void workshop_enter(void)
{
    const char *source = getenv("srcdir"), *tmp = getenv("TMPDIR");
    char fixtures[PATH_MAX], directory[PATH_MAX], *real;

    snprintf(fixtures, sizeof(fixtures), "%s/fixtures", source ? source : ".");
    real = realpath(fixtures, NULL);
    if (!real)
        give_up("find", fixtures);
    snprintf(directory, sizeof(directory), "%s/img-malformed.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(directory) || chdir(directory) < 0 || symlink(real, "fixtures") < 0)
        give_up("make", directory);
    free(real);
}

void workshop_empty(void)
{
    DIR *list = opendir(".");
    struct dirent *entry;

    if (!list)
        give_up("list", ".");
    while ((entry = readdir(list)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
            strcmp(entry->d_name, "fixtures"))
            remove(entry->d_name);
    closedir(list);
}

void workshop_leave(void)
{
    char *directory = getcwd(NULL, 0);

    workshop_empty();
    remove("fixtures");
    if (!directory || chdir("/") < 0 || rmdir(directory) < 0)
        give_up("remove", directory ? directory : ".");
    free(directory);
}

struct file file_zeros(size_t length)
{
    struct file file = {.bytes = calloc(1, length ? length : 1), .length = length};

    if (!file.bytes)
        give_up("memory for", "a file");
    return file;
}

struct file file_load(const char *path)
{
    struct stat facts;
    struct file file;
    FILE *stream = fopen(path, "rbe");

    if (!stream || fstat(fileno(stream), &facts) < 0)
        give_up("open", path);
    file = file_zeros((size_t)facts.st_size);
    if (fread(file.bytes, 1, file.length, stream) != file.length)
        give_up("read", path);
    fclose(stream);
    return file;
}

struct file file_fixture(const char *name)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "fixtures/%s", name);
    return file_load(path);
}

struct file file_copy(const struct file *file)
{
    struct file copy = file_zeros(file->length);

    memcpy(copy.bytes, file->bytes, file->length);
    return copy;
}

void file_free(struct file *file)
{
    free(file->bytes);
    file->bytes = NULL;
    file->length = 0;
}

void file_resize(struct file *file, size_t length)
{
    struct file other = file_zeros(length);

    memcpy(other.bytes, file->bytes, length < file->length ? length : file->length);
    free(file->bytes);
    *file = other;
}

void file_put(const struct file *file, const char *name)
{
    FILE *stream = fopen(name, "wbe");

    if (!stream || fwrite(file->bytes, 1, file->length, stream) != file->length ||
        fclose(stream) != 0)
        give_up("write", name);
}

void file_put_text(const char *name, const char *text)
{
    FILE *stream = fopen(name, "wbe");

    if (!stream || fputs(text, stream) < 0 || fclose(stream) != 0)
        give_up("write", name);
}

static size_t byte_place(unsigned width, unsigned n, bool big_endian)
{
    return big_endian ? width - 1 - n : n;
}

void file_set(struct file *file, size_t offset, unsigned width, bool big_endian, uint64_t value)
{
    for (unsigned n = 0; n < width; n++)
        file->bytes[offset + byte_place(width, n, big_endian)] = (uint8_t)(value >> 8 * n);
}

uint64_t file_get(const struct file *file, size_t offset, unsigned width, bool big_endian)
{
    uint64_t value = 0;

    for (unsigned n = 0; n < width; n++)
        value |= (uint64_t)file->bytes[offset + byte_place(width, n, big_endian)] << 8 * n;
    return value;
}

/*
 * Files as libimg sees them. SPDX-License-Identifier: BSD-2-Clause
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "guest/provider.h"
#include "list.h"

static void put_xattrs(struct list *list, uint64_t inode)
{
    img_error err = {0};
    char *names, **sorted;
    size_t length, count;

    if (img_fs_xattr_names(list->fs, inode, &names, &length, &err) < 0) {
        complain(list, "xattrs", err.message);
        return;
    }
    sorted = sort_names(names, length, &count);
    for (size_t n = 0; n < count; n++) {
        void *value;
        size_t size;

        printf(n ? "," : "");
        if (img_fs_xattr(list->fs, inode, sorted[n], &value, &size, &err) < 0) {
            complain(list, sorted[n], err.message);
            continue;
        }
        put_value(list, sorted[n], value, size);
        img_free(value);
    }
    free(sorted);
    img_free(names);
}

static void put_runs(struct list *list, img_file *file)
{
    img_error err = {0};
    uint64_t size = img_file_size(file), run;

    for (uint64_t at = 0; at < size; at += run) {
        bool hole;

        if (img_file_run(file, at, size - at, &run, &hole, &err) < 0) {
            complain(list, "runs", err.message);
            return;
        }
        printf("%s%" PRIu64, hole ? "-" : "+", run);
    }
}

static void put_content(struct list *list, img_file *file)
{
    img_error err = {0};
    uint64_t at = 0;
    size_t length;

    do {
        length = BUFFER;
        if (img_file_read(file, at, list->buffer, &length, &err) < 0) {
            complain(list, "sha256", err.message);
            return;
        }
        add_to_digest(list, list->buffer, length);
        at += length;
    } while (length == BUFFER);
    put_digest(list);
}

static void put_file(struct list *list, uint64_t inode)
{
    img_error err = {0};
    img_file *file;

    if (!(list->wanted & (1u << RUNS | 1u << SHA256)))
        return;
    if (img_file_open(&file, list->fs, inode, &err) < 0) {
        complain(list, "open", err.message);
        return;
    }
    if (wants(list, RUNS))
        put_runs(list, file);
    if (wants(list, SHA256))
        put_content(list, file);
    img_file_close(file);
}

static void list_file(struct list *list, uint64_t inode);

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const img_dirent *)a)->name, ((const img_dirent *)b)->name);
}

static void list_entries(struct list *list, uint64_t inode)
{
    size_t length = list->length, count = 0;
    img_error err = {0};
    img_dirent *entries, entry;
    img_dir *dir;

    if (img_dir_open(&dir, list->fs, inode, &err) < 0) {
        list->failed = true;
        fprintf(stderr, "%s: %s\n", list->path, err.message);
        return;
    }
    while (img_dir_entry(dir, count, &entry))
        count++;
    entries = calloc(count + 1, sizeof(*entries));
    if (!entries)
        abort();
    for (size_t n = 0; n < count; n++)
        img_dir_entry(dir, n, &entries[n]);
    qsort(entries, count, sizeof(*entries), compare_entries);
    for (size_t n = 0; n < count; n++) {
        uint64_t found = 0;

        push(list, entries[n].name);
        if (img_fs_lookup(list->fs, inode, entries[n].name, &found, &err) < 0 ||
            found != entries[n].inode)
            complain(list, "lookup", "does not find what the directory lists");
        list_file(list, entries[n].inode);
        pop(list, length);
    }
    free(entries);
    img_dir_close(dir);
}

static void list_file(struct list *list, uint64_t inode)
{
    img_error err = {0};
    img_stat stat;
    char *target;

    put_bytes(list->path, list->length);
    if (img_fs_stat(list->fs, inode, &stat, &err) < 0) {
        complain(list, "stat", err.message);
        putchar('\n');
        return;
    }
    put_stat(list, &stat);
    if (S_ISLNK(stat.mode) && wants(list, TARGET)) {
        if (img_fs_readlink(list->fs, inode, &target, &err) < 0) {
            complain(list, "target", err.message);
        } else {
            put_bytes(target, strlen(target));
            img_free(target);
        }
    }
    if (wants(list, XATTRS))
        put_xattrs(list, inode);
    if (S_ISREG(stat.mode))
        put_file(list, inode);
    putchar('\n');
    if (S_ISDIR(stat.mode))
        list_entries(list, inode);
}

static int print_free(void *opaque, uint64_t offset, uint64_t length, img_error *err)
{
    (void)opaque, (void)err;
    printf("%" PRIu64 " %" PRIu64 "\n", offset, length);
    return 0;
}

void list_free(struct list *list)
{
    img_error err = {0};

    if (list->fs->provider->unused(list->fs, print_free, NULL, &err) < 0)
        complain(list, "free", err.message);
}

void list_usage(struct list *list)
{
    img_error err = {0};
    img_fs_usage usage;

    if (img_fs_usage_of(list->fs, &usage, &err) < 0)
        complain(list, "usage", err.message);
    else
        put_usage(&usage);
}

void list_filesystem(struct list *list)
{
    list_file(list, img_fs_root(list->fs));
}

/*
 * Inspection: looking at files. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "../util/text.h"
#include "inspect.h"

/* What is not there is nothing to tell of. */
static void tell(const struct imgi_inspection *in, const char *path, const img_error *err)
{
    if (err->os_errno != ENOENT && err->os_errno != ENOTDIR)
        imgi_guest_notice(in->guest, "%s: %s: %s", in->root->device, path, err->message);
}

static bool find(const struct imgi_inspection *in, const char *path, unsigned flags,
                 img_place *place, img_stat *stat)
{
    img_error err = {0};

    if (img_tree_find(in->tree, path, flags, place, &err) == 0 &&
        img_fs_stat(place->fs, place->inode, stat, &err) == 0)
        return true;
    tell(in, path, &err);
    return false;
}

uint32_t imgi_inspect_type(const struct imgi_inspection *in, const char *path, unsigned flags)
{
    img_place place;
    img_stat stat;

    return find(in, path, flags, &place, &stat) ? stat.mode & S_IFMT : 0;
}

bool imgi_inspect_is_file(const struct imgi_inspection *in, const char *path)
{
    return imgi_inspect_type(in, path, 0) == S_IFREG;
}

bool imgi_inspect_is_dir(const struct imgi_inspection *in, const char *path)
{
    return imgi_inspect_type(in, path, 0) == S_IFDIR;
}

img_file *imgi_inspect_open(const struct imgi_inspection *in, const char *path)
{
    img_error err = {0};
    img_file *file = NULL;
    img_place place;
    img_stat stat;

    if (!find(in, path, 0, &place, &stat) || !S_ISREG(stat.mode))
        return NULL;
    if (img_file_open(&file, place.fs, place.inode, &err) < 0)
        tell(in, path, &err);
    return file;
}

static char *read_all(img_file *file, size_t limit, img_error *err)
{
    size_t length = (size_t)IMGI_MIN(img_file_size(file), limit);
    char *text;

    if (img_file_size(file) > limit) {
        imgi_fail(err, IMG_E_LIMIT, "has more than %zu bytes, and is not read", limit);
        return NULL;
    }
    text = malloc(length + 1);
    if (!text) {
        imgi_fail_nomem(err, "a file");
        return NULL;
    }
    if (img_file_read(file, 0, text, &length, err) < 0) {
        free(text);
        return NULL;
    }
    text[length] = '\0';
    return text;
}

char *imgi_inspect_text(const struct imgi_inspection *in, const char *path, size_t limit)
{
    img_file *file = imgi_inspect_open(in, path);
    img_error err = {0};
    char *text;

    if (!file)
        return NULL;
    text = read_all(file, limit, &err);
    img_file_close(file);
    if (!text)
        tell(in, path, &err);
    return text;
}

img_dir *imgi_inspect_dir(const struct imgi_inspection *in, const char *path)
{
    img_error err = {0};
    img_dir *dir = NULL;
    img_place place;
    img_stat stat;

    if (!find(in, path, 0, &place, &stat) || !S_ISDIR(stat.mode))
        return NULL;
    if (img_dir_open(&dir, place.fs, place.inode, &err) < 0)
        tell(in, path, &err);
    return dir;
}

bool imgi_inspect_is_mounted(const struct imgi_inspection *in, const char *device)
{
    const char *mounted, *path;

    for (size_t n = 0; img_tree_mounted(in->tree, n, &mounted, &path); n++) {
        if (strcmp(mounted, device) == 0)
            return true;
    }
    return false;
}

/* Append the entry that name is in another case. */
static bool add_entry(const struct imgi_inspection *in, struct imgi_text *path, const char *name,
                      size_t length)
{
    img_dir *dir = imgi_inspect_dir(in, path->length ? path->bytes : "/");
    bool found = false;
    img_dirent entry;

    for (size_t n = 0; dir && !found && img_dir_entry(dir, n, &entry); n++) {
        found = strlen(entry.name) == length && strncasecmp(entry.name, name, length) == 0;
        if (found)
            imgi_text_add(path, "/%s", entry.name);
    }
    img_dir_close(dir);
    return found && !path->failed;
}

char *imgi_inspect_any_case(const struct imgi_inspection *in, const char *path)
{
    struct imgi_text found = {0};

    for (path += strspn(path, "/"); *path; path += strspn(path, "/")) {
        size_t length = strcspn(path, "/");

        if (!add_entry(in, &found, path, length)) {
            free(found.bytes);
            return NULL;
        }
        path += length;
    }
    return found.bytes;
}

/*
 * Comparing two files of a guest. SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>
#include <sys/stat.h>

#include "diff.h"

/* ----------------------------------------------------------------- status */

static unsigned compare_times(const struct diff_args *args, const img_stat *a, const img_stat *b)
{
    unsigned what = 0;

    if (args->atime && (a->atime != b->atime || a->atime_nsec != b->atime_nsec))
        what |= DIFF_ATIME;
    if (a->mtime != b->mtime || a->mtime_nsec != b->mtime_nsec)
        what |= DIFF_MTIME;
    if (a->ctime != b->ctime || a->ctime_nsec != b->ctime_nsec)
        what |= DIFF_CTIME;
    return what;
}

static unsigned compare_stat(const struct diff_args *args, const img_stat *a, const img_stat *b)
{
    bool directory = S_ISDIR(a->mode) && S_ISDIR(b->mode);
    unsigned what = 0;

    if (a->mode != b->mode)
        what |= DIFF_MODE;
    if (a->links != b->links && (!directory || args->dir_links))
        what |= DIFF_LINKS;
    if (a->uid != b->uid)
        what |= DIFF_UID;
    if (a->gid != b->gid)
        what |= DIFF_GID;
    if (a->device_major != b->device_major || a->device_minor != b->device_minor)
        what |= DIFF_DEVICE;
    if (a->size != b->size && !directory)
        what |= DIFF_SIZE;
    if (!directory || args->dir_times)
        what |= compare_times(args, a, b);
    return what;
}

/* ------------------------------------------------------ extended attributes */

/* Names, each with its 0 byte. */
struct names {
    char *list;
    size_t length;
};

static bool has_name(const struct names *names, const char *name)
{
    for (size_t at = 0; at < names->length; at += strlen(names->list + at) + 1) {
        if (strcmp(names->list + at, name) == 0)
            return true;
    }
    return false;
}

static int compare_value(const img_place *a, const img_place *b, const char *name, bool *same,
                         img_error errs[2])
{
    void *values[2] = {NULL, NULL};
    size_t lengths[2] = {0, 0};
    int rc = img_fs_xattr(a->fs, a->inode, name, &values[0], &lengths[0], &errs[0]);

    if (rc == 0)
        rc = img_fs_xattr(b->fs, b->inode, name, &values[1], &lengths[1], &errs[1]);
    *same = rc == 0 && lengths[0] == lengths[1] &&
            (lengths[0] == 0 || memcmp(values[0], values[1], lengths[0]) == 0);
    img_free(values[0]);
    img_free(values[1]);
    return rc;
}

/* The same names in another order are the same. */
static int compare_xattrs(const img_place *a, const img_place *b, bool *same, img_error errs[2])
{
    struct names names[2] = {{NULL, 0}, {NULL, 0}};
    int rc = img_fs_xattr_names(a->fs, a->inode, &names[0].list, &names[0].length, &errs[0]);

    if (rc == 0)
        rc = img_fs_xattr_names(b->fs, b->inode, &names[1].list, &names[1].length, &errs[1]);
    *same = rc == 0 && names[0].length == names[1].length;
    for (size_t at = 0; *same && at < names[0].length; at += strlen(names[0].list + at) + 1) {
        const char *name = names[0].list + at;

        *same = has_name(&names[1], name);
        if (*same)
            rc = compare_value(a, b, name, same, errs);
    }
    img_free(names[0].list);
    img_free(names[1].list);
    return rc;
}

/* ---------------------------------------------------------------- content */

/* Two files of one size. */
static int compare_bytes(char *buffer, img_file *const files[2], bool *same, img_error errs[2])
{
    int rc = 0;

    *same = true;
    for (uint64_t at = 0; rc == 0 && *same && at < img_file_size(files[0]); at += DIFF_CHUNK) {
        size_t lengths[2] = {DIFF_CHUNK, DIFF_CHUNK};

        rc = img_file_read(files[0], at, buffer, &lengths[0], &errs[0]);
        if (rc == 0)
            rc = img_file_read(files[1], at, buffer + DIFF_CHUNK, &lengths[1], &errs[1]);
        *same = lengths[0] == lengths[1] && memcmp(buffer, buffer + DIFF_CHUNK, lengths[0]) == 0;
    }
    return rc;
}

static int compare_digests(const char *name, img_file *const files[2], bool *same,
                           img_error errs[2])
{
    char *digits[2] = {NULL, NULL};
    int rc = img_file_digest(files[0], name, &digits[0], &errs[0]);

    if (rc == 0)
        rc = img_file_digest(files[1], name, &digits[1], &errs[1]);
    *same = rc == 0 && strcmp(digits[0], digits[1]) == 0;
    img_free(digits[0]);
    img_free(digits[1]);
    return rc;
}

static int compare_content(const struct diff *diff, const img_place *a, const img_place *b,
                           bool *same, img_error errs[2])
{
    img_file *files[2] = {NULL, NULL};
    int rc = img_file_open(&files[0], a->fs, a->inode, &errs[0]);

    if (rc == 0)
        rc = img_file_open(&files[1], b->fs, b->inode, &errs[1]);
    if (rc == 0)
        rc = diff->args->content ? compare_bytes(diff->buffer, files, same, errs)
                                 : compare_digests(diff->args->show.checksum, files, same, errs);
    img_file_close(files[0]);
    img_file_close(files[1]);
    return rc;
}

static int compare_targets(const img_place *a, const img_place *b, bool *same, img_error errs[2])
{
    char *targets[2] = {NULL, NULL};
    int rc = img_fs_readlink(a->fs, a->inode, &targets[0], &errs[0]);

    if (rc == 0)
        rc = img_fs_readlink(b->fs, b->inode, &targets[1], &errs[1]);
    *same = rc == 0 && strcmp(targets[0], targets[1]) == 0;
    img_free(targets[0]);
    img_free(targets[1]);
    return rc;
}

bool diff_files(struct diff *diff, const struct guest_entry *a, const struct guest_entry *b,
                unsigned *what)
{
    const struct diff_args *args = diff->args;
    uint32_t type = (a->stat.mode ^ b->stat.mode) & S_IFMT ? 0 : a->stat.mode & S_IFMT;
    bool same = true, same_xattrs = true;
    img_error errs[2] = {{0}, {0}}; /* of each machine */
    int failed;
    int rc = 0;

    *what = compare_stat(args, &a->stat, &b->stat);
    if (type == S_IFLNK)
        rc = compare_targets(&a->place, &b->place, &same, errs);
    else if (type == S_IFREG && a->stat.size == b->stat.size &&
             (args->content || args->show.checksum))
        rc = compare_content(diff, &a->place, &b->place, &same, errs);
    if (rc == 0)
        rc = compare_xattrs(&a->place, &b->place, &same_xattrs, errs);
    failed = errs[0].code ? 0 : 1;
    if (rc < 0)
        return guest_fail(&diff->guests[failed], &errs[failed], a->path);
    *what |= (same ? 0u : DIFF_CONTENT) | (same_xattrs ? 0u : DIFF_XATTRS);
    return true;
}

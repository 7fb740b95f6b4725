/*
 * What "img diff" prints. SPDX-License-Identifier: BSD-2-Clause
 *
 * A line a file, as "img ls -lR" has it, with a sign before it. The signs and the line about what
 * has changed are those of virt-diff, found by running it.
 */
#include <ctype.h>
#include <string.h>

#include "diff.h"

/* In the order in which they are said; the first are the members of struct stat. */
static const struct {
    unsigned bit;
    const char *name;
} names[] = {
    {DIFF_MODE, "st_mode"},       {DIFF_LINKS, "st_nlink"},     {DIFF_UID, "st_uid"},
    {DIFF_GID, "st_gid"},         {DIFF_DEVICE, "st_rdev"},     {DIFF_SIZE, "st_size"},
    {DIFF_ATIME, "st_atime_sec"}, {DIFF_MTIME, "st_mtime_sec"}, {DIFF_CTIME, "st_ctime_sec"},
    {DIFF_XATTRS, "xattrs"},      {DIFF_CONTENT, "checksum"},
};

#define COUNT (sizeof(names) / sizeof(names[0]))

static const char *change_name(char sign)
{
    return sign == '-' ? "removed" : sign == '+' ? "added" : "changed";
}

static void show_stat(struct emit *emit, const char *key, const struct guest_entry *entry)
{
    emit_begin(emit, key, '{');
    guest_emit_stat(emit, &entry->stat);
    emit_end(emit, '}');
}

/* a or b is NULL where there is none. */
static void show_json(struct diff *diff, char sign, const struct guest_entry *a,
                      const struct guest_entry *b, unsigned what)
{
    struct emit *emit = &diff->ls.emit;

    emit_begin(emit, NULL, '{');
    emit_string(emit, "change", change_name(sign));
    emit_string(emit, "path", a ? a->path : b->path);
    if (what)
        emit_begin(emit, "differs", '[');
    for (size_t n = 0; n < COUNT; n++) {
        if (what & names[n].bit)
            emit_string(emit, NULL, names[n].name);
    }
    if (what)
        emit_end(emit, ']');
    if (a)
        show_stat(emit, "old", a);
    if (b)
        show_stat(emit, "new", b);
    emit_end(emit, '}');
}

/* "# xattr: user.comment=text" */
static void show_xattrs(const img_place *place)
{
    char *list = NULL;
    size_t length = 0, size;

    if (img_fs_xattr_names(place->fs, place->inode, &list, &length, NULL) < 0)
        return;
    for (size_t at = 0; at < length; at += strlen(list + at) + 1) {
        void *value = NULL;

        printf("# xattr: ");
        guest_name(stdout, list + at);
        if (img_fs_xattr(place->fs, place->inode, list + at, &value, &size, NULL) == 0) {
            putchar('=');
            for (size_t n = 0; n < size; n++)
                putchar(isprint(((unsigned char *)value)[n]) ? ((char *)value)[n] : '?');
        }
        putchar('\n');
        img_free(value);
    }
    img_free(list);
}

static void show_line(struct diff *diff, char sign, const struct guest_entry *entry)
{
    putchar(sign);
    putchar(diff->args->show.csv ? ',' : ' ');
    ls_show(&diff->ls, entry);
    if (diff->args->xattrs && !diff->args->show.csv)
        show_xattrs(&entry->place);
}

void diff_show_one(struct diff *diff, char sign, const struct guest_entry *entry)
{
    diff->differs = true;
    if (diff->cli->json)
        show_json(diff, sign, sign == '-' ? entry : NULL, sign == '+' ? entry : NULL, 0);
    else if (!diff->cli->quiet)
        show_line(diff, sign, entry);
}

static void show_names(unsigned what, char between)
{
    printf("#%cchanged:", between);
    for (size_t n = 0; n < COUNT; n++) {
        if (what & names[n].bit)
            printf("%c%s", between, names[n].name);
    }
    putchar('\n');
}

void diff_show_changed(struct diff *diff, const struct guest_entry *a, const struct guest_entry *b,
                       unsigned what)
{
    diff->differs = true;
    if (diff->cli->json) {
        show_json(diff, '=', a, b, what);
        return;
    }
    if (diff->cli->quiet)
        return;
    show_line(diff, '=', b);
    show_names(what, diff->args->show.csv ? ',' : ' ');
}

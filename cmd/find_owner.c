/*
 * Users and groups of a guest. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "find.h"

#define FILE_MAX (4u << 20)

/* What is in a file of the guest, as a string; NULL after an error was said. */
static char *read_text(struct guest *guest, const char *path)
{
    size_t length = FILE_MAX;
    img_error err = {0};
    img_file *file = NULL;
    img_place place;
    char *text = malloc(FILE_MAX + 1);

    if (!text) {
        cli_fail_nomem(guest->cli);
        return NULL;
    }
    if (img_tree_find(guest->tree, path, 0, &place, &err) < 0 ||
        img_file_open(&file, place.fs, place.inode, &err) < 0 ||
        img_file_read(file, 0, text, &length, &err) < 0) {
        guest_fail(guest, &err, path);
        free(text);
        text = NULL;
    } else {
        text[length] = '\0';
    }
    img_file_close(file);
    return text;
}

static bool parse_id(const char *text, char end, uint64_t *number)
{
    char *rest;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *number = strtoull(text, &rest, 10);
    return errno == 0 && *rest == end;
}

/* "name:password:number:...", a line each */
static bool look_up(const char *text, const char *name, uint64_t *number)
{
    size_t length = strlen(name);

    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        const char *colon;

        if (strncmp(line, name, length) != 0 || line[length] != ':')
            continue;
        colon = strpbrk(line + length + 1, ":\n");
        if (colon && *colon == ':' && parse_id(colon + 1, ':', number))
            return true;
    }
    return false;
}

bool find_owner(struct guest *guest, const char *path, const char *name, uint64_t *number)
{
    char *text, cause[256];
    bool found;

    if (parse_id(name, '\0', number))
        return true;
    text = read_text(guest, path);
    if (!text)
        return false;
    found = look_up(text, name, number);
    free(text);
    snprintf(cause, sizeof(cause), "there is no '%s' in it", name);
    return found || guest_fail_code(guest, IMG_E_NOENT, path, cause);
}

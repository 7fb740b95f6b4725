/*
 * The files of an appliance. SPDX-License-Identifier: BSD-2-Clause
 *
 * In an OVA they are members of the archive; of an OVF they lie beside the document, and nothing
 * else is reached: no other directory, no link that leads away, no URL.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance.h"

void imgi_appliance_file_close(struct imgi_appliance_file *file)
{
    imgi_io_close(file->io);
    imgi_files_free(file->from);
    *file = (struct imgi_appliance_file){0};
}

/* ------------------------------------------------------------------- names */

static int hex(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* A href is a URI: "%20" is a space. The caller frees it; NULL: no memory. */
static char *decode(const char *href)
{
    char *name = strdup(href), *out = name;

    for (const char *at = href; name && *at;) {
        int high = *at == '%' ? hex(at[1]) : -1, low = high >= 0 ? hex(at[2]) : -1;

        if (low >= 0 && (high | low) != 0) {
            *out++ = (char)(high << 4 | low);
            at += 3;
        } else {
            *out++ = *at++;
        }
    }
    if (name)
        *out = '\0';
    return name;
}

int imgi_appliance_path(const struct imgi_appliance *appliance, const char *name, char **path,
                        img_error *err)
{
    return imgi_policy_path(&appliance->policy, appliance->name, "file of the appliance", name,
                            path, err);
}

/* Whether there is a file of that name, and it may be opened. */
static bool exists(const struct imgi_appliance *appliance, const char *name)
{
    char *path = NULL;
    bool found;

    if (appliance->kind == IMGI_APPLIANCE_OVA)
        return imgi_tar_find(&appliance->tar, name);
    found = imgi_appliance_path(appliance, name, &path, NULL) == 0 && access(path, F_OK) == 0;
    free(path);
    return found;
}

/* The name that a href means: as it stands there, or else as a URI. The caller frees it. */
static int resolve(const struct imgi_appliance *appliance, const char *href, char **name,
                   img_error *err)
{
    const char *plain = imgi_tar_plain_name(href, err);
    char *decoded;

    if (!plain)
        return IMG_E_DENIED;
    decoded = decode(plain);
    *name = strdup(plain);
    if (decoded && *name && !exists(appliance, plain) && imgi_tar_plain_name(decoded, NULL) &&
        exists(appliance, decoded)) {
        free(*name);
        *name = decoded;
        return 0;
    }
    free(decoded);
    return *name ? 0 : imgi_fail_nomem(err, "an appliance");
}

void imgi_names_clear(struct imgi_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i]);
    free(names->list);
    *names = (struct imgi_names){0};
}

static int add_name(struct imgi_names *names, char *name, img_error *err)
{
    char **list = realloc(names->list, (names->count + 1) * sizeof(*list));

    if (!list) {
        free(name);
        return imgi_fail_nomem(err, "an appliance");
    }
    names->list = list;
    list[names->count++] = name;
    return 0;
}

/*
 * A file in chunks (OVF 1.1, 7.1): href.000000000, href.000000001 and so on. Their number follows
 * from the sizes; where the size is not said they go on as long as there is one.
 */
static int add_chunks(const struct imgi_appliance *appliance, const struct imgi_ovf_file *file,
                      const char *name, struct imgi_names *names, img_error *err)
{
    uint64_t count;
    int rc;

    if (file->chunk_size == 0)
        return imgi_fail(err, IMG_E_CORRUPT, "File '%s': chunkSize is 0", file->id);
    count = file->has_size ? imgi_div_up(file->size, file->chunk_size) : UINT64_MAX;
    for (uint64_t n = 0; n < count; n++) {
        char *chunk = NULL;

        rc = imgi_policy_limit(&appliance->policy, IMG_LIMIT_EXTENTS, file->has_size ? count : n,
                               "chunks of a file", err);
        if (rc < 0)
            return rc;
        if (asprintf(&chunk, "%s.%09llu", name, (unsigned long long)n) < 0)
            return imgi_fail_nomem(err, "an appliance");
        if (n > 0 && !file->has_size && !exists(appliance, chunk)) {
            free(chunk);
            break;
        }
        rc = add_name(names, chunk, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int imgi_appliance_names(const struct imgi_appliance *appliance, const struct imgi_ovf_file *file,
                         struct imgi_names *names, img_error *err)
{
    char *name = NULL;
    int rc = resolve(appliance, file->href, &name, err);

    *names = (struct imgi_names){0};
    if (rc == 0 && file->chunked) {
        rc = add_chunks(appliance, file, name, names, err);
        free(name);
    } else if (rc == 0) {
        rc = add_name(names, name, err);
    }
    if (rc < 0)
        imgi_names_clear(names);
    return rc;
}

static bool has_name(const struct imgi_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->list[i], name) == 0)
            return true;
    }
    return false;
}

/* Add the file, unless it lies elsewhere: then the user has named it, and no image. */
static int add_beside(const struct imgi_appliance *appliance, const char *path,
                      struct imgi_names *names, img_error *err)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    struct stat named, found;
    char *beside, *copy;
    bool same;

    if (has_name(names, name) || imgi_appliance_path(appliance, name, &beside, NULL) < 0)
        return 0;
    same = stat(path, &named) == 0 && stat(beside, &found) == 0 && named.st_dev == found.st_dev &&
           named.st_ino == found.st_ino;
    free(beside);
    if (!same)
        return 0;
    copy = strdup(name);
    return copy ? add_name(names, copy, err) : imgi_fail_nomem(err, "an appliance");
}

int imgi_appliance_disk_names(const struct imgi_node *node, struct imgi_names *names, size_t *own,
                              img_error *err)
{
    const struct imgi_appliance *appliance = node->appliance;
    const struct imgi_ovf_disk *disk = &appliance->ovf.disks[node->appliance_disk];
    int rc = imgi_appliance_names(appliance, disk->file, names, err);
    size_t first;

    *own = names->count;
    if (appliance->kind == IMGI_APPLIANCE_OVA) /* what is inside reaches nothing else */
        return rc;
    /* The disk's bytes, the document, and the files of the File come first (open.c). */
    first = 2 + names->count;
    for (; rc == 0 && node; node = node->backing, first = 0)
        for (size_t i = first; rc == 0 && i < node->files->count; i++)
            rc = add_beside(appliance, node->files->list[i].path, names, err);
    if (rc < 0)
        imgi_names_clear(names);
    return rc;
}

/* ------------------------------------------------------------------- bytes */

/* Where the file of that name is; what has to be opened for it goes to `from`. */
static int find_part(const struct imgi_appliance *appliance, const char *name,
                     struct imgi_files *from, struct imgi_io_part *part, img_error *err)
{
    const struct imgi_tar_member *member;
    char *path = NULL;
    int rc;

    if (appliance->kind == IMGI_APPLIANCE_OVA) {
        member = imgi_tar_find(&appliance->tar, name);
        if (!member)
            return imgi_fail(err, IMG_E_NOENT, "the archive has no member '%s'", name);
        *part = (struct imgi_io_part){appliance->io, member->offset, member->size};
        return 0;
    }
    *part = (struct imgi_io_part){0};
    rc = imgi_appliance_path(appliance, name, &path, err);
    if (rc == 0)
        rc = imgi_file_open(&part->io, path, IMGI_IO_NO_FOLLOW, err);
    if (rc == 0)
        rc = imgi_files_add(from, part->io, path, err);
    if (rc == 0)
        rc = imgi_io_size(part->io, &part->length, err);
    if (rc < 0)
        imgi_error_image(err, path ? path : name);
    free(path);
    return rc;
}

/* All chunks but the last have the size that they should have. */
static int check_chunk(const struct imgi_ovf_file *of, const struct imgi_names *names, size_t n,
                       uint64_t length, img_error *err)
{
    if (!of || !of->chunked || n + 1 == names->count || length == of->chunk_size)
        return 0;
    return imgi_fail(err, IMG_E_CORRUPT, "chunk '%s' has %llu bytes instead of %llu",
                     names->list[n], (unsigned long long)length,
                     (unsigned long long)of->chunk_size);
}

/* The files of these names, one behind the other. of: whose chunks they are, or NULL. */
static int open_names(const struct imgi_appliance *appliance, const struct imgi_ovf_file *of,
                      const struct imgi_names *names, struct imgi_appliance_file *file,
                      img_error *err)
{
    struct imgi_io_part *parts = calloc(names->count + 1, sizeof(*parts));
    int rc = parts ? 0 : imgi_fail_nomem(err, "an appliance");

    *file = (struct imgi_appliance_file){.from = imgi_files_new(0, err)};
    if (rc == 0 && !file->from)
        rc = IMG_E_NOMEM;
    for (size_t i = 0; rc == 0 && i < names->count; i++) {
        rc = find_part(appliance, names->list[i], file->from, &parts[i], err);
        if (rc == 0)
            rc = check_chunk(of, names, i, parts[i].length, err);
    }
    if (rc == 0)
        rc = imgi_joined_new(&file->io, appliance->name, parts, names->count, err);
    free(parts);
    if (rc < 0)
        imgi_appliance_file_close(file);
    return rc;
}

int imgi_appliance_file(const struct imgi_appliance *appliance, const char *name,
                        struct imgi_appliance_file *file, img_error *err)
{
    char *plain = NULL;
    int rc = resolve(appliance, name, &plain, err);
    const struct imgi_names names = {&plain, 1};

    *file = (struct imgi_appliance_file){0};
    if (rc == 0)
        rc = open_names(appliance, NULL, &names, file, err);
    free(plain);
    return rc;
}

static int refuse_unreadable(const struct imgi_ovf_disk *disk, img_error *err)
{
    if (!disk->file)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "it has no file: it is an empty disk, made when the appliance is "
                         "deployed");
    if (disk->parent)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "it stands on another disk, '%s' (parentRef), which is not supported",
                         disk->parent);
    if (disk->file->compression && strcmp(disk->file->compression, "identity") != 0 &&
        disk->file->compression[0])
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "its file '%s' is compressed as a whole (%s), which can only be read from "
                         "its beginning: unpack it first",
                         disk->file->href, disk->file->compression);
    return 0;
}

int imgi_appliance_open_disk(const struct imgi_appliance *appliance, size_t index,
                             struct imgi_appliance_file *file, img_error *err)
{
    const struct imgi_ovf_disk *disk = &appliance->ovf.disks[index];
    struct imgi_names names = {0};
    int rc = refuse_unreadable(disk, err);

    if (rc == 0)
        rc = imgi_appliance_names(appliance, disk->file, &names, err);
    if (rc == 0)
        rc = open_names(appliance, disk->file, &names, file, err);
    imgi_names_clear(&names);
    if (rc < 0)
        imgi_error_prefix(err, "disk %zu ('%s')", index + 1, disk->id);
    return rc;
}

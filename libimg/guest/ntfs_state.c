/*
 * NTFS: the volume as a whole. SPDX-License-Identifier: BSD-2-Clause
 *
 * What Windows has not written yet may stand in the log, or in the memory that a hibernated one
 * has saved: then the bitmap of clusters is not to be trusted.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ntfs.h"

/* What a volume says of itself, in bytes. */
#define FLAGS 10u
#define DIRTY 0x01u

/* A restart page of the log, in bytes, of which there are two. */
#define PAGE 4096u
#define AREA 24u
/* The restart area in it. */
#define NEWEST 0u
#define CLIENTS_IN_USE 12u
#define AREA_FLAGS 14u
#define CLEAN 0x02u
#define AREA_SIZE 16u
#define NO_CLIENT 0xffffu

#define HIBERNATION "hiberfil.sys"

/* The unnamed data of a file, and its first `length` bytes at most. */
static int read_head(const struct imgi_ntfs *ntfs, uint64_t number, uint8_t *head, size_t *length,
                     img_error *err)
{
    struct imgi_ntfs_record record;
    struct imgi_ntfs_stream data = {0};
    bool found = false;
    int rc = imgi_ntfs_file_record(ntfs, number, &record, err);

    if (rc == 0)
        rc = imgi_ntfs_stream_open(ntfs, &record, IMGI_NTFS_DATA, "", &data, &found, err);
    *length = found && !data.compressed ? (size_t)IMGI_MIN(*length, data.size) : 0;
    if (rc == 0 && *length > 0)
        rc = imgi_ntfs_stream_read(ntfs, &data, 0, head, *length, err);
    imgi_ntfs_stream_free(&data);
    return rc;
}

/* -------------------------------------------------------------------- the log */

/* Whether a page is one; *newest tells which of two is the later. */
static bool look_at_page(const uint8_t *page, uint64_t *newest, bool *clean)
{
    unsigned at = imgi_get_le16(page + AREA);

    *newest = 0;
    *clean = false;
    if (memcmp(page, "RSTR", 4) != 0 || at > PAGE - AREA_SIZE)
        return false;
    *newest = imgi_get_le64(page + at + NEWEST);
    *clean = imgi_get_le16(page + at + CLIENTS_IN_USE) == NO_CLIENT ||
             imgi_get_le16(page + at + AREA_FLAGS) & CLEAN;
    return true;
}

static int look_at_log(const struct imgi_ntfs *ntfs, bool *clean, img_error *err)
{
    uint8_t pages[2 * PAGE];
    size_t length = sizeof(pages);
    uint64_t newest[2];
    bool cleans[2], are[2];
    int rc = read_head(ntfs, IMGI_NTFS_FILE_LOG, pages, &length, err);

    *clean = true;
    if (rc < 0 || length < sizeof(pages) || imgi_get_le32(pages) == UINT32_MAX)
        return rc; /* a new log is all ones */
    for (unsigned n = 0; n < 2; n++)
        are[n] = look_at_page(pages + n * PAGE, &newest[n], &cleans[n]);
    if (are[0] && are[1])
        *clean = newest[0] == newest[1] ? cleans[0] && cleans[1] : cleans[newest[1] > newest[0]];
    else
        *clean = (are[0] && cleans[0]) || (are[1] && cleans[1]);
    return rc;
}

/* --------------------------------------------------------------- hibernation */

static int find_hibernation(void *opaque, const char *name, size_t length, uint64_t inode,
                            uint32_t attributes, img_error *err)
{
    uint64_t *found = opaque;

    (void)length, (void)attributes, (void)err;
    if (strcasecmp(name, HIBERNATION) != 0)
        return 0;
    *found = inode;
    return 1;
}

static int look_at_hibernation(const struct imgi_ntfs *ntfs, bool *hibernated, img_error *err)
{
    struct imgi_ntfs_record root;
    uint8_t head[4];
    size_t length = sizeof(head);
    uint64_t inode = 0;
    int rc = imgi_ntfs_file_record(ntfs, IMGI_NTFS_FILE_ROOT, &root, err);

    *hibernated = false;
    if (rc == 0)
        rc = imgi_ntfs_list(ntfs, &root, find_hibernation, &inode, err);
    if (rc < 0 || inode == 0)
        return rc;
    rc = read_head(ntfs, inode, head, &length, err);
    *hibernated = rc == 0 && length == sizeof(head) && strncasecmp((char *)head, "hibr", 4) == 0;
    return rc;
}

int imgi_ntfs_state(const struct imgi_ntfs *ntfs, char **reason, img_error *err)
{
    struct imgi_ntfs_record volume;
    const char *text = NULL;
    bool clean = true, hibernated = false;
    const uint8_t *information;
    size_t length;
    int rc = imgi_ntfs_file_record(ntfs, IMGI_NTFS_FILE_VOLUME, &volume, err);

    *reason = NULL;
    if (rc < 0)
        return rc;
    information = imgi_ntfs_resident(&volume, IMGI_NTFS_VOLUME_INFORMATION, &length);
    rc = look_at_log(ntfs, &clean, err);
    if (rc == 0)
        rc = look_at_hibernation(ntfs, &hibernated, err);
    if (rc < 0)
        return rc;
    if (hibernated)
        text = "Windows is hibernated: what it has not written yet is missing";
    else if (!clean)
        text = "its log has not been played back: the last changes are missing";
    else if (!information || length < FLAGS + 2 || imgi_get_le16(information + FLAGS) & DIRTY)
        text = "it is marked as in need of a check";
    if (text && !(*reason = strdup(text)))
        return imgi_fail_nomem(err, "a filesystem");
    return 0;
}

/* ---------------------------------------------------------------- free clusters */

struct finder {
    struct imgi_ntfs *ntfs;
    imgi_unused_fn *unused;
    void *opaque;
    uint64_t count, first, free; /* of clusters; the run that goes on */
};

static int end_run(struct finder *finder, img_error *err)
{
    uint64_t size = finder->ntfs->cluster_size, length = finder->free * size;

    finder->count += finder->free;
    finder->free = 0;
    if (length == 0 || !finder->unused)
        return 0;
    return finder->unused(finder->opaque, finder->first * size, length, err);
}

static int add_bits(struct finder *finder, uint64_t first, const uint8_t *bits, size_t count,
                    img_error *err)
{
    for (size_t n = 0; n < count; n++) {
        bool free = !(bits[n / 8] >> n % 8 & 1);
        int rc;

        if (free && finder->free++ == 0)
            finder->first = first + n;
        if (!free && finder->free > 0 && (rc = end_run(finder, err)) < 0)
            return rc;
    }
    return 0;
}

static int find_free(struct finder *finder, const struct imgi_ntfs_stream *bitmap, img_error *err)
{
    const struct imgi_ntfs *ntfs = finder->ntfs;
    uint8_t part[4096];
    int rc = 0;

    if (bitmap->size < imgi_div_up(ntfs->clusters, 8) || bitmap->valid < bitmap->size ||
        bitmap->compressed)
        return imgi_fail(err, IMG_E_CORRUPT, "its bitmap of clusters is too short");
    for (uint64_t at = 0; rc == 0 && at < ntfs->clusters; at += sizeof(part) * 8) {
        size_t count = (size_t)IMGI_MIN(sizeof(part) * 8, ntfs->clusters - at);

        rc = imgi_ntfs_stream_read(ntfs, bitmap, at / 8, part, imgi_div_up(count, 8), err);
        if (rc == 0)
            rc = add_bits(finder, at, part, count, err);
    }
    return rc < 0 ? rc : end_run(finder, err);
}

int imgi_ntfs_unused(struct imgi_ntfs *ntfs, imgi_unused_fn *unused, void *opaque, img_error *err)
{
    struct finder finder = {.ntfs = ntfs, .unused = unused, .opaque = opaque};
    struct imgi_ntfs_record record;
    struct imgi_ntfs_stream bitmap = {0};
    bool found;
    int rc = imgi_ntfs_file_record(ntfs, IMGI_NTFS_FILE_BITMAP, &record, err);

    if (rc == 0)
        rc = imgi_ntfs_stream_open(ntfs, &record, IMGI_NTFS_DATA, "", &bitmap, &found, err);
    if (rc == 0)
        rc = find_free(&finder, &bitmap, err);
    imgi_ntfs_stream_free(&bitmap);
    if (rc == 0) {
        ntfs->free_clusters = finder.count;
        ntfs->counted = true;
    }
    return rc;
}

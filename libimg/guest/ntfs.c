/*
 * What NTFS holds. SPDX-License-Identifier: BSD-2-Clause
 *
 * Files are shown as ntfs-3g shows them by default: names are told apart by case, everybody may do
 * everything, system files are hidden. Named streams are not shown.
 */
#include "ntfs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Times in the standard information, in bytes. */
#define CREATED 0u
#define MODIFIED 8u
#define CHANGED 16u
#define ACCESSED 24u
#define INFORMATION 36u
#define EPOCH 11644473600 /* 1970, in seconds from 1601 */
#define TICKS 10000000u   /* a second */

static bool reads(const char *content)
{
    return strcmp(content, "ntfs") == 0;
}

static int open_fs(img_fs *fs, img_error *err)
{
    struct imgi_ntfs *ntfs = calloc(1, sizeof(*ntfs));
    int rc;

    if (!ntfs)
        return imgi_fail_nomem(err, "a filesystem");
    fs->state = ntfs;
    fs->root = IMGI_NTFS_FILE_ROOT;
    ntfs->volume = fs->volume;
    rc = imgi_ntfs_super(ntfs, err);
    return rc < 0 ? rc : imgi_ntfs_state(ntfs, &fs->warning, err);
}

static void close_fs(img_fs *fs)
{
    struct imgi_ntfs *ntfs = fs->state;

    if (ntfs)
        imgi_runs_free(&ntfs->mft);
    free(ntfs);
}

static int usage_of(img_fs *fs, img_fs_usage *usage, img_error *err)
{
    struct imgi_ntfs *ntfs = fs->state;
    int rc = ntfs->counted ? 0 : imgi_ntfs_unused(ntfs, NULL, NULL, err);

    usage->block_size = ntfs->cluster_size;
    usage->blocks = ntfs->clusters;
    usage->blocks_free = usage->blocks_available = ntfs->free_clusters;
    usage->name_max = IMGI_NAME_UNITS;
    return rc;
}

static int find_unused(img_fs *fs, imgi_unused_fn *unused, void *opaque, img_error *err)
{
    if (fs->warning)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "%s", fs->warning);
    return imgi_ntfs_unused(fs->state, unused, opaque, err);
}

/* --------------------------------------------------------------------- inodes */

/* A file's own record: one that others of it are named in. */
static int record_of(img_fs *fs, uint64_t inode, struct imgi_ntfs_record *record, img_error *err)
{
    return imgi_ntfs_file_record(fs->state, inode, record, err);
}

static void set_time(const uint8_t *at, int64_t *seconds, uint32_t *nsec)
{
    uint64_t ticks = imgi_get_le64(at);

    *seconds = (int64_t)(ticks / TICKS) - EPOCH;
    *nsec = (uint32_t)(ticks % TICKS * 100);
}

static void set_times(const struct imgi_ntfs_record *record, img_stat *stat)
{
    size_t length;
    const uint8_t *information = imgi_ntfs_resident(record, IMGI_NTFS_INFORMATION, &length);

    if (!information || length < INFORMATION)
        return;
    set_time(information + CREATED, &stat->btime, &stat->btime_nsec);
    set_time(information + MODIFIED, &stat->mtime, &stat->mtime_nsec);
    set_time(information + CHANGED, &stat->ctime, &stat->ctime_nsec);
    set_time(information + ACCESSED, &stat->atime, &stat->atime_nsec);
}

static int set_size(const struct imgi_ntfs *ntfs, const struct imgi_ntfs_record *record,
                    img_stat *stat, img_error *err)
{
    struct imgi_ntfs_stream stream;
    bool found;
    int rc = imgi_ntfs_stream_open(ntfs, record,
                                   record->directory ? IMGI_NTFS_INDEX_ALLOCATION : IMGI_NTFS_DATA,
                                   record->directory ? "$I30" : "", &stream, &found, err);

    if (rc == 0) {
        stat->size = stream.size;
        stat->allocated = stream.data_bytes;
    }
    imgi_ntfs_stream_free(&stream);
    return rc;
}

static int stat_inode(img_fs *fs, uint64_t inode, img_stat *stat, img_error *err)
{
    struct imgi_ntfs_record record;
    char *target = NULL;
    uint32_t mode;
    int rc = record_of(fs, inode, &record, err);

    if (rc == 0)
        rc = imgi_ntfs_special(fs->state, &record, &mode, &target, err);
    if (rc == 0)
        rc = set_size(fs->state, &record, stat, err);
    if (rc == 0) {
        set_times(&record, stat);
        stat->mode = mode | 0777;
        stat->links = record.directory ? 1 : record.links;
        if (S_ISLNK(mode))
            stat->size = target ? strlen(target) : 0;
    }
    free(target);
    return rc;
}

static int readlink_of(img_fs *fs, uint64_t inode, char **target, img_error *err)
{
    struct imgi_ntfs_record record;
    uint32_t mode;
    int rc = record_of(fs, inode, &record, err);

    if (rc == 0)
        rc = imgi_ntfs_special(fs->state, &record, &mode, target, err);
    if (rc < 0)
        return rc;
    if (!S_ISLNK(mode))
        return imgi_fail_errno(err, EINVAL, "inode %" PRIu64 " is no symbolic link", inode);
    if (!*target)
        return imgi_fail_errno(
            err, EOPNOTSUPP, "inode %" PRIu64 ": the link leads to no path of this volume", inode);
    return 0;
}

struct list {
    imgi_entry_fn *entry;
    void *opaque;
};

static int give_entry(void *opaque, const char *name, size_t length, uint64_t inode,
                      uint32_t attributes, img_error *err)
{
    const struct list *list = opaque;
    uint32_t mode = attributes & IMGI_NTFS_DIRECTORY ? S_IFDIR : S_IFREG;

    if (attributes & (IMGI_NTFS_SYSTEM | IMGI_NTFS_REPARSE_POINT))
        mode = 0; /* a link perhaps */
    return list->entry(list->opaque, name, length, inode, mode, err);
}

static int list(img_fs *fs, uint64_t directory, imgi_entry_fn *entry, void *opaque, img_error *err)
{
    struct list list = {entry, opaque};
    struct imgi_ntfs_record record;
    int rc = record_of(fs, directory, &record, err);

    return rc < 0 ? rc : imgi_ntfs_list(fs->state, &record, give_entry, &list, err);
}

/* ---------------------------------------------------------------------- files */

struct open_file {
    struct imgi_ntfs_stream stream;
    uint8_t *packed, *unit; /* compressed: of a unit's size each */
    uint64_t unit_at;       /* which one that is */
    bool unit_valid;
};

static int file_open(img_file *file, img_error *err)
{
    struct imgi_ntfs_record record;
    struct open_file *open;
    bool found;
    int rc = record_of(file->fs, file->inode, &record, err);

    if (rc == 0 && record.directory)
        return imgi_fail_errno(err, EISDIR, "inode %" PRIu64, file->inode);
    if (rc == 0)
        rc = imgi_ntfs_check_plain(file->fs->state, &record, err);
    if (rc < 0)
        return rc;
    file->state = open = calloc(1, sizeof(*open));
    if (!open)
        return imgi_fail_nomem(err, "a file");
    rc = imgi_ntfs_stream_open(file->fs->state, &record, IMGI_NTFS_DATA, "", &open->stream, &found,
                               err);
    if (rc == 0 && open->stream.encrypted)
        return imgi_fail_errno(err, EACCES, "inode %" PRIu64 " is encrypted", file->inode);
    file->size = open->stream.size;
    if (rc < 0 || !open->stream.compressed)
        return rc;
    open->packed = malloc(open->stream.unit);
    open->unit = malloc(open->stream.unit);
    return open->packed && open->unit ? 0 : imgi_fail_nomem(err, "a file");
}

static void file_close(img_file *file)
{
    struct open_file *open = file->state;

    if (!open)
        return;
    imgi_ntfs_stream_free(&open->stream);
    free(open->packed);
    free(open->unit);
    free(open);
}

/*
 * How much of the unit from `at` on is in clusters, before the hole that makes it a compressed one.
 * All of it: it is stored as it is. Nothing: it is a hole.
 */
static uint64_t stored(const struct imgi_ntfs_stream *stream, uint64_t at)
{
    uint64_t end = IMGI_MIN(at + stream->unit, stream->runs.end), length = 0;

    while (at + length < end) {
        struct imgi_run run = {.offset = at + length, .length = end - at - length};

        imgi_runs_find(&stream->runs, &run);
        if (run.kind == IMGI_RUN_HOLE)
            break;
        length += run.length;
    }
    return at + length == end ? stream->unit : length;
}

static int map(img_file *file, struct imgi_run *run, img_error *err)
{
    const struct open_file *open = file->state;
    const struct imgi_ntfs_stream *stream = &open->stream;

    run->kind = IMGI_RUN_OPAQUE;
    if (stream->resident)
        return 0;
    if (run->offset >= stream->valid) {
        run->kind = IMGI_RUN_HOLE;
        return 0;
    }
    run->length = IMGI_MIN(run->length, stream->valid - run->offset);
    if (run->offset >= stream->runs.end)
        return imgi_fail_errno(err, EIO, "its runs end at byte %" PRIu64, stream->runs.end);
    if (stream->compressed) {
        uint64_t at = imgi_align_down(run->offset, stream->unit), length = stored(stream, at);

        run->length = IMGI_MIN(run->length, at + stream->unit - run->offset);
        if (length != 0 && length != stream->unit)
            return 0;
    }
    imgi_runs_find(&stream->runs, run);
    return 0;
}

static int read_unit(img_file *file, uint64_t at, img_error *err)
{
    struct open_file *open = file->state;
    uint64_t length = stored(&open->stream, at);
    int rc;

    if (open->unit_valid && open->unit_at == at)
        return 0;
    open->unit_valid = false;
    rc =
        imgi_runs_read(&open->stream.runs, file->fs->volume, at, open->packed, (size_t)length, err);
    if (rc == 0 && !imgi_ntfs_unpack(open->packed, (size_t)length, open->unit, open->stream.unit))
        return imgi_fail_errno(err, EIO, "its compressed data at byte %" PRIu64 " is broken", at);
    open->unit_at = at;
    open->unit_valid = rc == 0;
    return rc;
}

static int read_packed(img_file *file, uint64_t offset, void *buffer, size_t length, img_error *err)
{
    struct open_file *open = file->state;
    uint8_t *to = buffer;

    if (open->stream.resident)
        return imgi_ntfs_resident_read(&open->stream, offset, buffer, length, err);
    for (size_t done = 0; done < length;) {
        uint64_t at = imgi_align_down(offset + done, open->stream.unit);
        size_t in = (size_t)(offset + done - at);
        size_t count = IMGI_MIN(open->stream.unit - in, length - done);
        int rc = read_unit(file, at, err);

        if (rc < 0)
            return rc;
        memcpy(to + done, open->unit + in, count);
        done += count;
    }
    return 0;
}

const struct imgi_provider imgi_provider_ntfs = {
    .library = "libimg",
    .reads = reads,
    .open = open_fs,
    .close = close_fs,
    .usage = usage_of,
    .stat = stat_inode,
    .list = list,
    .readlink = readlink_of,
    .file_open = file_open,
    .file_close = file_close,
    .map = map,
    .read = read_packed,
    .unused = find_unused,
};

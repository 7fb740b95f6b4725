/*
 * The view of blocks: what is in the files. SPDX-License-Identifier: BSD-2-Clause
 *
 * What is only read is cached by the kernel and never asked for again. What may be written is not:
 * a disk and its partitions are the same bytes, and the kernel would keep them apart. A write is in
 * the image when it returns, and on the disk after an fsync; who wants a cache puts a loop device
 * on it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "blocks.h"

#define ZEROS_PIECE 65536u /* stays in the processor's cache while it is sent again and again */
#define ZEROS_PIECES 32u

/* A range of an open file. */
struct place {
    const struct blocks *blocks;
    const struct blocks_group *group;
    const struct blocks_file *file;
    uint64_t offset; /* in the disk */
    size_t length;   /* of what was asked for, as far as the file goes */
};

/* The errno for the kernel, which is told to the log. */
static int error_of(const struct blocks *blocks, const struct blocks_group *group,
                    const char *doing, const img_error *err)
{
    log_error(blocks->session->log, err, "%s%s%s", group->name, *group->name ? ": " : "", doing);
    if (err->code == IMG_E_NOMEM)
        return ENOMEM;
    return err->os_errno ? err->os_errno : EIO;
}

/* The file and the range that are meant; false: the request has been answered. */
static bool find(fuse_req_t request, fuse_ino_t ino, uint64_t offset, uint64_t length,
                 struct place *place)
{
    struct blocks *blocks = blocks_of(request);
    struct blocks_node node;

    if (!blocks_find(blocks, ino, &node) || node.kind != BLOCKS_FILE) {
        fuse_reply_err(request, ESTALE);
        return false;
    }
    *place = (struct place){
        .blocks = blocks, .group = node.group, .file = &node.group->files[node.file]};
    if (offset < place->file->size) {
        place->offset = place->file->offset + offset;
        place->length =
            (size_t)(length < place->file->size - offset ? length : place->file->size - offset);
    }
    return true;
}

static void init(void *opaque, struct fuse_conn_info *connection)
{
    (void)opaque;
    connection->want |= connection->capable & FUSE_CAP_EXPLICIT_INVAL_DATA;
    connection->want &= ~(unsigned)FUSE_CAP_AUTO_INVAL_DATA;
}

static void open_file(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info)
{
    struct place place;

    if (!find(request, ino, 0, 0, &place))
        return;
    if ((info->flags & O_ACCMODE) != O_RDONLY && !place.group->writable) {
        fuse_reply_err(request, EROFS);
        return;
    }
    info->direct_io = place.group->writable;
    info->keep_cache = !place.group->writable;
    info->noflush = 1;
    fuse_reply_open(request, info);
}

/* Whether all of the range is known to be zeros: then nothing needs to be read. */
static bool is_hole(const struct place *place)
{
    img_extent extent;

    return place->length > 0 &&
           img_map(place->group->image, place->offset, place->length, &extent, NULL) == 0 &&
           extent.length >= place->length && (extent.flags & IMG_EXTENT_ZERO);
}

static void reply_zeros(fuse_req_t request, size_t length)
{
    static const char zeros[ZEROS_PIECE];
    struct iovec pieces[ZEROS_PIECES];
    int count = 0;

    for (; length > 0; count++) {
        size_t piece = length < ZEROS_PIECE ? length : ZEROS_PIECE;

        pieces[count] = (struct iovec){(void *)(uintptr_t)zeros, piece};
        length -= piece;
    }
    fuse_reply_iov(request, pieces, count);
}

static void read_file(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                      struct fuse_file_info *info)
{
    struct place place;
    img_error err = {0};
    char *buffer;

    (void)info;
    if (!find(request, ino, (uint64_t)offset, size, &place))
        return;
    if (place.length <= ZEROS_PIECE * ZEROS_PIECES && is_hole(&place)) {
        reply_zeros(request, place.length);
        return;
    }
    buffer = malloc(place.length + 1);
    if (!buffer)
        fuse_reply_err(request, ENOMEM);
    else if (img_read(place.group->image, place.offset, buffer, place.length, &err) < 0)
        fuse_reply_err(request, error_of(place.blocks, place.group, "read", &err));
    else
        fuse_reply_buf(request, buffer, place.length);
    free(buffer);
}

static void write_file(fuse_req_t request, fuse_ino_t ino, const char *bytes, size_t size,
                       off_t offset, struct fuse_file_info *info)
{
    struct place place;
    img_error err = {0};

    (void)info;
    if (!find(request, ino, (uint64_t)offset, size, &place))
        return;
    if (!place.group->writable)
        fuse_reply_err(request, EROFS);
    else if (place.length == 0 && size > 0)
        fuse_reply_err(request, ENOSPC);
    else if (img_write(place.group->image, place.offset, bytes, place.length, &err) < 0)
        fuse_reply_err(request, error_of(place.blocks, place.group, "write", &err));
    else
        fuse_reply_write(request, place.length);
}

static void sync_file(fuse_req_t request, fuse_ino_t ino, int data_only,
                      struct fuse_file_info *info)
{
    struct place place;
    img_error err = {0};

    (void)data_only;
    (void)info;
    if (!find(request, ino, 0, 0, &place))
        return;
    if (place.group->writable && img_flush(place.group->image, &err) < 0)
        fuse_reply_err(request, error_of(place.blocks, place.group, "fsync", &err));
    else
        fuse_reply_err(request, 0);
}

/* A hole reads as zeros, which a discard would not promise. */
static void allocate(fuse_req_t request, fuse_ino_t ino, int mode, off_t offset, off_t length,
                     struct fuse_file_info *info)
{
    bool hole = mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
    bool zero = (mode & ~FALLOC_FL_KEEP_SIZE) == FALLOC_FL_ZERO_RANGE;
    struct place place;
    img_error err = {0};

    (void)info;
    if (!find(request, ino, (uint64_t)offset, (uint64_t)length, &place))
        return;
    if (!place.group->writable)
        fuse_reply_err(request, EROFS);
    else if (!hole && !zero)
        fuse_reply_err(request, EOPNOTSUPP);
    else if (!(mode & FALLOC_FL_KEEP_SIZE) && (uint64_t)length > place.length)
        fuse_reply_err(request, ENOSPC);
    else if (img_zero(place.group->image, place.offset, place.length, hole ? IMG_ZERO_UNMAP : 0,
                      &err) < 0)
        fuse_reply_err(request, error_of(place.blocks, place.group, "fallocate", &err));
    else
        fuse_reply_err(request, 0);
}

/* Move place to where the next hole or the next data begins, or to the file's end. */
static int seek(struct place *place, bool hole_wanted, img_error *err)
{
    uint64_t end = place->file->offset + place->file->size;

    while (place->offset < end) {
        img_extent extent;

        if (img_map(place->group->image, place->offset, end - place->offset, &extent, err) < 0)
            return EIO;
        if (hole_wanted == !(extent.flags & IMG_EXTENT_DATA))
            return 0;
        place->offset += extent.length;
    }
    return hole_wanted ? 0 : ENXIO; /* behind the end is a hole */
}

static void lseek_file(fuse_req_t request, fuse_ino_t ino, off_t offset, int whence,
                       struct fuse_file_info *info)
{
    struct place place;
    img_error err = {0};
    int rc;

    (void)info;
    if (!find(request, ino, (uint64_t)offset, 1, &place))
        return;
    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        rc = EINVAL;
    else
        rc = offset < 0 || place.length == 0 ? ENXIO : seek(&place, whence == SEEK_HOLE, &err);
    if (rc == EIO)
        rc = error_of(place.blocks, place.group, "lseek", &err);
    if (rc == 0)
        fuse_reply_lseek(request, (off_t)(place.offset - place.file->offset));
    else
        fuse_reply_err(request, rc);
}

/* ------------------------------------------------- what is not done */

/*
 * What there is, the image says. A request without an answer of its own would be "not implemented",
 * which no program expects of a directory.
 */
static void refuse_mknod(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode,
                         dev_t device)
{
    (void)parent, (void)name, (void)mode, (void)device;
    fuse_reply_err(request, EPERM);
}

static void refuse_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode)
{
    (void)parent, (void)name, (void)mode;
    fuse_reply_err(request, EPERM);
}

static void refuse_symlink(fuse_req_t request, const char *target, fuse_ino_t parent,
                           const char *name)
{
    (void)target, (void)parent, (void)name;
    fuse_reply_err(request, EPERM);
}

static void refuse_link(fuse_req_t request, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    (void)ino, (void)parent, (void)name;
    fuse_reply_err(request, EPERM);
}

static void refuse_remove(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    (void)parent, (void)name;
    fuse_reply_err(request, EPERM);
}

static void refuse_rename(fuse_req_t request, fuse_ino_t parent, const char *name,
                          fuse_ino_t new_parent, const char *new_name, unsigned flags)
{
    (void)parent, (void)name, (void)new_parent, (void)new_name, (void)flags;
    fuse_reply_err(request, EPERM);
}

/* ---------------------------------------------------------- start and end */

static bool start(struct session *session)
{
    struct blocks *blocks = calloc(1, sizeof(*blocks));

    if (!blocks) {
        log_line(session->log, "out of memory");
        return false;
    }
    blocks->session = session;
    pthread_mutex_init(&blocks->lock, NULL);
    session->state = blocks;
    return blocks_groups_start(blocks);
}

static bool end(struct session *session)
{
    struct blocks *blocks = session->state;
    bool ok = true;

    if (!blocks)
        return true;
    ok = blocks_groups_end(blocks);
    pthread_mutex_destroy(&blocks->lock);
    free(blocks);
    return ok;
}

static const struct fuse_lowlevel_ops operations = {
    .init = init,
    .lookup = blocks_lookup,
    .getattr = blocks_getattr,
    .setattr = blocks_setattr,
    .readdir = blocks_readdir,
    .open = open_file,
    .read = read_file,
    .write = write_file,
    .fsync = sync_file,
    .fallocate = allocate,
    .lseek = lseek_file,
    .mknod = refuse_mknod,
    .mkdir = refuse_mkdir,
    .symlink = refuse_symlink,
    .link = refuse_link,
    .unlink = refuse_remove,
    .rmdir = refuse_remove,
    .rename = refuse_rename,
};

const struct view view_blocks = {
    .name = "blocks",
    .ops = &operations,
    .read_only = true,
    .start = start,
    .end = end,
};

const struct view view_blocks_writable = {
    .name = "blocks",
    .ops = &operations,
    .start = start,
    .end = end,
};

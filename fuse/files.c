/*
 * The view of files: what is asked of one file. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "files.h"

static struct files *files_of(fuse_req_t request)
{
    const struct session *session = fuse_req_userdata(request);

    return session->state;
}

/* The file that is meant, or an answer that there is none. */
static bool find(fuse_req_t request, fuse_ino_t ino, struct node *node)
{
    if (node_find(files_of(request), ino, node))
        return true;
    fuse_reply_err(request, ESTALE);
    return false;
}

static void init(void *opaque, struct fuse_conn_info *connection)
{
    unsigned always = FUSE_CAP_READDIRPLUS | FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPLICIT_INVAL_DATA;
    unsigned never = FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_AUTO_INVAL_DATA;
    unsigned silent = FUSE_CAP_NO_OPEN_SUPPORT | FUSE_CAP_NO_OPENDIR_SUPPORT;
    const struct session *session = opaque;
    struct files *files = session->state;

    connection->want |= connection->capable & always;
    connection->want &= ~never;
    files->opens = (connection->capable & silent) != silent;
}

/* ---------------------------------------------------------------- metadata */

static void getattr(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info)
{
    struct node node;
    struct stat stat;
    int rc;

    (void)info;
    if (!find(request, ino, &node))
        return;
    rc = node_stat(files_of(request), &node, &stat);
    if (rc == 0)
        fuse_reply_attr(request, &stat, VIEW_FOREVER);
    else
        fuse_reply_err(request, rc);
}

static void readlink_of(fuse_req_t request, fuse_ino_t ino)
{
    img_error err = {0};
    struct node node;
    char *target;

    if (!find(request, ino, &node))
        return;
    if (img_fs_readlink(node.fs, node.inode, &target, &err) < 0) {
        fuse_reply_err(request, node_error(files_of(request), &node, "readlink", &err));
        return;
    }
    fuse_reply_readlink(request, target);
    img_free(target);
}

/* Answer with text, or with its length if that was the question. */
static void reply_sized(fuse_req_t request, const char *text, size_t length, size_t size)
{
    if (size == 0)
        fuse_reply_xattr(request, length);
    else if (length > size)
        fuse_reply_err(request, ERANGE);
    else
        fuse_reply_buf(request, text, length);
}

static void getxattr_of(fuse_req_t request, fuse_ino_t ino, const char *name, size_t size)
{
    img_error err = {0};
    struct node node;
    size_t length;
    void *value;

    if (!find(request, ino, &node))
        return;
    if (img_fs_xattr(node.fs, node.inode, name, &value, &length, &err) < 0) {
        fuse_reply_err(request, node_error(files_of(request), &node, "getxattr", &err));
        return;
    }
    reply_sized(request, value, length, size);
    img_free(value);
}

static void listxattr_of(fuse_req_t request, fuse_ino_t ino, size_t size)
{
    img_error err = {0};
    struct node node;
    size_t length;
    char *names;

    if (!find(request, ino, &node))
        return;
    if (img_fs_xattr_names(node.fs, node.inode, &names, &length, &err) < 0) {
        fuse_reply_err(request, node_error(files_of(request), &node, "listxattr", &err));
        return;
    }
    reply_sized(request, names, length, size);
    img_free(names);
}

static void statfs_of(fuse_req_t request, fuse_ino_t ino)
{
    img_fs_usage usage;
    img_error err = {0};
    struct node node;

    if (!find(request, ino, &node))
        return;
    if (img_fs_usage_of(node.fs, &usage, &err) < 0) {
        fuse_reply_err(request, node_error(files_of(request), &node, "statfs", &err));
        return;
    }
    fuse_reply_statfs(request, &(struct statvfs){
                                   .f_bsize = usage.block_size,
                                   .f_frsize = usage.block_size,
                                   .f_blocks = usage.blocks,
                                   .f_bfree = usage.blocks_free,
                                   .f_bavail = usage.blocks_available,
                                   .f_files = usage.files,
                                   .f_ffree = usage.files_free,
                                   .f_namemax = usage.name_max,
                               });
}

/* ---------------------------------------------------------------- content */

/* As node_error, for a file that is open. */
static int error_of(const struct files *files, fuse_ino_t ino, const char *doing,
                    const img_error *err)
{
    struct node node;

    return node_find(files, ino, &node) ? node_error(files, &node, doing, err) : ESTALE;
}

/*
 * There is nothing to be done. A kernel that understands this answer opens files without asking any
 * more, and keeps what it has read of them.
 */
static void open_anything(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info)
{
    (void)ino;
    if (!files_of(request)->opens) {
        fuse_reply_err(request, ENOSYS);
        return;
    }
    info->keep_cache = 1;
    info->cache_readdir = 1;
    info->noflush = 1;
    fuse_reply_open(request, info);
}

static void read_file(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                      struct fuse_file_info *info)
{
    struct files *files = files_of(request);
    struct content *content;
    char *buffer = NULL;
    img_error err = {0};
    int rc = contents_use(files, ino, false, &content);

    (void)info;
    if (rc == 0)
        buffer = malloc(size);
    if (!buffer)
        fuse_reply_err(request, rc == 0 ? ENOMEM : rc);
    else if (img_file_read(content->file, (uint64_t)offset, buffer, &size, &err) < 0)
        fuse_reply_err(request, error_of(files, ino, "read", &err));
    else
        fuse_reply_buf(request, buffer, size);
    if (rc == 0)
        contents_done(files, content, false);
    free(buffer);
}

/* Where, from offset on, the next hole or the next data begins. Returns 0 or an errno. */
static int seek(img_file *file, uint64_t *offset, bool hole_wanted, img_error *err)
{
    uint64_t size = img_file_size(file);

    if (*offset >= size)
        return ENXIO;
    while (*offset < size) {
        uint64_t run;
        bool hole;

        if (img_file_run(file, *offset, size - *offset, &run, &hole, err) < 0)
            return EIO;
        if (hole == hole_wanted)
            return 0;
        *offset += run;
    }
    return hole_wanted ? 0 : ENXIO; /* behind the end is a hole */
}

static void lseek_file(fuse_req_t request, fuse_ino_t ino, off_t offset, int whence,
                       struct fuse_file_info *info)
{
    struct files *files = files_of(request);
    uint64_t place = (uint64_t)offset;
    struct content *content;
    img_error err = {0};
    int rc;

    (void)info;
    if (offset < 0 || (whence != SEEK_DATA && whence != SEEK_HOLE)) {
        fuse_reply_err(request, offset < 0 ? ENXIO : EINVAL);
        return;
    }
    rc = contents_use(files, ino, false, &content);
    if (rc == 0) {
        rc = seek(content->file, &place, whence == SEEK_HOLE, &err);
        contents_done(files, content, false);
        if (rc == EIO)
            rc = error_of(files, ino, "lseek", &err);
    }
    if (rc == 0)
        fuse_reply_lseek(request, (off_t)place);
    else
        fuse_reply_err(request, rc);
}

/* ---------------------------------------------------------- start and end */

static bool start(struct session *session)
{
    struct files *files = calloc(1, sizeof(*files));

    if (!files) {
        log_line(session->log, "out of memory");
        return false;
    }
    files->session = session;
    pthread_mutex_init(&files->lock, NULL);
    contents_init(&files->contents);
    session->state = files;
    return mounts_start(files);
}

static bool end(struct session *session)
{
    struct files *files = session->state;

    if (!files)
        return true;
    contents_end(&files->contents);
    mounts_end(files);
    pthread_mutex_destroy(&files->lock);
    free(files);
    return true;
}

static const struct fuse_lowlevel_ops operations = {
    .init = init,
    .lookup = files_lookup,
    .getattr = getattr,
    .readlink = readlink_of,
    .open = open_anything,
    .read = read_file,
    .opendir = open_anything,
    .readdir = files_readdir,
    .readdirplus = files_readdirplus,
    .statfs = statfs_of,
    .getxattr = getxattr_of,
    .listxattr = listxattr_of,
    .lseek = lseek_file,
};

const struct view view_files = {
    .name = "files",
    .ops = &operations,
    .read_only = true,
    .start = start,
    .end = end,
};

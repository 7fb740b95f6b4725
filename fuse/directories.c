/*
 * The view of files: names. SPDX-License-Identifier: BSD-2-Clause
 *
 * Listing a directory tells the kernel all about each file at once, so that it does not ask again.
 */
#include <errno.h>
#include <stdlib.h>

#include "files.h"

static struct files *files_of(fuse_req_t request)
{
    const struct session *session = fuse_req_userdata(request);

    return session->state;
}

/* Fill in what the kernel is to know of a file. Returns 0 or an errno. */
static int describe(const struct files *files, const struct node *node,
                    struct fuse_entry_param *entry)
{
    *entry = (struct fuse_entry_param){
        .ino = node_number(files, node),
        .attr_timeout = VIEW_FOREVER,
        .entry_timeout = VIEW_FOREVER,
    };
    return entry->ino == 0 ? EOVERFLOW : node_stat(files, node, &entry->attr);
}

/* From a directory to the file of that name in it. Returns 0 or an errno. */
static int step(struct files *files, struct node *node, const char *name)
{
    img_place from = {node->fs, node->inode}, to;
    img_error err = {0};

    if (img_tree_step(files->tree, &from, name, &to, &err) < 0)
        return node_error(files, node, "lookup", &err);
    node->fs = to.fs;
    node->inode = to.inode;
    return mounts_number(files, to.fs, &node->number) ? 0 : EIO;
}

void files_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    struct files *files = files_of(request);
    struct fuse_entry_param entry = {.entry_timeout = VIEW_FOREVER};
    struct node node;
    int rc;

    if (!node_find(files, parent, &node)) {
        fuse_reply_err(request, ESTALE);
        return;
    }
    rc = step(files, &node, name);
    if (rc == 0)
        rc = describe(files, &node, &entry);
    if (rc == 0 || rc == ENOENT) /* that there is none is worth to be remembered, too */
        fuse_reply_entry(request, &entry);
    else
        fuse_reply_err(request, rc);
}

/* ---------------------------------------------------------------- listing */

/* A reply in the making. */
struct listing {
    struct files *files;
    fuse_req_t request;
    struct node directory;
    bool plus; /* with all about each file */
    char *buffer;
    size_t used, size;
};

/* Add an entry; false: it does not fit any more. */
static bool add(struct listing *listing, const char *name, struct fuse_entry_param *entry,
                off_t next)
{
    char *to = listing->buffer + listing->used;
    size_t room = listing->size - listing->used;
    size_t length = listing->plus
                        ? fuse_add_direntry_plus(listing->request, to, room, name, entry, next)
                        : fuse_add_direntry(listing->request, to, room, name, &entry->attr, next);

    if (length > room)
        return false;
    listing->used += length;
    return true;
}

/* "." and "..": of these the kernel knows all but the numbers. */
static bool add_dots(struct listing *listing, off_t *offset)
{
    struct fuse_entry_param entry = {
        .attr = {.st_ino = node_shown(&listing->directory), .st_mode = S_IFDIR}};

    for (; *offset < 2; ++*offset)
        if (!add(listing, *offset == 0 ? "." : "..", &entry, *offset + 1))
            return false;
    return true;
}

static bool add_file(struct listing *listing, const img_dirent *found, off_t next)
{
    struct node node = listing->directory;
    struct fuse_entry_param entry = {0};
    img_place place = {node.fs, found->inode};

    node.inode = found->inode;
    /*
     * What cannot be described is listed all the same, and the error is for who asks for it. The
     * kernel asks again, too, for what is mounted on a directory: nothing is opened unasked.
     */
    if (!listing->plus ||
        (S_ISDIR(found->mode) && img_tree_covered(listing->files->tree, &place)) ||
        describe(listing->files, &node, &entry) != 0)
        entry = (struct fuse_entry_param){
            .attr = {.st_ino = node_shown(&node), .st_mode = found->mode}};
    return add(listing, found->name, &entry, next);
}

static void list(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset, bool plus)
{
    struct listing listing = {
        .files = files_of(request), .request = request, .plus = plus, .size = size};
    struct content *content;
    img_dirent entry;
    int rc;

    if (!node_find(listing.files, ino, &listing.directory) || offset < 0) {
        fuse_reply_err(request, EINVAL);
        return;
    }
    rc = contents_use(listing.files, ino, true, &content);
    if (rc == 0)
        listing.buffer = malloc(size);
    if (!listing.buffer) {
        fuse_reply_err(request, rc == 0 ? ENOMEM : rc);
    } else {
        if (add_dots(&listing, &offset))
            while (img_dir_entry(content->dir, (size_t)offset - 2, &entry) &&
                   add_file(&listing, &entry, offset + 1))
                offset++;
        fuse_reply_buf(request, listing.buffer, listing.used);
    }
    if (rc == 0)
        contents_done(listing.files, content, listing.used == 0);
    free(listing.buffer);
}

void files_readdir(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                   struct fuse_file_info *info)
{
    (void)info;
    list(request, ino, size, offset, false);
}

void files_readdirplus(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                       struct fuse_file_info *info)
{
    (void)info;
    list(request, ino, size, offset, true);
}

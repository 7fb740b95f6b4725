/*
 * Paths inside a guest. SPDX-License-Identifier: BSD-2-Clause
 *
 * A walk keeps the directories that it came through, so ".." is a step back on its own way and
 * needs nothing of the filesystems, and nothing leads out of the tree.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tree.h"

#define LINKS_MAX 40u   /* as Linux has it */
#define TEXT_MAX 65536u /* of a path, with what its links put into it */
#define COMPONENT_MAX                                                                              \
    1024u /* Linux has 255; names of other filesystems grow when they become UTF-8 */

struct walk {
    img_tree *tree;
    bool opener;
    struct imgi_mount *blocked;
    img_place *stack; /* from the root to where it is */
    size_t depth, room;
    bool at_directory;
    char *text;  /* the path */
    size_t next; /* the first byte of it that has not been dealt with */
    unsigned links;
};

/* ----------------------------------------------------------------- mounts */

void imgi_path_cross(img_tree *tree, bool opener, img_place *place, struct imgi_mount **blocked)
{
    size_t n = 0;

    *blocked = NULL;
    for (;;) {
        enum imgi_mount_state state = IMGI_MOUNT_FAILED;
        struct imgi_mount *mount;

        pthread_mutex_lock(&tree->lock);
        mount = imgi_tree_covering(tree, &n, place);
        if (mount)
            state = mount->state;
        if (state == IMGI_MOUNT_THERE || (state == IMGI_MOUNT_OPENING && opener)) {
            *place = (img_place){mount->fs, img_fs_root(mount->fs)};
            n++;
        }
        pthread_mutex_unlock(&tree->lock);
        if (!mount)
            return;
        if (state == IMGI_MOUNT_WAITING && opener) {
            *blocked = mount;
            return;
        }
        if (state == IMGI_MOUNT_WAITING || (state == IMGI_MOUNT_OPENING && !opener))
            imgi_tree_open(tree, mount);
    }
}

/* ---------------------------------------------------------------- walking */

static int push(struct walk *walk, const img_place *place, bool directory, img_error *err)
{
    if (walk->depth == walk->room) {
        size_t room = walk->room ? walk->room * 2 : 32;
        img_place *stack = reallocarray(walk->stack, room, sizeof(*stack));

        if (!stack)
            return imgi_fail_nomem(err, "a path");
        walk->stack = stack;
        walk->room = room;
    }
    walk->stack[walk->depth++] = *place;
    walk->at_directory = directory;
    return 0;
}

/* Go on with what a symbolic link says, then with the rest of the path. */
static int follow(struct walk *walk, const img_place *link, img_error *err)
{
    char *target, *text = NULL;
    size_t length, rest;
    int rc;

    if (++walk->links > LINKS_MAX)
        return imgi_fail_errno(err, ELOOP, "a symbolic link");
    rc = img_fs_readlink(link->fs, link->inode, &target, err);
    if (rc < 0)
        return rc;
    length = strlen(target);
    rest = strlen(walk->text + walk->next);
    if (length == 0)
        rc = imgi_fail_errno(err, ENOENT, "a symbolic link");
    else if (length + rest > TEXT_MAX)
        rc = imgi_fail_errno(err, ENAMETOOLONG, "a symbolic link");
    else if (!(text = malloc(length + rest + 1)))
        rc = imgi_fail_nomem(err, "a path");
    if (rc == 0) {
        memcpy(text, target, length);
        memcpy(text + length, walk->text + walk->next, rest + 1);
        free(walk->text);
        walk->text = text;
        walk->next = 0;
        if (target[0] == '/')
            walk->depth = 1;
    }
    free(target);
    return rc;
}

/* One step down. With walk->blocked set afterwards, no step was made. */
static int enter(struct walk *walk, const char *name, bool may_follow, img_error *err)
{
    img_place place = walk->stack[walk->depth - 1];
    img_stat stat;
    int rc = img_fs_lookup(place.fs, place.inode, name, &place.inode, err);

    if (rc < 0)
        return rc;
    imgi_path_cross(walk->tree, walk->opener, &place, &walk->blocked);
    if (walk->blocked)
        return 0;
    rc = img_fs_stat(place.fs, place.inode, &stat, err);
    if (rc < 0)
        return rc;
    if (may_follow && S_ISLNK(stat.mode))
        return follow(walk, &place, err);
    return push(walk, &place, S_ISDIR(stat.mode), err);
}

/* Take the next name off the path; it is empty when there is none. */
static int next_name(struct walk *walk, char name[COMPONENT_MAX], img_error *err)
{
    const char *at = walk->text + walk->next + strspn(walk->text + walk->next, "/");
    size_t length = strcspn(at, "/");

    if (length >= COMPONENT_MAX)
        return imgi_fail_errno(err, ENAMETOOLONG, "a name");
    memcpy(name, at, length);
    name[length] = '\0';
    walk->next = (size_t)(at - walk->text) + length;
    return 0;
}

static int walk_all(struct walk *walk, unsigned flags, img_error *err)
{
    char name[COMPONENT_MAX];
    int rc = 0;

    while (rc == 0 && !walk->blocked && walk->text[walk->next]) {
        if (!walk->at_directory)
            return imgi_fail_errno(err, ENOTDIR, "a path");
        rc = next_name(walk, name, err);
        if (rc < 0)
            return rc;
        if (strcmp(name, "..") == 0)
            walk->depth -= walk->depth > 1;
        else if (name[0] && strcmp(name, ".") != 0)
            rc = enter(walk, name, !(flags & IMG_TREE_NO_FOLLOW) || walk->text[walk->next], err);
    }
    return rc;
}

/* Errors are about the path that was asked for. */
static int about_path(int rc, const char *path, img_error *err)
{
    static const int about_names[] = {ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG};

    for (size_t n = 0; err && n < IMGI_COUNT(about_names); n++)
        if (err->os_errno == about_names[n])
            return imgi_fail_errno(err, err->os_errno, "%s", path);
    imgi_error_prefix(err, "%s", path);
    return rc;
}

static int walk_path(struct walk *walk, const char *path, unsigned flags, img_error *err)
{
    img_place root = {0};
    int rc;

    if (walk->tree->count == 0)
        return imgi_fail(err, IMG_E_INVAL, "%s: nothing is mounted", path);
    if (path[0] == '\0' || strlen(path) > TEXT_MAX)
        return imgi_fail_errno(err, path[0] ? ENAMETOOLONG : ENOENT, "%.100s", path);
    walk->text = strdup(path);
    if (!walk->text)
        return imgi_fail_nomem(err, "a path");
    imgi_path_cross(walk->tree, walk->opener, &root, &walk->blocked);
    rc = push(walk, &root, true, err);
    if (rc == 0)
        rc = walk_all(walk, flags, err);
    return rc < 0 ? about_path(rc, path, err) : 0;
}

static void end_walk(struct walk *walk)
{
    free(walk->stack);
    free(walk->text);
}

int imgi_path_directory(img_tree *tree, const char *path, img_place *place,
                        struct imgi_mount **blocked, img_error *err)
{
    struct walk walk = {.tree = tree, .opener = true};
    int rc = walk_path(&walk, path, 0, err);

    *blocked = walk.blocked;
    if (rc == 0 && !walk.blocked && !walk.at_directory)
        rc = imgi_fail_errno(err, ENOTDIR, "%s", path);
    if (rc == 0 && !walk.blocked)
        *place = walk.stack[walk.depth - 1];
    end_walk(&walk);
    return rc;
}

int img_tree_find(img_tree *tree, const char *path, unsigned flags, img_place *place,
                  img_error *err)
{
    struct walk walk = {.tree = tree};
    int rc = walk_path(&walk, path, flags, err);

    *place = rc == 0 ? walk.stack[walk.depth - 1] : (img_place){0};
    end_walk(&walk);
    return rc;
}

void img_tree_cross(img_tree *tree, img_place *place)
{
    struct imgi_mount *blocked;

    imgi_path_cross(tree, false, place, &blocked);
}

void img_tree_cross_opened(img_tree *tree, img_place *place)
{
    struct imgi_mount *blocked;

    pthread_mutex_lock(&tree->opening);
    imgi_path_cross(tree, true, place, &blocked);
    pthread_mutex_unlock(&tree->opening);
}

/*
 * Inspection: which filesystems hold an operating system. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../util/text.h"
#include "inspect.h"
#include "tree.h"

#define NAMES 8
#define SUBVOLUMES_MAX 64u /* of one filesystem, each one is mounted */

/*
 * A system has all of the first names and one at least of the others. Symbolic links are taken for
 * what they lead to, which may be in another filesystem.
 */
static const struct {
    const char *name;
    const char *all[NAMES], *any[NAMES];
} systems[] = {
    {"hurd", {"/etc", "/hurd/exec", "/servers"}, {"/bin"}},
    {"freebsd", {"/etc", "/bin", "/etc/rc"}, {"/bin/freebsd-version", "/etc/freebsd-update.conf"}},
    {"netbsd", {"/etc", "/bin", "/netbsd"}, {"/etc/release"}},
    {"openbsd", {"/etc", "/bin", "/bsd"}, {"/etc/rc"}},
    {"linux",
     {"/etc"},
     {"/etc/os-release", "/usr/lib/os-release", "/etc/fstab", "/etc/debian_version",
      "/etc/redhat-release", "/etc/alpine-release", "/etc/arch-release"}},
};

/* Whatever the case of their letters. */
static const char *const windows[] = {"/Windows/System32", "/WINNT/system32"};

void imgi_roots_clear(struct imgi_roots *roots)
{
    for (size_t n = 0; n < roots->count; n++)
        free(roots->list[n].device);
    free(roots->list);
    *roots = (struct imgi_roots){0};
}

static bool has(const struct imgi_inspection *in, const char *path)
{
    return imgi_inspect_type(in, path, IMG_TREE_NO_FOLLOW) != 0;
}

static bool is_system(const struct imgi_inspection *in, size_t n)
{
    for (size_t i = 0; i < NAMES && systems[n].all[i]; i++) {
        if (!has(in, systems[n].all[i]))
            return false;
    }
    for (size_t i = 0; i < NAMES && systems[n].any[i]; i++) {
        if (has(in, systems[n].any[i]))
            return true;
    }
    return false;
}

static bool is_windows(const struct imgi_inspection *in)
{
    bool found = false;

    for (size_t n = 0; !found && n < IMGI_COUNT(windows); n++) {
        char *path = imgi_inspect_any_case(in, windows[n]);

        found = path && imgi_inspect_is_dir(in, path);
        free(path);
    }
    return found;
}

/* NULL: none. */
static const char *system_name(const struct imgi_inspection *in, const char *content)
{
    for (size_t n = 0; n < IMGI_COUNT(systems); n++) {
        if (is_system(in, n))
            return systems[n].name;
    }
    return strcmp(content, "ntfs") == 0 && is_windows(in) ? "windows" : NULL;
}

static int add_root(struct imgi_roots *roots, const struct imgi_root *root, img_error *err)
{
    struct imgi_root *list = reallocarray(roots->list, roots->count + 1, sizeof(*list));

    if (!list)
        return imgi_fail_nomem(err, "a root filesystem");
    roots->list = list;
    list[roots->count].name = root->name;
    list[roots->count].device = strdup(root->device);
    if (!list[roots->count].device)
        return imgi_fail_nomem(err, "a root filesystem");
    roots->count++;
    return 0;
}

/* A search for roots. */
struct search {
    img_guest *guest;
    struct imgi_roots *roots;
    struct imgi_text complaints; /* a line each */
};

/* A filesystem that cannot be read is none that a system starts from. */
static int look_in(struct search *search, const char *device, const char *content, img_error *err)
{
    struct imgi_root root = {.device = (char *)device};
    struct imgi_inspection in = {.guest = search->guest, .root = &root};
    img_error cause = {0};
    int rc = img_tree_new(&in.tree, search->guest, err);

    if (rc < 0)
        return rc;
    if (img_tree_mount(in.tree, device, "/", &cause) < 0)
        imgi_text_add(&search->complaints, "%s\n", cause.message);
    else if ((root.name = system_name(&in, content)))
        rc = add_root(search->roots, &root, err);
    img_tree_free(in.tree);
    return rc;
}

static int look_in_some(struct search *search, const char *device, char **paths, bool deep,
                        img_error *err)
{
    int rc = 0;

    for (size_t n = 0; rc == 0 && paths[n] && n < SUBVOLUMES_MAX; n++) {
        char *name;

        if (!strchr(paths[n], '/') == deep)
            continue;
        if (asprintf(&name, IMGI_SUBVOLUME "%s/%s", device, paths[n]) < 0)
            return imgi_fail_nomem(err, "a subvolume");
        rc = look_in(search, name, "btrfs", err);
        free(name);
    }
    return rc;
}

/* Subvolumes below others are snapshots mostly: they count when there is nothing else. */
static int look_in_subvolumes(struct search *search, const char *device, img_error *err)
{
    char **paths = imgi_guestfs_subvolumes(search->guest, device);
    size_t known = search->roots->count;
    int rc = paths ? look_in_some(search, device, paths, false, err) : 0;

    if (paths && rc == 0 && search->roots->count == known)
        rc = look_in_some(search, device, paths, true, err);
    imgi_guestfs_free_list(paths);
    return rc;
}

static int look_at(struct search *search, const img_volume *volume, img_error *err)
{
    size_t known = search->roots->count;
    int rc = look_in(search, volume->device, volume->content, err);

    if (rc == 0 && search->roots->count == known && strcmp(volume->content, "btrfs") == 0)
        rc = look_in_subvolumes(search, volume->device, err);
    return rc;
}

/* What systems boot from or are installed from, but do not live in. */
static bool is_for_roots(const img_volume *volume)
{
    static const char *const others[] = {"vfat", "exfat", "iso9660", "udf"};

    for (size_t n = 0; n < IMGI_COUNT(others); n++) {
        if (strcmp(volume->content, others[n]) == 0)
            return false;
    }
    return true;
}

static bool is_for_appliance(const img_volume *volume)
{
    return volume->kind > IMG_VOLUME_PARTITION || imgi_fs_is_for_appliance(volume->content);
}

/* Look at the volumes that the appliance reads, or at the others. */
static int look_at_all(struct search *search, bool appliance, img_error *err)
{
    img_volume volume;
    int rc = 0;

    for (size_t n = 0; rc == 0 && img_guest_volume(search->guest, n, &volume, NULL) == 0; n++) {
        if (volume.holds_filesystem && volume.content && is_for_roots(&volume) &&
            is_for_appliance(&volume) == appliance)
            rc = look_at(search, &volume, err);
    }
    return rc;
}

/* With no system on them, why disks cannot be looked into is of interest. */
static void complain(struct search *search)
{
    char *rest = search->complaints.bytes, *line;

    while (search->roots->count == 0 && (line = strsep(&rest, "\n")) && *line)
        imgi_guest_notice(search->guest, "%s", line);
    free(search->complaints.bytes);
}

int imgi_inspect_roots(img_guest *guest, struct imgi_roots *roots, img_error *err)
{
    struct search search = {.guest = guest, .roots = roots};
    img_error cause = {0};
    int rc;

    *roots = (struct imgi_roots){0};
    rc = look_at_all(&search, false, err);
    if (rc == 0 && roots->count == 0) {
        if (imgi_roots_in_parts(guest) && img_guest_assemble(guest, &cause) < 0)
            imgi_text_add(&search.complaints, "%s\n", cause.message);
        rc = look_at_all(&search, true, err);
    }
    complain(&search);
    if (rc < 0)
        imgi_roots_clear(roots);
    return rc;
}

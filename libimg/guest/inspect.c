/*
 * Inspection of a guest's operating systems. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>
#include <string.h>

#include "inspect.h"

/* A system, with what has been found out about it. */
struct found {
    struct imgi_inspection in;
    struct imgi_release release;
    unsigned flags; /* enum img_inspect_flags */
};

static void say_string(struct imgi_info *info, const char *key, const char *value)
{
    if (value)
        imgi_info_string(info, key, value);
}

/* ------------------------------------------------------------------ system */

/* The files that say it, in this order, and the variable; NULL: their first line. */
static const struct {
    const char *path, *variable;
} hostnames[] = {
    {"/etc/hostname", NULL},      {"/etc/HOSTNAME", NULL}, {"/etc/sysconfig/network", "HOSTNAME"},
    {"/etc/rc.conf", "hostname"}, {"/etc/myname", NULL},
};

static void say_hostname(const struct imgi_inspection *in, struct imgi_info *info)
{
    char *name = NULL;

    for (size_t n = 0; !name && n < IMGI_COUNT(hostnames); n++) {
        char *text = imgi_inspect_text(in, hostnames[n].path, 65536);

        if (text)
            name = hostnames[n].variable ? imgi_inspect_value(text, hostnames[n].variable)
                                         : imgi_inspect_first_line(text);
        free(text);
    }
    say_string(info, "hostname", name);
    free(name);
}

static void say_release(const struct found *found, struct imgi_info *info)
{
    const struct imgi_release *release = &found->release;
    const char *format, *management;
    char *osinfo = imgi_release_osinfo(release);

    imgi_packages_kind(&found->in, release, &format, &management);
    imgi_info_string(info, "distro", release->distro ? release->distro : "unknown");
    say_string(info, "product_name", release->product_name);
    say_string(info, "product_variant", release->variant);
    if (release->has_major) {
        imgi_info_uint(info, "major_version", release->major);
        imgi_info_uint(info, "minor_version", release->minor);
    }
    say_string(info, "package_format", format);
    say_string(info, "package_management", management);
    say_hostname(&found->in, info);
    say_string(info, "osinfo", osinfo);
    say_string(info, "build_id", release->build_id);
    free(osinfo);
}

/* ------------------------------------------------------------- filesystems */

static void say_mountpoints(const struct imgi_inspection *in, struct imgi_info *info)
{
    const char *device, *path;

    imgi_info_list_begin(info, "mountpoints");
    for (size_t n = 0; img_tree_mounted(in->tree, n, &device, &path); n++) {
        imgi_info_dict_begin(info, NULL);
        imgi_info_string(info, "dev", device);
        imgi_info_string(info, "mountpoint", path);
        imgi_info_dict_end(info);
    }
    imgi_info_list_end(info);
}

static void say_filesystems(const struct imgi_inspection *in, struct imgi_info *info)
{
    img_volume volume;

    imgi_info_list_begin(info, "filesystems");
    for (size_t n = 0; img_guest_volume(in->guest, n, &volume, NULL) == 0; n++) {
        if (!imgi_inspect_is_mounted(in, volume.device))
            continue;
        imgi_info_dict_begin(info, NULL);
        imgi_info_string(info, "dev", volume.device);
        say_string(info, "type", volume.content);
        say_string(info, "label", volume.label);
        say_string(info, "uuid", volume.uuid);
        imgi_info_dict_end(info);
    }
    imgi_info_list_end(info);
}

/* ---------------------------------------------------------------- packages */

/* Packages that are counted and, with info, said. */
struct counter {
    struct imgi_packages packages;
    struct imgi_info *info;
    uint64_t count;
};

static void count_package(struct imgi_packages *packages, const struct imgi_package *package)
{
    struct counter *counter = (struct counter *)packages;
    struct imgi_info *info = counter->info;

    counter->count++;
    if (!info)
        return;
    imgi_info_dict_begin(info, NULL);
    imgi_info_string(info, "name", package->name);
    say_string(info, "epoch", package->epoch);
    say_string(info, "version", package->version);
    say_string(info, "release", package->release);
    say_string(info, "arch", package->arch);
    say_string(info, "url", package->url);
    say_string(info, "summary", package->summary);
    say_string(info, "description", package->description);
    imgi_info_dict_end(info);
}

static void say_packages(const struct found *found, struct imgi_info *info)
{
    bool list = found->flags & IMG_INSPECT_PACKAGES;
    struct counter counter = {.packages.add = count_package, .info = list ? info : NULL};
    const char *format, *management;
    bool complete;

    imgi_packages_kind(&found->in, &found->release, &format, &management);
    if (list)
        imgi_info_list_begin(info, "applications");
    complete = format && imgi_packages_find(&found->in, format, &counter.packages);
    if (list)
        imgi_info_list_end(info);
    if (complete)
        imgi_info_uint(info, "package_count", counter.count);
}

/* ------------------------------------------------------------------- all */

static int say_system(struct found *found, struct imgi_info *info, img_error *err)
{
    const struct imgi_inspection *in = &found->in;
    int rc = img_tree_mount_root(in->tree, in->root->device, err);

    if (rc < 0)
        return rc;
    imgi_release_find(in, &found->release);
    imgi_info_dict_begin(info, NULL);
    imgi_info_string(info, "root", in->root->device);
    imgi_info_string(info, "name", in->root->name);
    say_string(info, "arch", imgi_machine_find(in));
    say_release(found, info);
    say_mountpoints(in, info);
    say_filesystems(in, info);
    imgi_boot_say(in, info);
    say_packages(found, info);
    imgi_info_dict_end(info);
    imgi_release_clear(&found->release);
    return 0;
}

struct question {
    img_guest *guest;
    unsigned flags;
    struct imgi_roots roots;
};

static int say(void *opaque, struct imgi_info *info, img_error *err)
{
    struct question *question = opaque;
    int rc = 0;

    imgi_info_list_begin(info, "operatingsystems");
    for (size_t n = 0; rc == 0 && n < question->roots.count; n++) {
        struct found found = {.in = {.guest = question->guest, .root = &question->roots.list[n]},
                              .flags = question->flags};

        rc = img_tree_new(&found.in.tree, question->guest, err);
        if (rc == 0)
            rc = say_system(&found, info, err);
        img_tree_free(found.in.tree);
    }
    imgi_info_list_end(info);
    return rc;
}

int img_guest_inspect(img_guest *guest, unsigned flags, char **json, img_error *err)
{
    struct question question = {.guest = guest, .flags = flags};
    int rc = imgi_inspect_roots(guest, &question.roots, err);

    *json = NULL;
    if (rc == 0)
        rc = imgi_info_text(say, &question, json, err);
    imgi_roots_clear(&question.roots);
    return rc;
}

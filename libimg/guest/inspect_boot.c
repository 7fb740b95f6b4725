/*
 * Inspection: kernels and boot loaders. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "../util/text.h"
#include "inspect.h"

#define LISTED_MAX 1000u /* kernels or programs of one directory */

/* GPT's type of partition. */
#define EFI_SYSTEM "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"

/* ---------------------------------------------------------------- kernels */

/* Versions, each once, in the order of their names. */
struct versions {
    char **list;
    size_t count;
};

static int compare_names(const void *a, const void *b)
{
    return strverscmp(*(char *const *)a, *(char *const *)b);
}

static void add_version(struct versions *versions, const char *version)
{
    char **list;

    for (size_t n = 0; n < versions->count; n++) {
        if (strcmp(versions->list[n], version) == 0)
            return;
    }
    list = versions->count < LISTED_MAX
               ? reallocarray(versions->list, versions->count + 1, sizeof(*list))
               : NULL;
    if (!list)
        return;
    versions->list = list;
    list[versions->count] = strdup(version);
    versions->count += list[versions->count] != NULL;
}

/* Of the entries that begin so, what stands behind it. */
static void add_versions(const struct imgi_inspection *in, const char *directory,
                         const char *prefix, struct versions *versions)
{
    img_dir *dir = imgi_inspect_dir(in, directory);
    img_dirent entry;

    for (size_t n = 0; dir && img_dir_entry(dir, n, &entry); n++) {
        if (strncmp(entry.name, prefix, strlen(prefix)) == 0 && entry.name[strlen(prefix)])
            add_version(versions, entry.name + strlen(prefix));
    }
    img_dir_close(dir);
}

static void say_path(const struct imgi_inspection *in, struct imgi_info *info, const char *key,
                     const char *directory, const char *version, uint32_t type)
{
    struct imgi_text path = {0};

    imgi_text_add(&path, "%s%s", directory, version);
    if (!path.failed && imgi_inspect_type(in, path.bytes, 0) == type)
        imgi_info_string(info, key, path.bytes);
    free(path.bytes);
}

static void say_kernels(const struct imgi_inspection *in, struct imgi_info *info)
{
    struct versions versions = {0};

    add_versions(in, "/boot", "vmlinuz-", &versions);
    add_versions(in, "/lib/modules", "", &versions);
    if (versions.count > 0)
        qsort(versions.list, versions.count, sizeof(*versions.list), compare_names);
    imgi_info_list_begin(info, "kernels");
    for (size_t n = 0; n < versions.count; n++) {
        imgi_info_dict_begin(info, NULL);
        imgi_info_string(info, "version", versions.list[n]);
        say_path(in, info, "kernel", "/boot/vmlinuz-", versions.list[n], S_IFREG);
        say_path(in, info, "modules", "/lib/modules/", versions.list[n], S_IFDIR);
        imgi_info_dict_end(info);
        free(versions.list[n]);
    }
    imgi_info_list_end(info);
    free(versions.list);
}

/* ----------------------------------------------------------- boot loaders */

static const struct {
    const char *type, *path;
} loaders[] = {
    {"grub2", "/boot/grub2/grub.cfg"},
    {"grub2", "/boot/grub/grub.cfg"},
    {"grub-legacy", "/boot/grub/menu.lst"},
    {"grub-legacy", "/boot/grub/grub.conf"},
    {"extlinux", "/boot/extlinux/extlinux.conf"},
    {"extlinux", "/boot/extlinux.conf"},
    {"extlinux", "/boot/syslinux/syslinux.cfg"},
    {"extlinux", "/extlinux.conf"},
    {"systemd-boot", "/boot/efi/loader/loader.conf"},
    {"systemd-boot", "/efi/loader/loader.conf"},
    {"systemd-boot", "/boot/loader/loader.conf"},
    {"lilo", "/etc/lilo.conf"},
    {"windows", "/bootmgr"},
    {"windows", "/Windows/Boot/PCAT/bootmgr"},
    {"windows", "/ntldr"},
};

/* device: NULL when the path is one of the system's. */
static void say_loader(struct imgi_info *info, const char *type, const char *device,
                       const char *path)
{
    imgi_info_dict_begin(info, NULL);
    imgi_info_string(info, "type", type);
    if (device)
        imgi_info_string(info, "dev", device);
    imgi_info_string(info, "path", path);
    imgi_info_dict_end(info);
}

static void say_configured(const struct imgi_inspection *in, struct imgi_info *info)
{
    bool windows = strcmp(in->root->name, "windows") == 0;

    for (size_t n = 0; n < IMGI_COUNT(loaders); n++) {
        char *path;

        if (windows != (strcmp(loaders[n].type, "windows") == 0))
            continue;
        path = windows ? imgi_inspect_any_case(in, loaders[n].path) : strdup(loaders[n].path);
        if (path && imgi_inspect_is_file(in, path))
            say_loader(info, loaders[n].type, NULL, path);
        free(path);
    }
}

static bool is_program(const char *name)
{
    size_t length = strlen(name);

    return length > 4 && strcasecmp(name + length - 4, ".efi") == 0;
}

/* The programs in a directory of the EFI system partition. */
static void say_programs(const struct imgi_inspection *in, struct imgi_info *info,
                         const char *directory)
{
    img_dir *dir = imgi_inspect_dir(in, directory);
    img_dirent entry;

    for (size_t n = 0; dir && n < LISTED_MAX && img_dir_entry(dir, n, &entry); n++) {
        struct imgi_text path = {0};

        if (!is_program(entry.name))
            continue;
        imgi_text_add(&path, "%s/%s", directory, entry.name);
        if (!path.failed && imgi_inspect_is_file(in, path.bytes))
            say_loader(info, "efi", in->device, path.bytes);
        free(path.bytes);
    }
    img_dir_close(dir);
}

/* Each vendor has a directory there; Microsoft's are one deeper. */
static void say_vendors(const struct imgi_inspection *in, struct imgi_info *info,
                        const char *partition)
{
    img_dir *dir = imgi_inspect_dir(in, partition);
    img_dirent entry;

    for (size_t n = 0; dir && n < LISTED_MAX && img_dir_entry(dir, n, &entry); n++) {
        struct imgi_text path = {0};

        imgi_text_add(&path, "%s/%s", partition, entry.name);
        if (!path.failed)
            say_programs(in, info, path.bytes);
        imgi_text_add(&path, "/Boot");
        if (!path.failed)
            say_programs(in, info, path.bytes);
        free(path.bytes);
    }
    img_dir_close(dir);
}

/* Of partitions that the system does not mount. */
static void say_partition(const struct imgi_inspection *in, struct imgi_info *info,
                          const char *device)
{
    struct imgi_inspection there = {.guest = in->guest, .root = in->root, .device = device};

    if (img_tree_new(&there.tree, in->guest, NULL) < 0)
        return;
    if (img_tree_mount(there.tree, device, "/", NULL) == 0)
        say_vendors(&there, info, "/EFI");
    img_tree_free(there.tree);
}

static void say_partitions(const struct imgi_inspection *in, struct imgi_info *info)
{
    img_volume volume;

    for (size_t n = 0; img_guest_volume(in->guest, n, &volume, NULL) == 0; n++) {
        if (volume.type && volume.holds_filesystem && !imgi_inspect_is_mounted(in, volume.device) &&
            (strcasecmp(volume.type, EFI_SYSTEM) == 0 || strcmp(volume.type, "0xef") == 0))
            say_partition(in, info, volume.device);
    }
}

void imgi_boot_say(const struct imgi_inspection *in, struct imgi_info *info)
{
    static const char *const directories[] = {"/boot/efi/EFI", "/efi/EFI", "/boot/EFI"};

    if (strcmp(in->root->name, "linux") == 0)
        say_kernels(in, info);
    imgi_info_list_begin(info, "boot_loaders");
    say_configured(in, info);
    for (size_t n = 0; n < IMGI_COUNT(directories); n++)
        say_vendors(in, info, directories[n]);
    say_partitions(in, info);
    imgi_info_list_end(info);
}

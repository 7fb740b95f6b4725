/*
 * img filesystems. SPDX-License-Identifier: BSD-2-Clause
 *
 * What virt-filesystems lists, in its order: filesystems, partitions, physical and logical volumes,
 * block devices. A volume may be several of these, and is listed as often.
 */
#include <string.h>

#include "columns.h"
#include "guest.h"

enum {
    FILESYSTEMS = 1u << 0,
    EXTRA = 1u << 1, /* swap, and what is not known */
    PARTITIONS = 1u << 2,
    PHYSICAL_VOLUMES = 1u << 3,
    LOGICAL_VOLUMES = 1u << 4,
    DEVICES = 1u << 5,
    ALL = FILESYSTEMS | EXTRA | PARTITIONS | PHYSICAL_VOLUMES | LOGICAL_VOLUMES | DEVICES
};

struct args {
    struct guest_args guest;
    unsigned wanted;
    bool longer, human, csv, uuid, no_title;
};

static const struct cmd_option options[] = {
    OPTIONS_GUEST,
    {OPT_ALL, "all", NULL, "list everything"},
    {OPT_FILESYSTEMS, "filesystems", NULL, "list filesystems (the default)"},
    {OPT_EXTRA, "extra", NULL, "list swap and what cannot be mounted, too"},
    {OPT_PARTITIONS, "partitions", NULL, "list partitions"},
    {OPT_PARTITIONS, "parts", NULL, NULL},
    {OPT_PHYSICAL_VOLUMES, "physical-volumes", NULL, "list physical volumes of LVM"},
    {OPT_PHYSICAL_VOLUMES, "physvols", NULL, NULL},
    {OPT_PHYSICAL_VOLUMES, "pvs", NULL, NULL},
    {OPT_LOGICAL_VOLUMES, "logical-volumes", NULL, "list logical volumes of LVM"},
    {OPT_LOGICAL_VOLUMES, "logvols", NULL, NULL},
    {OPT_LOGICAL_VOLUMES, "lvs", NULL, NULL},
    {OPT_BLOCK_DEVICES, "block-devices", NULL, "list disks, RAID arrays and opened LUKS volumes"},
    {OPT_BLOCK_DEVICES, "blkdevs", NULL, NULL},
    {'l', "long", NULL, "say what is known of each"},
    {'h', "human-readable", NULL, "with -l: sizes with a unit"},
    {OPT_UUID, "uuid", NULL, "with -l: UUIDs too"},
    {OPT_UUID, "uuids", NULL, NULL},
    {OPT_NO_TITLE, "no-title", NULL, "with -l: no titles above the columns"},
    {OPT_CSV, "csv", NULL, "as comma-separated values"},
    OPTION_QUIET,
    OPTION_OUTPUT,
    {OPT_HELP, "help", NULL, "show this help"},
    OPTIONS_END,
};

/* Options that name what is to be listed. */
static unsigned kinds_of(int key)
{
    static const struct {
        int key;
        unsigned kinds;
    } lists[] = {
        {OPT_ALL, ALL},
        {OPT_FILESYSTEMS, FILESYSTEMS},
        {OPT_EXTRA, FILESYSTEMS | EXTRA},
        {OPT_PARTITIONS, PARTITIONS},
        {OPT_PHYSICAL_VOLUMES, PHYSICAL_VOLUMES},
        {OPT_LOGICAL_VOLUMES, LOGICAL_VOLUMES},
        {OPT_BLOCK_DEVICES, DEVICES},
        {0, 0},
    };
    size_t n = 0;

    while (lists[n].key && lists[n].key != key)
        n++;
    return lists[n].kinds;
}

static bool take_option(struct cli *cli, void *opaque, int key, const char *value)
{
    struct args *args = opaque;

    args->wanted |= kinds_of(key);
    if (kinds_of(key))
        return true;
    switch (key) {
    case 'l':
        return args->longer = true;
    case 'h':
        return args->human = true;
    case OPT_UUID:
        return args->uuid = true;
    case OPT_NO_TITLE:
        return args->no_title = true;
    case OPT_CSV:
        return args->csv = true;
    default:
        return guest_take_option(cli, &args->guest, key, value);
    }
}

static bool parse(struct cli *cli, struct args *args, int argc, char **argv)
{
    int first;

    if (!cli_options(cli, argc, argv, take_option, args, &first) ||
        !guest_take_image(cli, &args->guest, argc, argv, &first))
        return false;
    if (first < argc)
        return cli_fail_usage(cli, "Unexpected operand '%s'", argv[first]);
    if (args->human && args->csv)
        return cli_fail_usage(cli, "-h and --csv cannot be used together");
    if (args->wanted == 0)
        args->wanted = FILESYSTEMS;
    return open_settle(cli, "", &args->guest.open);
}

/* --------------------------------------------------------------------- lines */

struct list {
    struct cli *cli;
    const struct args *args;
    struct columns columns;
    struct emit emit;
};

/* An item. What it does not have is NULL. */
struct line {
    const char *type;
    const char *vfs, *label, *parent, *uuid;
    char mbr[8];
};

static bool add(struct list *list, const char *text)
{
    return columns_add(list->cli, &list->columns, text ? text : "-");
}

static bool show_size(struct list *list, uint64_t size)
{
    char text[SIZE_TEXT];

    return list->args->human ? add(list, guest_size(text, size))
                             : columns_add_uint(list->cli, &list->columns, size);
}

static void emit_line(struct emit *emit, const img_volume *volume, const struct line *line)
{
    const struct {
        const char *key, *value;
    } texts[] = {
        {"name", volume->device},
        {"type", line->type},
        {"vfs", line->vfs},
        {"label", line->label},
        {"mbr", line->mbr[0] ? line->mbr : NULL},
        {"parent", line->parent},
        {"uuid", line->uuid},
        {"scheme", volume->scheme},
        {"partition-type", volume->type},
        {"partition-name", volume->name},
        {"partition-uuid", volume->part_uuid},
    };

    emit_begin(emit, NULL, '{');
    for (size_t n = 0; n < sizeof(texts) / sizeof(texts[0]); n++) {
        if (texts[n].value)
            emit_string(emit, texts[n].key, texts[n].value);
    }
    emit_uint(emit, "size", volume->size);
    emit_end(emit, '}');
}

static bool show(struct list *list, const img_volume *volume, const struct line *line)
{
    const struct args *args = list->args;

    if (list->cli->json) {
        emit_line(&list->emit, volume, line);
        return true;
    }
    if (!add(list, volume->device) || !args->longer)
        return !args->longer;
    return add(list, line->type) &&
           (!(args->wanted & FILESYSTEMS) || (add(list, line->vfs) && add(list, line->label))) &&
           (!(args->wanted & PARTITIONS) || add(list, line->mbr[0] ? line->mbr : NULL)) &&
           show_size(list, volume->size) && add(list, line->parent) &&
           (!args->uuid || add(list, line->uuid));
}

static bool show_titles(struct list *list)
{
    const struct args *args = list->args;
    const char *titles[COLUMNS_MAX];
    bool ok = true;
    size_t count = 0;

    titles[count++] = "Name";
    if (args->longer) {
        titles[count++] = "Type";
        if (args->wanted & FILESYSTEMS) {
            titles[count++] = "VFS";
            titles[count++] = "Label";
        }
        if (args->wanted & PARTITIONS)
            titles[count++] = "MBR";
        titles[count++] = "Size";
        titles[count++] = "Parent";
        if (args->uuid)
            titles[count++] = "UUID";
    }
    list->columns.width = count;
    for (size_t n = 0; ok && args->longer && !args->no_title && n < count; n++)
        ok = add(list, titles[n]);
    return ok;
}

/* --------------------------------------------------------------------- kinds */

static bool is_content(const img_volume *volume, const char *content)
{
    return volume->content && strcmp(volume->content, content) == 0;
}

/* Parts of something larger are no filesystems, and a disk that has partitions is none. */
static bool is_extra(const img_volume *volume)
{
    bool part = is_content(volume, "LVM2_member") || is_content(volume, "linux_raid_member");

    return !volume->holds_filesystem && !part && !volume->scheme &&
           (volume->content || volume->kind != IMG_VOLUME_DISK);
}

/* MBR's number of an extended partition. */
static bool is_extended(const img_volume *volume)
{
    return volume->type && (strcmp(volume->type, "0x05") == 0 ||
                            strcmp(volume->type, "0x0f") == 0 || strcmp(volume->type, "0x85") == 0);
}

static bool show_filesystem(struct list *list, const img_volume *volume)
{
    struct line line = {.type = "filesystem",
                        .vfs = volume->content ? volume->content : "unknown",
                        .label = volume->label,
                        .uuid = volume->uuid};

    if (!volume->holds_filesystem &&
        (!(list->args->wanted & EXTRA) || !is_extra(volume) || is_extended(volume)))
        return true;
    return show(list, volume, &line);
}

static bool show_partition(struct list *list, const img_volume *volume)
{
    struct line line = {.type = "partition", .parent = volume->parent};

    if (volume->kind != IMG_VOLUME_PARTITION)
        return true;
    if (volume->type && strncmp(volume->type, "0x", 2) == 0)
        snprintf(line.mbr, sizeof(line.mbr), "%s", volume->type + 2);
    return show(list, volume, &line);
}

static bool show_physical(struct list *list, const img_volume *volume)
{
    struct line line = {.type = "pv", .uuid = volume->uuid};

    return !is_content(volume, "LVM2_member") || show(list, volume, &line);
}

static bool show_logical(struct list *list, const img_volume *volume)
{
    struct line line = {.type = "lv", .parent = volume->parent};

    return volume->kind != IMG_VOLUME_LOGICAL || show(list, volume, &line);
}

static bool show_device(struct list *list, const img_volume *volume)
{
    struct line line = {.type = "device", .parent = volume->parent};

    return volume->kind == IMG_VOLUME_PARTITION || volume->kind == IMG_VOLUME_LOGICAL ||
           show(list, volume, &line);
}

/* ---------------------------------------------------------------- command */

static bool show_all(struct list *list, img_guest *guest)
{
    static const struct {
        unsigned kind;
        bool (*show)(struct list *list, const img_volume *volume);
    } kinds[] = {
        {FILESYSTEMS, show_filesystem},
        {PARTITIONS, show_partition},
        {PHYSICAL_VOLUMES, show_physical},
        {LOGICAL_VOLUMES, show_logical},
        {DEVICES, show_device},
    };
    bool ok = true;

    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        img_volume volume;

        for (size_t n = 0; ok && (list->args->wanted & kinds[k].kind) &&
                           img_guest_volume(guest, n, &volume, NULL) == 0;
             n++)
            ok = kinds[k].show(list, &volume);
    }
    return ok;
}

static void print(struct cli *cli, const struct args *args, img_guest *guest)
{
    struct list list = {.cli = cli, .args = args, .emit = {.out = stdout}};

    if (cli->json) {
        emit_begin(&list.emit, NULL, '[');
        show_all(&list, guest);
        emit_end(&list.emit, ']');
    } else if (show_titles(&list) && show_all(&list, guest)) {
        columns_print(&list.columns, args->csv);
    }
    columns_clear(&list.columns);
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {0};
    struct guest guest = {0};

    if (parse(cli, &args, argc, argv) && guest_open(cli, &guest, &args.guest)) {
        guest_assemble(cli, &guest);
        print(cli, &args, guest.guest);
    }
    guest_close(&guest);
    guest_args_clear(&args.guest);
    return cli->status;
}

const struct cmd cmd_filesystems = {
    .name = "filesystems",
    .summary = "list the filesystems and partitions in an image",
    .usage = "[OPTION]... FILE",
    .about = "List the filesystems in an image, or its partitions, volumes and disks, by the names "
             "that other\n"
             "commands take them by. LVM, RAID and LUKS are looked into by libguestfs, which takes "
             "its time.\n",
    .examples = "filesystems disk.qcow2\n"
                "filesystems --all --long --uuid -h disk.vmdk\n"
                "filesystems --partitions -l --csv -a system.qcow2 -a data.qcow2\n",
    .options = options,
    .run = run,
};

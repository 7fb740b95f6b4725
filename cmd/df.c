/*
 * img df. SPDX-License-Identifier: BSD-2-Clause
 */
#include <inttypes.h>

#include "columns.h"
#include "guest.h"

struct args {
    struct guest_args guest;
    bool human, inodes, csv, uuid;
};

static const struct cmd_option options[] = {
    OPTIONS_GUEST,
    {'h', "human-readable", NULL, "sizes with a unit"},
    {'i', "inodes", NULL, "tell of inodes instead of blocks"},
    {OPT_UUID, "uuid", NULL, "name filesystems by their UUIDs"},
    {OPT_CSV, "csv", NULL, "as comma-separated values"},
    OPTION_QUIET,
    OPTION_OUTPUT,
    {OPT_HELP, "help", NULL, "show this help"},
    OPTIONS_END,
};

static bool take_option(struct cli *cli, void *opaque, int key, const char *value)
{
    struct args *args = opaque;

    switch (key) {
    case 'h':
        args->human = true;
        return true;
    case 'i':
        args->inodes = true;
        return true;
    case OPT_UUID:
        args->uuid = true;
        return true;
    case OPT_CSV:
        args->csv = true;
        return true;
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
    return open_settle(cli, "", &args->guest.open);
}

/* ----------------------------------------------------------------- figures */

/* What df(1) makes of a filesystem's figures, in bytes or inodes. */
struct figures {
    uint64_t total, used, available;
    unsigned percent;
};

static uint64_t times(uint64_t count, uint64_t size)
{
    uint64_t bytes;

    return __builtin_mul_overflow(count, size, &bytes) ? UINT64_MAX : bytes;
}

static struct figures figures_of(const img_fs_usage *usage, bool inodes)
{
    uint64_t size = inodes ? 1 : usage->block_size;
    uint64_t total = inodes ? usage->files : usage->blocks;
    uint64_t unused = inodes ? usage->files_free : usage->blocks_free;
    struct figures figures = {
        .total = times(total, size),
        .used = times(total > unused ? total - unused : 0, size),
        .available = times(inodes ? unused : usage->blocks_available, size),
    };
    double whole = (double)figures.used + (double)figures.available;
    double percent = whole > 0 ? 100.0 * (double)figures.used / whole : 0;

    figures.percent = (unsigned)percent + (percent > (unsigned)percent);
    return figures;
}

static bool add_number(struct cli *cli, const struct args *args, struct columns *columns,
                       uint64_t number)
{
    char text[SIZE_TEXT];

    if (args->human)
        return columns_add(cli, columns, guest_size(text, number));
    return columns_add_uint(cli, columns, args->inodes ? number : (number + 512) / 1024);
}

static bool add_titles(struct cli *cli, const struct args *args, struct columns *columns)
{
    static const char *const blocks[] = {"Filesystem", "1K-blocks", "Used", "Available", "Use%"};
    static const char *const inodes[] = {"Filesystem", "Inodes", "IUsed", "IFree", "IUse%"};
    bool ok = true;

    for (size_t n = 0; ok && n < columns->width; n++) {
        const char *title = args->inodes ? inodes[n] : blocks[n];

        ok = columns_add(cli, columns, n == 1 && args->human && !args->inodes ? "Size" : title);
    }
    return ok;
}

static bool add_row(struct cli *cli, const struct args *args, struct columns *columns,
                    const char *name, const struct figures *figures)
{
    char percent[16];

    snprintf(percent, sizeof(percent), "%u%%", figures->percent);
    return columns_add(cli, columns, name) && add_number(cli, args, columns, figures->total) &&
           add_number(cli, args, columns, figures->used) &&
           add_number(cli, args, columns, figures->available) && columns_add(cli, columns, percent);
}

static void emit_usage(struct emit *emit, const img_volume *volume, const img_fs_usage *usage)
{
    struct figures blocks = figures_of(usage, false);

    emit_begin(emit, NULL, '{');
    emit_string(emit, "filesystem", volume->device);
    emit_string(emit, "vfs", volume->content);
    if (volume->label)
        emit_string(emit, "label", volume->label);
    if (volume->uuid)
        emit_string(emit, "uuid", volume->uuid);
    emit_uint(emit, "block-size", usage->block_size);
    emit_uint(emit, "size", blocks.total);
    emit_uint(emit, "used", blocks.used);
    emit_uint(emit, "available", blocks.available);
    emit_uint(emit, "inodes", usage->files);
    emit_uint(emit, "inodes-used",
              usage->files > usage->files_free ? usage->files - usage->files_free : 0);
    emit_uint(emit, "inodes-free", usage->files_free);
    emit_end(emit, '}');
}

/* ----------------------------------------------------------------- the list */

/* One that cannot be read does not hide the others. */
static bool show(struct cli *cli, const struct args *args, struct guest *guest,
                 const img_volume *volume, struct columns *columns, struct emit *emit)
{
    const char *name = args->uuid && volume->uuid ? volume->uuid : volume->device;
    struct figures figures;
    img_fs_usage usage;
    img_error err = {0};
    img_fs *fs;

    if (img_guest_fs(guest->guest, volume->device, &fs, &err) < 0 ||
        img_fs_usage_of(fs, &usage, &err) < 0) {
        guest_fail(guest, &err, volume->device);
        return true;
    }
    figures = figures_of(&usage, args->inodes);
    if (!cli->json)
        return add_row(cli, args, columns, name, &figures);
    emit_usage(emit, volume, &usage);
    return true;
}

static void list(struct cli *cli, const struct args *args, struct guest *guest)
{
    struct columns columns = {.width = 5, .right = 0x1e};
    struct emit emit = {.out = stdout};
    img_volume volume;
    bool ok = add_titles(cli, args, &columns);

    if (cli->json)
        emit_begin(&emit, NULL, '[');
    for (size_t n = 0; ok && img_guest_volume(guest->guest, n, &volume, NULL) == 0; n++) {
        if (volume.holds_filesystem)
            ok = show(cli, args, guest, &volume, &columns, &emit);
    }
    if (cli->json)
        emit_end(&emit, ']');
    else
        columns_print(&columns, args->csv);
    columns_clear(&columns);
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {0};
    struct guest guest = {0};

    if (parse(cli, &args, argc, argv) && guest_open(cli, &guest, &args.guest)) {
        guest_assemble(cli, &guest);
        list(cli, &args, &guest);
    }
    guest_close(&guest);
    guest_args_clear(&args.guest);
    return cli->status;
}

const struct cmd cmd_df = {
    .name = "df",
    .summary = "tell how full the filesystems in an image are",
    .usage = "[OPTION]... FILE",
    .about = "Tell how large the filesystems in an image are, and how much of them is in use, as "
             "df does for those\n"
             "of the host.\n",
    .examples = "df -h disk.qcow2\n"
                "df -i disk.vmdk\n"
                "df --csv -a system.qcow2 -a data.qcow2\n",
    .options = options,
    .run = run,
};

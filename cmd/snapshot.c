/*
 * img snapshot. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <time.h>

#include "cmd.h"

struct args {
    struct open_args open;
    const char *filename, *snapshot;
    int action; /* its option's letter; 0: none was given */
};

static const struct cmd_option options[] = {
    {'l', "list", NULL, "list the snapshots (the default)"},
    {'c', "create", "NAME", "keep the disk as it is now"},
    {'a', "apply", "SNAPSHOT", "make the disk what it was, by the snapshot's id or name"},
    {'d', "delete", "NAME", "delete the first snapshot of that name"},
    OPTIONS_OPEN,
    OPTION_SHARE,
    OPTION_QUIET,
    OPTION_OUTPUT,
    OPTION_HELP,
    OPTIONS_END,
};

static bool take_option(struct cli *cli, void *opaque, int key, const char *value)
{
    struct args *args = opaque;

    switch (key) {
    case 'l':
    case 'c':
    case 'a':
    case 'd':
        if (args->action)
            return cli_fail_usage(cli, "Cannot mix '-l', '-a', '-c', '-d'");
        args->action = key;
        args->snapshot = value;
        return true;
    default:
        return open_take_option(cli, &args->open, key, value);
    }
}

static bool parse(struct cli *cli, struct args *args, int argc, char **argv)
{
    int first;

    if (!cli_options(cli, argc, argv, take_option, args, &first))
        return false;
    if (argc - first != 1)
        return cli_fail_usage(cli, "Expecting one image file name");
    args->filename = argv[first];
    if (!args->action)
        args->action = 'l';
    if (args->action != 'l')
        args->open.flags |= IMG_OPEN_WRITE;
    return open_settle(cli, "", &args->open);
}

static bool list(struct cli *cli, img_image *image)
{
    json_t *info = output_describe(cli, image);

    if (!info)
        return false;
    if (cli->json)
        output_snapshots_json(json_object_get(info, "snapshots"));
    else
        output_snapshots(json_object_get(info, "snapshots"));
    json_decref(info);
    return true;
}

/* The number that qemu-img's message has for what went wrong. */
static int error_number(const img_error *err)
{
    static const struct {
        int code, number;
    } numbers[] = {
        {IMG_E_UNSUPPORTED, EOPNOTSUPP}, {IMG_E_INVAL, EINVAL}, {IMG_E_LIMIT, EFBIG},
        {IMG_E_NOSPACE, ENOSPC},         {IMG_E_NOMEM, ENOMEM}, {IMG_E_RDONLY, EACCES},
    };

    for (size_t n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++)
        if (!err->os_errno && numbers[n].code == err->code)
            return numbers[n].number;
    return err->os_errno ? err->os_errno : EIO;
}

static bool create(struct cli *cli, const struct args *args, img_image *image)
{
    img_snapshot snapshot = {.name = args->snapshot};
    img_error err = {0};
    struct timespec now;
    int number;

    clock_gettime(CLOCK_REALTIME, &now);
    snapshot.date_sec = (uint64_t)now.tv_sec;
    snapshot.date_nsec = (uint32_t)now.tv_nsec;
    if (img_snapshot_create(image, &snapshot, &err) == 0)
        return true;
    number = error_number(&err);
    return cli_fail_error(cli, &err, "Could not create snapshot '%s': -%d (%s)", args->snapshot,
                          number, strerror(number));
}

static bool apply(struct cli *cli, const struct args *args, img_image *image)
{
    img_error err = {0};

    if (img_snapshot_apply(image, args->snapshot, NULL, &err) == 0)
        return true;
    if (err.code == IMG_E_NOENT && img_snapshot_apply(image, NULL, args->snapshot, &err) == 0)
        return true;
    if (err.code == IMG_E_NOENT)
        return cli_fail_code(cli, err.code,
                             "Could not apply snapshot '%s': Failed to load snapshot: %s",
                             args->snapshot, strerror(ENOENT));
    if (err.code == IMG_E_UNSUPPORTED)
        return cli_fail_code(cli, err.code,
                             "Could not apply snapshot '%s': Block driver does not support "
                             "snapshots",
                             args->snapshot);
    return cli_fail_error(cli, &err, "Could not apply snapshot '%s'", args->snapshot);
}

static bool delete (struct cli *cli, const struct args *args, img_image *image)
{
    img_error err = {0};

    if (img_snapshot_delete(image, NULL, args->snapshot, &err) == 0)
        return true;
    if (err.code == IMG_E_NOENT || err.code == IMG_E_UNSUPPORTED)
        return cli_fail_code(cli, err.code, "Could not delete snapshot '%s': snapshot not found",
                             args->snapshot);
    return cli_fail_error(cli, &err, "Could not delete snapshot '%s'", args->snapshot);
}

static bool act(struct cli *cli, const struct args *args, img_image *image)
{
    switch (args->action) {
    case 'c':
        return create(cli, args, image);
    case 'a':
        return apply(cli, args, image);
    case 'd':
        return delete (cli, args, image);
    default:
        return list(cli, image);
    }
}

/*
 * VMDK keeps snapshots in files of their own. Said before the image is opened for writing, which
 * some of its forms cannot be: that would hide it. qemu-img has words for the other formats.
 */
static bool advise(struct cli *cli, const struct args *args)
{
    img_open_params params = open_params(cli, &args->open);
    img_image *image = NULL;
    img_error err = {0};
    bool advised = false;

    params.flags &= ~(unsigned)IMG_OPEN_WRITE;
    params.flags |= IMG_OPEN_NO_BACKING | IMG_OPEN_NO_FILES | IMG_OPEN_NO_KEY;
    if (args->action != 'l' && img_open(&image, args->filename, &params, NULL) == 0)
        advised = strcmp(img_format(image), "vmdk") == 0 &&
                  img_snapshot_supported(image, &err) == IMG_E_UNSUPPORTED;
    img_close(image, NULL);
    if (advised)
        cli_fail_error(cli, &err, "%s", args->filename);
    return advised;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {0};
    img_image *image = NULL;
    img_error err = {0};
    bool ok;

    if (!parse(cli, &args, argc, argv))
        return cli->status;
    signals_catch();
    if (advise(cli, &args))
        return cli->status;
    if (!open_image(cli, &image, args.filename, &args.open))
        return cli->status;
    if (args.action != 'l')
        open_warn_guessed(cli, image);
    ok = act(cli, &args, image);
    if (img_close(image, &err) < 0 && ok)
        cli_fail_error(cli, &err, "%s", args.filename);
    return cli->status;
}

const struct cmd cmd_snapshot = {
    .name = "snapshot",
    .summary = "list, create, apply and delete the snapshots inside an image",
    .usage = "[-l | -c NAME | -a SNAPSHOT | -d NAME] [OPTION]... FILE",
    .about = "Keep states of a disk inside its image (qcow2), go back to one, and drop one. An "
             "operation\n"
             "happens wholly or not at all, even if the machine stops in the middle of it. "
             "'convert -l'\n"
             "reads a snapshot without going back to it.\n",
    .examples = "snapshot -c before-upgrade disk.qcow2\n"
                "snapshot -l disk.qcow2\n"
                "snapshot -a before-upgrade disk.qcow2\n"
                "convert -l before-upgrade -O raw disk.qcow2 old.raw\n",
    .options = options,
    .run = run,
};

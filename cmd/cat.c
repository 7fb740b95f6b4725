/*
 * img cat. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "guest.h"

#define CHUNK (1u << 20)

static const struct cmd_option options[] = {
    OPTIONS_GUEST_FILES, OPTION_NO_GLOB, OPTION_QUIET, OPTION_OUTPUT, OPTION_HELP, OPTIONS_END,
};

static bool take_option(struct cli *cli, void *opaque, int key, const char *value)
{
    return guest_take_option(cli, opaque, key, value);
}

/* False when standard output takes no more. */
static bool copy_out(struct guest *guest, img_file *file, const char *path, void *buffer)
{
    struct cli *cli = guest->cli;
    img_error err = {0};
    size_t length;

    for (uint64_t at = 0; at < img_file_size(file); at += length) {
        length = CHUNK;
        if (signals_stopped(cli))
            return false;
        if (img_file_read(file, at, buffer, &length, &err) < 0) {
            guest_fail(guest, &err, path);
            return true;
        }
        if (fwrite(buffer, 1, length, stdout) != length)
            return cli_fail(cli, "error writing the output: %s", strerror(errno));
    }
    return true;
}

static bool show(struct guest *guest, const char *path, void *buffer)
{
    img_error err = {0};
    img_file *file;
    img_place place;
    img_stat stat;
    bool ok;

    if (!guest_find(guest, path, 0, &place, &stat))
        return true;
    if (!S_ISREG(stat.mode)) {
        guest_fail_code(guest, IMG_E_INVAL, path,
                        S_ISDIR(stat.mode) ? strerror(EISDIR) : "it is no regular file");
        return true;
    }
    if (img_file_open(&file, place.fs, place.inode, &err) < 0) {
        guest_fail(guest, &err, path);
        return true;
    }
    ok = copy_out(guest, file, path, buffer);
    img_file_close(file);
    return ok;
}

static void show_all(struct cli *cli, struct guest *guest, const struct guest_args *args, int count,
                     char **operands)
{
    struct guest_paths paths = {0};
    void *buffer = malloc(CHUNK);
    bool ok = buffer || cli_fail_nomem(cli);

    if (ok)
        guest_expand_all(guest, operands, count, args->literal, &paths);
    for (size_t n = 0; ok && n < paths.count; n++)
        ok = show(guest, paths.list[n], buffer);
    guest_paths_clear(&paths);
    free(buffer);
}

static bool parse(struct cli *cli, struct guest_args *args, int argc, char **argv, int *first)
{
    if (!cli_options(cli, argc, argv, take_option, args, first) ||
        !guest_take_image(cli, args, argc, argv, first))
        return false;
    return *first < argc || cli_fail_usage(cli, "Expecting the path of a file in the guest");
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct guest_args args = {0};
    struct guest guest = {0};
    int first;

    if (parse(cli, &args, argc, argv, &first)) {
        if (guest_open(cli, &guest, &args) && guest_mount(cli, &guest, &args))
            show_all(cli, &guest, &args, argc - first, argv + first);
        guest_close(&guest);
    }
    guest_args_clear(&args);
    return cli->status;
}

const struct cmd cmd_cat = {
    .name = "cat",
    .summary = "print a guest's files",
    .usage = "[OPTION]... IMAGE PATH...",
    .about =
        "Print the content of files inside the guest of an image. Symbolic links are followed as "
        "the\n"
        "guest would follow them. A path that is no file's name may be a pattern. With -a all\n"
        "operands are paths.\n",
    .examples = "cat disk.qcow2 /etc/os-release\n"
                "cat --snapshot=before disk.qcow2 '/etc/apt/*.list'\n",
    .options = options,
    .run = run,
};

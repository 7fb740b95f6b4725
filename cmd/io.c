/*
 * img io: reading and writing a disk, for scripts and tests. SPDX-License-Identifier: BSD-2-Clause
 *
 * Commands come from -c, or a line each from standard input. One that fails does not end the
 * others; the exit status tells that there was one.
 */
#include <stdlib.h>
#include <string.h>

#include "io.h"

#define COMMANDS_MAX 4096
#define WORDS_MAX 256

struct args {
    struct open_args open;
    const char *filename, *discard, *aio;
    char *commands[COMMANDS_MAX];
    size_t count;
    bool uncached, snapshot;
};

static const struct cmd_option options[] = {
    {'c', "cmd", "COMMAND", "do this; may be given many times (default: lines of standard input)"},
    OPTIONS_OPEN,
    {'r', "read-only", NULL, "open it for reading only"},
    {'s', "snapshot", NULL, "write into a temporary overlay, which is gone at the end"},
    {'n', "nocache", NULL, "the same as -t none"},
    {'t', "cache", "MODE", "how to read and write (default: writeback)"},
    {'d', "discard", "MODE", "what a discard does: unmap (the default) or ignore"},
    {'i', "aio", "HOW", "accepted: threads, native or io_uring"},
    {'k', "native-aio", NULL, "accepted: the same as -i native"},
    {'m', "misalign", NULL, "accepted: buffers may lie anywhere"},
    {'C', "copy-on-read", NULL, "not supported: it is refused"},
    {'T', "trace", "WHAT", "accepted, and nothing is traced"},
    OPTION_SHARE,
    OPTION_HELP,
    OPTIONS_END,
};

static bool take_option(struct cli *cli, void *opaque, int key, const char *value)
{
    struct args *args = opaque;

    switch (key) {
    case 'c':
        if (args->count == COMMANDS_MAX)
            return cli_fail(cli, "more than %d commands", COMMANDS_MAX);
        args->commands[args->count++] = (char *)(uintptr_t)value;
        break;
    case 'r':
        args->open.flags &= ~(unsigned)IMG_OPEN_WRITE;
        break;
    case 'n':
        args->uncached = true;
        break;
    case 'd':
        args->discard = value;
        break;
    case 's':
        args->snapshot = true;
        break;
    case 'i':
        args->aio = value;
        break;
    case 'C':
        return cli_fail(cli, "copy-on-read is not supported");
    case 'T': /* no cache mode */
        break;
    default:
        return open_take_option(cli, &args->open, key, value);
    }
    return true;
}

static const struct io_command *find_command(const char *name)
{
    const struct io_command *command = io_commands;

    while (command->name && strcmp(command->name, name) != 0 &&
           !(command->alias && strcmp(command->alias, name) == 0))
        command++;
    return command->name ? command : NULL;
}

static void say_count(const struct io_command *command, const char *name, int count)
{
    fprintf(stderr, "bad argument count %d to %s, expected ", count, name);
    if (command->most < 0)
        fprintf(stderr, "at least %d arguments\n", command->least);
    else if (command->least == command->most)
        fprintf(stderr, "%d arguments\n", command->least);
    else
        fprintf(stderr, "between %d and %d arguments\n", command->least, command->most);
}

/* Run one line; false when the command failed. */
static bool run_line(struct io *io, const char *line)
{
    char *copy = strdup(line), *save = NULL, *words[WORDS_MAX + 1];
    const struct io_command *command;
    int count = 0;
    bool ok = false;

    if (!copy)
        return cli_fail_nomem(io->cli);
    for (char *word = strtok_r(copy, " \n", &save); word && count < WORDS_MAX;
         word = strtok_r(NULL, " \n", &save))
        words[count++] = word;
    words[count] = NULL;
    command = count > 0 ? find_command(words[0]) : NULL;
    if (count == 0) {
        ok = true;
    } else if (!command) {
        fprintf(stderr, "command \"%s\" not found\n", words[0]);
    } else if (command->needs_image && !io->image) {
        fprintf(stderr, "no file open, try 'help open'\n");
    } else if (count - 1 < command->least || (command->most >= 0 && count - 1 > command->most)) {
        say_count(command, words[0], count - 1);
    } else {
        ok = command->run(io, command, count, words);
    }
    free(copy);
    fflush(stdout);
    return ok;
}

static bool run_input(struct io *io)
{
    char *line = NULL;
    size_t room = 0;
    bool ok = true;

    while (!io->quit && !signals_stop() && getline(&line, &room, stdin) >= 0)
        ok = run_line(io, line) && ok;
    free(line);
    return ok;
}

static bool run_commands(struct io *io, const struct args *args)
{
    bool ok = true;

    if (args->count == 0)
        return run_input(io);
    for (size_t n = 0; n < args->count && !io->quit && !signals_stop(); n++)
        ok = run_line(io, args->commands[n]) && ok;
    return ok;
}

static bool parse(struct io *io, struct args *args, int argc, char **argv, bool *unmap)
{
    int first;

    if (!cli_options(io->cli, argc, argv, take_option, args, &first))
        return false;
    if (argc - first > 1)
        return cli_fail_usage(io->cli, "Expecting one image file name at most");
    args->filename = first < argc ? argv[first] : NULL;
    if (args->uncached)
        args->open.cache = IMG_CACHE_NONE;
    if (args->discard && !io_parse_discard(io, args->discard, unmap))
        return false;
    if (args->aio && !aio_check(io->cli, args->aio))
        return false;
    return open_settle(io->cli, "", &args->open);
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {.open = {.flags = IMG_OPEN_WRITE}};
    struct io io = {.cli = cli};
    img_error err = {0};
    bool unmap = true, ok;

    if (!parse(&io, &args, argc, argv, &unmap))
        return cli->status;
    signals_catch();
    io.open = args.open;
    if (args.filename &&
        !(args.snapshot ? io_open_snapshot : io_open)(&io, args.filename, &args.open, unmap))
        return cli->status;
    ok = run_commands(&io, &args);
    if (img_close(io.image, &err) < 0)
        ok = cli_fail_error(cli, &err, "%s", err.image);
    io_forget(&io);
    if (!ok)
        cli->status = 1;
    signals_stopped(cli);
    return cli->status;
}

const struct cmd cmd_io = {
    .name = "io",
    .summary = "read and write a disk from a script",
    .usage = "[OPTION]... [-c COMMAND]... [FILE]",
    .about =
        "Do what the commands say, as qemu-io does, and print the lines that it prints. 'help' "
        "lists the\n"
        "commands; one with arguments is quoted, as in -c 'write -P 0xa 0 64k'. The exit "
        "status\n"
        "is 1 when one of them failed.\n",
    .examples = "io -r -c map -c length disk.qcow2\n"
                "io -c help\n",
    .options = options,
    .run = run,
};

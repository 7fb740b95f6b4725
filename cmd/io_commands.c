/*
 * img io: its commands but those that move bytes. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "io.h"

bool io_usage(const struct io_command *command)
{
    printf("%s %s -- %s\n", command->name, command->arguments, command->summary);
    return false;
}

bool io_number(const char *text, uint64_t *number)
{
    if (img_parse_size(text, number, NULL) == 0)
        return true;
    printf("Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- %s\n", text);
    return false;
}

const char *io_size_text(char text[IO_TEXT], double bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0, length;

    while (bytes >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, IO_TEXT - 6, unit ? "%.3f" : "%f", bytes);
    length = strcspn(text, ".");
    if (strspn(text + length + 1, "0") == strlen(text + length + 1))
        text[length] = '\0';
    length = strlen(text);
    snprintf(text + length, IO_TEXT - length, " %s", units[unit]);
    return text;
}

static bool is_allocated(const img_extent *extent)
{
    return extent->depth == 0 && (extent->flags & IMG_EXTENT_PRESENT);
}

/* The run at offset that this image alone decides, or does not: *length and *allocated. */
static bool next_run(struct io *io, uint64_t offset, uint64_t end, uint64_t *length,
                     bool *allocated)
{
    img_extent extent;
    img_error err = {0};

    for (*length = 0; offset + *length < end; *length += extent.length) {
        if (img_map(io->image, offset + *length, end - offset - *length, &extent, &err) < 0)
            return cli_fail_error(io->cli, &err, "%s", img_name(io->image));
        if (*length == 0)
            *allocated = is_allocated(&extent);
        else if (*allocated != is_allocated(&extent))
            break;
    }
    return true;
}

static bool io_map(struct io *io, const struct io_command *command, int argc, char **argv)
{
    uint64_t end = img_size(io->image), length;

    (void)command, (void)argc, (void)argv;
    for (uint64_t offset = 0; offset < end; offset += length) {
        char bytes[IO_TEXT], place[IO_TEXT];
        bool allocated = false;

        if (!next_run(io, offset, end, &length, &allocated))
            return false;
        printf("%s (0x%" PRIx64 ") bytes %s allocated at offset %s (0x%" PRIx64 ")\n",
               io_size_text(bytes, (double)length), length, allocated ? "   " : "not",
               io_size_text(place, (double)offset), offset);
    }
    return true;
}

static bool io_alloc(struct io *io, const struct io_command *command, int argc, char **argv)
{
    uint64_t start, count = 512, size = img_size(io->image), sum = 0, length;
    char place[IO_TEXT];

    (void)command;
    if (!io_number(argv[1], &start) || (argc > 2 && !io_number(argv[2], &count)))
        return false;
    if (start > size)
        count = 0;
    else if (count > size - start)
        count = size - start;
    for (uint64_t offset = start; offset < start + count; offset += length) {
        bool allocated = false;

        if (!next_run(io, offset, start + count, &length, &allocated))
            return false;
        sum += allocated ? length : 0;
    }
    printf("%" PRIu64 "/%" PRIu64 " bytes allocated at offset %s\n", sum, count,
           io_size_text(place, (double)start));
    return true;
}

static bool io_length(struct io *io, const struct io_command *command, int argc, char **argv)
{
    char text[IO_TEXT];

    (void)command, (void)argc, (void)argv;
    puts(io_size_text(text, (double)img_size(io->image)));
    return true;
}

static bool io_flush(struct io *io, const struct io_command *command, int argc, char **argv)
{
    img_error err = {0};

    (void)command, (void)argc, (void)argv;
    return img_flush(io->image, &err) == 0 ||
           cli_fail_error(io->cli, &err, "%s", img_name(io->image));
}

/* Requests are over when their command is. */
static bool io_aio_flush(struct io *io, const struct io_command *command, int argc, char **argv)
{
    (void)io, (void)command, (void)argc, (void)argv;
    return true;
}

static bool io_truncate(struct io *io, const struct io_command *command, int argc, char **argv)
{
    enum img_preallocation mode = IMG_PREALLOC_OFF;
    img_error err = {0};
    uint64_t size;
    int letter;

    optind = 0;
    opterr = 1;
    while ((letter = getopt(argc, argv, command->letters)) != -1)
        if (letter == '?')
            return io_usage(command);
        else if (!preallocation_parse(io->cli, optarg, &mode))
            return false;
    if (argc - optind != 1)
        return io_usage(command);
    if (!io_number(argv[optind], &size) || io_is_read_only(io))
        return false;
    if (img_resize_preallocated(io->image, size, mode, &err) == 0)
        return true;
    if (err.code == IMG_E_UNSUPPORTED && mode == IMG_PREALLOC_OFF)
        return cli_fail_code(io->cli, err.code, "Image format driver does not support resize");
    return cli_fail_error(io->cli, &err, "%s", "");
}

static bool io_sigraise(struct io *io, const struct io_command *command, int argc, char **argv)
{
    uint64_t number;

    (void)io, (void)command, (void)argc;
    if (!io_number(argv[1], &number))
        return false;
    if (number > (uint64_t)SIGRTMAX) {
        printf("signal argument '%s' is too large to be a valid signal number\n", argv[1]);
        return false;
    }
    fflush(stdout);
    signal((int)number, SIG_DFL);
    raise((int)number);
    return true;
}

static bool io_sleep(struct io *io, const struct io_command *command, int argc, char **argv)
{
    struct timespec nap;
    unsigned long ms;
    char *end;

    (void)io, (void)command, (void)argc;
    errno = 0;
    ms = strtoul(argv[1], &end, 0);
    if (errno || *end || end == argv[1]) {
        printf("%s is not a valid number\n", argv[1]);
        return false;
    }
    nap = (struct timespec){(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    nanosleep(&nap, NULL);
    return true;
}

static bool io_quit(struct io *io, const struct io_command *command, int argc, char **argv)
{
    (void)command, (void)argc, (void)argv;
    io->quit = true;
    return true;
}

static bool io_help(struct io *io, const struct io_command *command, int argc, char **argv)
{
    bool found = false;

    (void)io;
    for (command = io_commands; command->name; command++) {
        if (argc > 1 && strcmp(argv[1], command->name) != 0)
            continue;
        found = true;
        io_usage(command);
    }
    if (!found)
        printf("command %s not found\n", argv[1]);
    if (argc == 1)
        puts("\nUse 'help commandname' for extended help.");
    return found;
}

const struct io_command io_commands[] = {
    {"aio_flush", NULL, 0, 0, false, "", "waits for nothing: every request is over at once", "",
     io_aio_flush},
    {"aio_read", NULL, 2, -1, true, "[-Cqv] [-P pattern] off len [len..]",
     "reads a number of bytes, as readv does", "CP:qv", io_read},
    {"aio_write", NULL, 2, -1, true, "[-Cfquz] [-P pattern] off len [len..]",
     "writes a number of bytes, as writev does", "CfP:quz", io_write},
    {"alloc", NULL, 1, 2, true, "offset [count]", "checks if offset is allocated in the file", "",
     io_alloc},
    {"close", "c", 0, 0, true, "", "close the current open file", "", io_close},
    {"discard", "d", 2, -1, true, "[-Cq] off len",
     "discards a number of bytes at a specified offset", "Cq", io_discard},
    {"flush", "f", 0, 0, true, "", "flush all in-core file state to disk", "", io_flush},
    {"help", "?", 0, 1, false, "[command]", "help for one or all commands", "", io_help},
    {"info", "i", 0, 0, true, "", "prints information about the current file", "", io_info},
    {"length", "l", 0, 0, true, "", "gets the length of the current file", "", io_length},
    {"map", NULL, 0, 1, true, "", "prints the allocated areas of a file", "", io_map},
    {"open", "o", 1, -1, false, "[-rsnkU] [-t cache] [-d discard] [-o options] [path]",
     "open the file specified by path", "rsCnkUi:t:d:o:", io_open_command},
    {"quit", "q", 0, 0, false, "", "exit the program", "", io_quit},
    {"read", "r", 2, -1, true, "[-Cqv] [-P pattern [-s off] [-l len]] off len",
     "reads a number of bytes at a specified offset", "CpP:qs:l:v", io_read},
    {"readv", NULL, 2, -1, true, "[-Cqv] [-P pattern] off len [len..]",
     "reads a number of bytes at a specified offset", "CP:qv", io_read},
    {"reopen", NULL, 0, -1, true, "[(-r|-w)] [-c cache] [-o options]",
     "reopens an image with new options", "rwc:o:", io_reopen},
    {"sigraise", NULL, 1, 1, false, "signal", "raises a signal", "", io_sigraise},
    {"sleep", NULL, 1, 1, false, "", "waits for the given value in milliseconds", "", io_sleep},
    {"truncate", "t", 1, 3, true, "[-m prealloc_mode] off",
     "truncates the current file at the given offset", "m:", io_truncate},
    {"write", "w", 2, -1, true, "[-cCfnquz] [-P pattern | -s source_file] off len",
     "writes a number of bytes at a specified offset", "cCfnpP:qs:uz", io_write},
    {"writev", NULL, 2, -1, true, "[-Cfq] [-P pattern] off len [len..]",
     "writes a number of bytes at a specified offset", "CfqP:", io_write},
    {0},
};

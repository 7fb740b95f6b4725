/*
 * img io: read, write, discard. SPDX-License-Identifier: BSD-2-Clause
 *
 * The vectored and the asynchronous forms do the same, at once: they differ in how many lengths
 * they take.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "io.h"

/* What one request may have: what qemu-io allows. */
#define LENGTH_MAX UINT64_C(2147483136)
#define DEFAULT_PATTERN 0xcd

struct transfer {
    const struct io_command *command;
    bool compress, zero, unmap, quiet, machine, dump, verify, no_fallback, flush;
    bool has_from, has_count;
    int pattern;          /* -1: none given */
    uint64_t from, count; /* what of the bytes read is verified */
    const char *file;     /* to write from, or NULL */
    uint64_t offset, length;
    struct timespec start;
};

/* The errno that a failed request had, or would have had. */
static int errno_of(const img_error *err)
{
    switch (err->code) {
    case IMG_E_INVAL:
        return EINVAL;
    case IMG_E_UNSUPPORTED:
        return ENOTSUP;
    case IMG_E_NOSPACE:
        return ENOSPC;
    case IMG_E_DENIED:
        return EPERM;
    default:
        return err->os_errno ? err->os_errno : EIO;
    }
}

static bool parse_pattern(const char *text, int *pattern)
{
    char *end;
    long value = strtol(text, &end, 0);

    if (*text == '\0' || *end != '\0' || value < 0 || value > 0xff) {
        printf("%s is not a valid pattern byte\n", text);
        return false;
    }
    *pattern = (int)value;
    return true;
}

static bool take_option(struct transfer *transfer, int letter)
{
    bool writes = strchr(transfer->command->letters, 'z') != NULL;

    switch (letter) {
    case 'c':
        transfer->compress = true;
        break;
    case 'z':
        transfer->zero = true;
        break;
    case 'u':
        transfer->unmap = true;
        break;
    case 'n':
        transfer->no_fallback = true;
        break;
    case 'q':
        transfer->quiet = true;
        break;
    case 'C':
        transfer->machine = true;
        break;
    case 'v':
        transfer->dump = true;
        break;
    case 'P':
        transfer->verify = true;
        return parse_pattern(optarg, &transfer->pattern);
    case 's':
        if (writes) {
            transfer->file = optarg;
            break;
        }
        transfer->has_from = true;
        return io_number(optarg, &transfer->from);
    case 'l':
        transfer->has_count = true;
        return io_number(optarg, &transfer->count);
    case 'f':
        transfer->flush = true;
        break;
    case 'p': /* of old, without a meaning */
        break;
    default:
        return io_usage(transfer->command);
    }
    return true;
}

static bool say(const char *text)
{
    puts(text);
    return false;
}

static bool check_options(const struct transfer *transfer)
{
    int contents = transfer->zero + (transfer->pattern >= 0) + (transfer->file != NULL);

    if (strchr(transfer->command->letters, 'z')) {
        if (transfer->no_fallback && !transfer->zero)
            return say("-n requires -z to be specified");
        if (transfer->unmap && !transfer->zero)
            return say("-u requires -z to be specified");
        if (contents > 1)
            return say("Only one of -z, -P, and -s can be specified at the same time");
        return true;
    }
    if ((transfer->has_from || transfer->has_count) && !transfer->verify)
        return io_usage(transfer->command);
    return true;
}

/* The offset and the lengths behind the options. */
static bool parse_range(struct transfer *transfer, int argc, char **argv)
{
    bool many = strstr(transfer->command->arguments, "[len..]") != NULL;
    int n = optind;

    if (argc - n < 2 || (!many && argc - n != 2))
        return io_usage(transfer->command);
    if (!io_number(argv[n++], &transfer->offset))
        return false;
    for (; n < argc; n++) {
        uint64_t length;

        if (!io_number(argv[n], &length))
            return false;
        if (length > LENGTH_MAX || transfer->length + length > LENGTH_MAX) {
            printf("length cannot exceed %" PRIu64 "%s, given %s\n", LENGTH_MAX,
                   strchr(transfer->command->letters, 'n') ? " without -n" : "", argv[n]);
            return false;
        }
        transfer->length += length;
    }
    if (!transfer->has_count)
        transfer->count = transfer->length - transfer->from;
    if (transfer->from > transfer->length || transfer->count > transfer->length - transfer->from)
        return say("pattern verification range exceeds end of read data");
    return true;
}

static bool parse(struct transfer *transfer, const struct io_command *command, int argc,
                  char **argv)
{
    int letter;

    *transfer = (struct transfer){.command = command, .pattern = -1};
    optind = 0; /* getopt begins anew */
    opterr = 1;
    while ((letter = getopt(argc, argv, command->letters)) != -1)
        if (!take_option(transfer, letter))
            return false;
    return check_options(transfer) && parse_range(transfer, argc, argv);
}

/* ------------------------------------------------------------------ reports */

static void time_text(char *text, size_t size, double seconds, bool fixed)
{
    uint64_t whole = (uint64_t)seconds;
    unsigned rest = (unsigned)((seconds - (double)whole) * 100);

    if (fixed || whole >= 3600)
        snprintf(text, size, "%" PRIu64 ":%02u:%02u.%02u", whole / 3600,
                 (unsigned)(whole / 60 % 60), (unsigned)(whole % 60), rest);
    else if (whole >= 60)
        snprintf(text, size, "%u:%02u.%02u", (unsigned)(whole / 60), (unsigned)(whole % 60), rest);
    else
        snprintf(text, size, "%02u.%02u sec", (unsigned)whole, rest);
}

static void report(const struct transfer *transfer, const char *verb)
{
    char length[IO_TEXT], rate[IO_TEXT], took[48];
    struct timespec now;
    double seconds, bytes = (double)transfer->length;

    if (transfer->quiet)
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    seconds = (double)(now.tv_sec - transfer->start.tv_sec) +
              (double)(now.tv_nsec - transfer->start.tv_nsec) / 1e9;
    if (seconds <= 0)
        seconds = 1e-9;
    time_text(took, sizeof(took), seconds, transfer->machine);
    if (transfer->machine) {
        printf("%" PRIu64 ",1,%s,%.3f,%.3f\n", transfer->length, took, bytes / seconds,
               1 / seconds);
        return;
    }
    printf("%s %" PRIu64 "/%" PRIu64 " bytes at offset %" PRIu64 "\n", verb, transfer->length,
           transfer->length, transfer->offset);
    printf("%s, 1 ops; %s (%s/sec and %.4f ops/sec)\n", io_size_text(length, bytes), took,
           io_size_text(rate, bytes / seconds), 1 / seconds);
}

static bool failed(const char *verb, const img_error *err)
{
    printf("%s failed: %s\n", verb, strerror(errno_of(err)));
    return false;
}

/* Sixteen bytes a line, with their characters behind them. */
static void dump(const uint8_t *bytes, uint64_t offset, uint64_t length)
{
    for (uint64_t at = 0; at < length; at += 16) {
        uint64_t count = length - at < 16 ? length - at : 16;

        printf("%08" PRIx64 ":  ", offset + at);
        for (uint64_t i = 0; i < count; i++)
            printf("%02x ", bytes[at + i]);
        putchar(' ');
        for (uint64_t i = 0; i < count; i++)
            putchar(isalnum(bytes[at + i]) ? bytes[at + i] : '.');
        putchar('\n');
    }
}

/* ------------------------------------------------------------------ read */

static bool verify(const struct transfer *transfer, const uint8_t *bytes)
{
    for (uint64_t i = 0; i < transfer->count; i++) {
        if (bytes[transfer->from + i] == transfer->pattern)
            continue;
        printf("Pattern verification failed at offset %" PRIu64 ", %" PRIu64 " bytes\n",
               transfer->offset + transfer->from, transfer->count);
        return false;
    }
    return true;
}

bool io_read(struct io *io, const struct io_command *command, int argc, char **argv)
{
    struct transfer transfer;
    img_error err = {0};
    uint8_t *bytes;
    bool ok;

    if (!parse(&transfer, command, argc, argv))
        return false;
    bytes = malloc((size_t)transfer.length + 1);
    if (!bytes)
        return cli_fail_nomem(io->cli);
    clock_gettime(CLOCK_MONOTONIC, &transfer.start);
    if (img_read(io->image, transfer.offset, bytes, (size_t)transfer.length, &err) < 0) {
        free(bytes);
        return failed(command->name, &err);
    }
    ok = !transfer.verify || verify(&transfer, bytes);
    if (!transfer.quiet && transfer.dump)
        dump(bytes, transfer.offset, transfer.length);
    report(&transfer, "read");
    free(bytes);
    return ok;
}

/* ------------------------------------------------------------------ write */

/* The file's content over and over. */
static bool fill_from_file(struct io *io, const char *name, uint8_t *bytes, uint64_t length)
{
    FILE *file = fopen(name, "rb");
    size_t got = file ? fread(bytes, 1, (size_t)length, file) : 0;

    if (file)
        fclose(file);
    if (got == 0 && length > 0)
        return cli_fail(io->cli, "%s: nothing can be read from it", name);
    for (uint64_t i = got; i < length; i++)
        bytes[i] = bytes[i - got];
    return true;
}

static bool write_data(struct io *io, const struct transfer *transfer)
{
    uint8_t *bytes = malloc((size_t)transfer->length + 1);
    img_error err = {0};
    int rc = 0;

    if (!bytes)
        return cli_fail_nomem(io->cli);
    memset(bytes, transfer->pattern >= 0 ? transfer->pattern : DEFAULT_PATTERN,
           (size_t)transfer->length);
    if (transfer->file && !fill_from_file(io, transfer->file, bytes, transfer->length)) {
        free(bytes);
        return false;
    }
    if (transfer->zero)
        memset(bytes, 0, (size_t)transfer->length);
    if (transfer->compress)
        rc = img_write_compressed(io->image, transfer->offset, bytes, (size_t)transfer->length,
                                  &err);
    else
        rc = img_write(io->image, transfer->offset, bytes, (size_t)transfer->length, &err);
    free(bytes);
    return rc == 0 || failed(transfer->command->name, &err);
}

bool io_is_read_only(struct io *io)
{
    if (io->writable)
        return false;
    cli_fail_code(io->cli, IMG_E_RDONLY, "Block node is read-only");
    return true;
}

static bool write_zeros(struct io *io, const struct transfer *transfer)
{
    unsigned flags = (transfer->unmap && io->unmap ? (unsigned)IMG_ZERO_UNMAP : 0) |
                     (transfer->no_fallback ? (unsigned)IMG_ZERO_NO_FALLBACK : 0);
    img_error err = {0};

    return img_zero(io->image, transfer->offset, transfer->length, flags, &err) == 0 ||
           failed(transfer->command->name, &err);
}

bool io_write(struct io *io, const struct io_command *command, int argc, char **argv)
{
    struct transfer transfer;
    img_error err = {0};

    if (io_is_read_only(io) || !parse(&transfer, command, argc, argv))
        return false;
    clock_gettime(CLOCK_MONOTONIC, &transfer.start);
    if (transfer.zero && !transfer.compress ? !write_zeros(io, &transfer)
                                            : !write_data(io, &transfer))
        return false;
    if (transfer.flush && img_flush(io->image, &err) < 0)
        return failed(command->name, &err);
    report(&transfer, "wrote");
    return true;
}

bool io_discard(struct io *io, const struct io_command *command, int argc, char **argv)
{
    struct transfer transfer;
    img_error err = {0};

    if (io_is_read_only(io) || !parse(&transfer, command, argc, argv))
        return false;
    clock_gettime(CLOCK_MONOTONIC, &transfer.start);
    if (transfer.offset > img_size(io->image) ||
        transfer.length > img_size(io->image) - transfer.offset)
        return failed(command->name, &err);
    if (io->unmap && img_discard(io->image, transfer.offset, transfer.length, &err) < 0)
        return failed(command->name, &err);
    report(&transfer, "discard");
    return true;
}

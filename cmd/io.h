/*
 * What the files of "img io" share. SPDX-License-Identifier: BSD-2-Clause
 *
 * The lines that commands print are part of the interface: scripts read them.
 */
#ifndef CMD_IO_H
#define CMD_IO_H

#include "cmd.h"

struct io {
    struct cli *cli;
    img_image *image; /* NULL: none is open */
    bool unmap;       /* discard, and write -z -u, give space back (-d unmap) */
    bool writable;
    bool quit;
    struct open_args open; /* how "open" opens unless it is told otherwise */
    char *name;            /* what the image was opened by, malloc'd; NULL: not to be had again */
    struct open_args how;
};

/* One command; argv[0] is its name. The function returns false when the command failed. */
struct io_command {
    const char *name, *alias; /* alias may be NULL */
    int least, most;          /* arguments, options among them; most -1: any number */
    bool needs_image;
    const char *arguments, *summary;
    const char *letters; /* of its options, for getopt */
    bool (*run)(struct io *io, const struct io_command *command, int argc, char **argv);
};

/* Every command, ended by name NULL. */
extern const struct io_command io_commands[];

/* "name arguments -- summary", on stdout. Returns false. */
bool io_usage(const struct io_command *command);
/* A size or offset, or false with the error said. */
bool io_number(const char *text, uint64_t *number);
/* "64 KiB": up to three decimals, none when they are zeros. */
#define IO_TEXT 32
const char *io_size_text(char text[IO_TEXT], double bytes);
/* io_open.c */
/* Open an image as the current one. False: not opened, and why has been said. */
bool io_open(struct io *io, const char *name, const struct open_args *args, bool unmap);
/* The same, with a temporary overlay over it that takes what is written (io_snapshot.c). */
bool io_open_snapshot(struct io *io, const char *name, const struct open_args *args, bool unmap);
/* An option's value as --image-opts has it: with commas doubled. */
void io_write_value(FILE *out, const char *value);
/* Free what is remembered of how the image was opened. */
void io_forget(struct io *io);
/* "-d ignore|unmap" and its other names. */
bool io_parse_discard(struct io *io, const char *text, bool *unmap);
bool io_open_command(struct io *io, const struct io_command *command, int argc, char **argv);
bool io_close(struct io *io, const struct io_command *command, int argc, char **argv);
bool io_reopen(struct io *io, const struct io_command *command, int argc, char **argv);
bool io_info(struct io *io, const struct io_command *command, int argc, char **argv);

/* io_transfer.c: commands that move bytes, and discard. */
/* Is the image not open for writing? Says so. */
bool io_is_read_only(struct io *io);
bool io_read(struct io *io, const struct io_command *command, int argc, char **argv);
bool io_write(struct io *io, const struct io_command *command, int argc, char **argv);
bool io_discard(struct io *io, const struct io_command *command, int argc, char **argv);

#endif

/*
 * What the files of the command share. SPDX-License-Identifier: BSD-2-Clause
 *
 * A subcommand is one struct cmd in one file: its table of options feeds the parser, --help and the
 * shell completion, so that none of them can forget an option.
 *
 * Conventions: a function that can end the command returns bool. False means that what was to be
 * said has been said and that cli->status is the exit status ("return cli->status").
 * Results go to stdout; errors, warnings and progress in JSON go to stderr.
 */
#ifndef CMD_H
#define CMD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "libimg.h"

/* ------------------------------------------------------------ subcommands */

/* Options without a letter. Letters are their own keys. */
enum cmd_key {
    OPT_OUTPUT = 256, /* beyond all letters */
    OPT_PROGRESS,
    OPT_BACKING_CHAIN,
    OPT_FORMATS,
    OPT_SIZE,
    OPT_SALVAGE,
    OPT_TARGET_IS_ZERO,
    OPT_PREALLOCATION,
    OPT_SHRINK,
    OPT_PATTERN,
    OPT_FLUSH_INTERVAL,
    OPT_NO_DRAIN,
    OPT_IMAGE_OPTS,
    OPT_TARGET_IMAGE_OPTS,
    OPT_OBJECT,
    OPT_KEY,
    OPT_LIMITS,
    OPT_ADD,
    OPT_REMOVE,
    OPT_CLEAR,
    OPT_ENABLE,
    OPT_DISABLE,
    OPT_MERGE,
    OPT_BITMAPS,
    OPT_SKIP_BROKEN_BITMAPS,
    OPT_FORCE,
    OPT_IN_PLACE,
    OPT_SKIP_FREE,
    OPT_IGNORE,
    OPT_SWAP,
    OPT_TMP,
    OPT_ZERO,
    OPT_ZERO_ONLY,
    OPT_FILESYSTEMS,
    OPT_EXTRA,
    OPT_PARTITIONS,
    OPT_PHYSICAL_VOLUMES,
    OPT_LOGICAL_VOLUMES,
    OPT_BLOCK_DEVICES,
    OPT_UUID,
    OPT_NO_TITLE,
    OPT_DISK,
    OPT_B_DISK,
    OPT_NO_VERIFY,
    OPT_UNTRUSTED,
    OPT_HELP,
    OPT_SNAPSHOT,
    OPT_BLOCKS,
    OPT_BLOCKSIZE,
    OPT_ROOT,
    OPT_RO,
    OPT_NO_GLOB,
    OPT_PRIVILEGED,
    OPT_CSV,
    OPT_CHECKSUM,
    OPT_EXTRA_STATS,
    OPT_TIMES,
    OPT_TIME_T,
    OPT_TIME_RELATIVE,
    OPT_TIME_DAYS,
    OPT_UIDS,
    OPT_PACKAGES,
    OPT_NO_APPLICATIONS,
    OPT_NO_ICON,
    OPT_ALL,
    OPT_ATIME,
    OPT_DIR_LINKS,
    OPT_DIR_TIMES,
    OPT_XATTRS,
    OPT_CONTENT,
    OPT_EXIT_CODE,
    OPT_B_SNAPSHOT
};

/* One option. A table of them ends with key 0. */
struct cmd_option {
    int key;           /* its letter, or one of the above */
    const char *name;  /* the long form without its dashes, or NULL */
    const char *value; /* what its argument is called; NULL: it has none; "[X]": as --name=X only */
    const char *help;  /* NULL: another name of the option before it */
};

struct cli;

struct cmd {
    const char *name;
    const char *summary;  /* one line */
    const char *usage;    /* behind the name: "[OPTION]... FILE" */
    const char *about;    /* what --help says between the usage and the options */
    const char *examples; /* command lines without the program's name, one a line */
    const struct cmd_option *options;
    int (*run)(struct cli *cli, int argc, char **argv); /* argv[0] is the subcommand */
};

extern const struct cmd cmd_amend, cmd_bench, cmd_bitmap, cmd_cat, cmd_check, cmd_commit,
    cmd_compact, cmd_compare, cmd_convert, cmd_cp, cmd_create, cmd_dd, cmd_df, cmd_diff,
    cmd_filesystems, cmd_find, cmd_info, cmd_inspect, cmd_io, cmd_ls, cmd_map, cmd_measure,
    cmd_mount, cmd_rebase, cmd_resize, cmd_snapshot, cmd_sparsify, cmd_tar, cmd_umount;

/* The n-th subcommand, or NULL past the last one. */
const struct cmd *cmd_nth(size_t n);
const struct cmd *cmd_by_name(const char *name);

/* One run of the program. */
struct cli {
    const char *program;       /* what it was called as, without directories */
    const struct cmd *command; /* NULL until it is known */
    int status;                /* what to exit with */
    int fail_status;           /* what cli_fail sets status to */
    bool json;                 /* --output=json: results and errors as JSON */
    bool quiet;
    img_secrets *secrets; /* from --object; NULL: none */
    img_policy *policy;   /* of --untrusted or IMG_UNTRUSTED; NULL: the default */
};

/* ---------------------------------------------------------------- options */

/* clang-format off */
#define OPTION_FORMAT {'f', "format", "FMT", "format of the image (default: found by a look at it)"}
#define OPTION_SHARE {'U', "force-share", NULL, "open it although another process writes to it"}
#define OPTION_IMAGE_OPTS                                                                          \
    {OPT_IMAGE_OPTS, "image-opts", NULL,                                                           \
     "FILE is a list of options: driver=FMT,file.filename=NAME,..."}
#define OPTION_DISK                                                                                \
    {OPT_DISK, "disk", "DISK", "of an OVA or OVF: this disk, by its number or id"}
#define OPTION_NO_VERIFY                                                                           \
    {OPT_NO_VERIFY, "no-verify", NULL, "do not hold what is in an OVA or OVF to its manifest"}
#define OPTION_OBJECT                                                                              \
    {OPT_OBJECT, "object", "DEF", "define a secret: secret,id=ID,file=NAME[,format=base64]"}
#define OPTION_UNTRUSTED                                                                           \
    {OPT_UNTRUSTED, "untrusted", NULL, "let an image name no other file: it comes from a stranger"}
/* What every command that opens an image has. */
#define OPTIONS_OPEN                                                                               \
    OPTION_FORMAT, OPTION_IMAGE_OPTS, OPTION_DISK, OPTION_OBJECT, OPTION_UNTRUSTED
/* And one that always changes it: the disks of an appliance are only read. */
#define OPTIONS_CHANGE OPTION_FORMAT, OPTION_IMAGE_OPTS, OPTION_OBJECT, OPTION_UNTRUSTED
#define OPTION_QUIET {'q', "quiet", NULL, "print nothing but errors"}
#define OPTION_OUTPUT {OPT_OUTPUT, "output", "FORM", "form of the output: human or json"}
#define OPTION_PROGRESS                                                                            \
    {'p', NULL, NULL, "show progress"},                                                            \
    {OPT_PROGRESS, "progress", "[HOW]",                                                            \
     "show progress: auto, bar, plain or json (a line a step, on stderr)"}
#define OPTION_HELP {'h', "help", NULL, "show this help"}
/* Of commands that have another -h. */
#define OPTION_HELP_LONG {OPT_HELP, "help", NULL, "show this help"}
#define OPTIONS_END {0, NULL, NULL, NULL}
/* clang-format on */

/* Takes one option; value is its argument, or NULL. */
typedef bool cli_option_fn(struct cli *cli, void *args, int key, const char *value);

/*
 * Give the options of the command line, by the table of cli->command, to fn one after the other.
 * --help, --quiet, --output, --object and --untrusted are dealt with on the way. True: the operands
 * begin at *first.
 */
bool cli_options(struct cli *cli, int argc, char **argv, cli_option_fn *fn, void *args, int *first);

/* ------------------------------------------------------------------- help */

void help_program(const struct cli *cli);
void help_command(const struct cli *cli, const struct cmd *command);
/* "img help": --commands and --options SUB are for the completion, anything else is for people. */
int help_run(struct cli *cli, int argc, char **argv);
void help_version(const struct cli *cli);

/* ----------------------------------------------------------------- errors */

/* Say "program: text" on stderr, set cli->status, return false. */
bool cli_fail(struct cli *cli, const char *format, ...) IMG_PRINTF(2, 3);
/* The same for what is no wrong argument: the code is for those who read JSON. */
bool cli_fail_code(struct cli *cli, int code, const char *format, ...) IMG_PRINTF(3, 4);
bool cli_fail_nomem(struct cli *cli);
/* Likewise, for a misused command line: points to the help. The status is always 1. */
bool cli_fail_usage(struct cli *cli, const char *format, ...) IMG_PRINTF(2, 3);
/* "program: context: cause". The context tells what was being done, or is "". */
bool cli_fail_error(struct cli *cli, const img_error *err, const char *format, ...)
    IMG_PRINTF(3, 4);
/* An image could not be opened: "program: Could not open 'name': cause". */
bool cli_fail_open(struct cli *cli, const img_error *err, const char *name);
/* Likewise for img_create: the context, then "Could not create 'name': cause". */
bool cli_fail_create(struct cli *cli, const img_error *err, const char *name, const char *format,
                     ...) IMG_PRINTF(4, 5);
/* "program: warning: text"; the status stays. */
void cli_warn(struct cli *cli, const char *format, ...) IMG_PRINTF(2, 3);

/* ------------------------------------------------------------------ sizes */

#define SIZE_TEXT 32

/* "1.5 GiB": three digits, the next unit from 1000 on, as qemu-img prints sizes. */
const char *size_text(char text[SIZE_TEXT], uint64_t bytes);
/* Parse what the user typed; what ("image size") names it in the error. */
bool size_parse(struct cli *cli, const char *what, const char *text, uint64_t *bytes);

/* ------------------------------------------------------------------- JSON */

/* JSON in the making, four spaces a level as qemu-img writes it. Zeroed but for out. */
struct emit {
    FILE *out;
    unsigned depth;
    bool inner; /* something stands at this level already */
};

void emit_begin(struct emit *emit, const char *key, char bracket); /* '{' or '['; key may be NULL */
void emit_end(struct emit *emit, char bracket);
void emit_string(struct emit *emit, const char *key, const char *value);
void emit_uint(struct emit *emit, const char *key, uint64_t value);
void emit_bool(struct emit *emit, const char *key, bool value);
/* A JSON string with its quotes; bytes that are no UTF-8 become U+FFFD. */
void emit_text(FILE *out, const char *text);

/* ----------------------------------------------------------------- output */

struct json_t;
/*
 * Text that may come from an image or a stranger's file name: what a terminal would act on becomes
 * a question mark, line feeds too.
 */
void output_text(FILE *out, const char *text);
/* "label: text" on a line; nothing when the text is NULL. */
void output_line(const char *label, const char *text);
/* What img_info says of an image, to be released with json_decref; NULL after an error was said. */
struct json_t *output_describe(struct cli *cli, img_image *image);
/* The list of snapshots, for people (nothing if it is empty or NULL) and as JSON. */
void output_snapshots(const struct json_t *snapshots);
void output_snapshots_json(const struct json_t *snapshots);
/* The text that "info" prints for people, and the JSON, from what img_info said. */
void output_info(const struct json_t *info);
void output_info_json(const struct json_t *info);
/* The text that "info" prints of an appliance. */
void output_appliance(const struct json_t *info);
/* The lines about what the format knows besides, if it knows anything. */
void output_specific(const struct json_t *data);

/* ----------------------------------------------------------- open, create */

/* What -f, -T, -t, -U, --disk and --image-opts say of one image. */
struct open_args {
    const char *format;     /* NULL: probe */
    const char *cache_name; /* from -t or -T, NULL: cache stays as it is; see open_settle */
    enum img_cache cache;
    unsigned flags;                      /* enum img_open_flags */
    const enum img_cache *backing_cache; /* NULL: as cache */
    const char *disk;                    /* of an appliance, from --disk; NULL: its first */
    bool image_opts;
    bool found; /* the name was not typed: it stands in an image */
};

/*
 * Take the options that open an image: -f, -U, --disk, --image-opts, and -t or -T (whose mode
 * open_settle looks at). Commands give it what is not their own; other keys are left alone.
 */
bool open_take_option(struct cli *cli, struct open_args *args, int key, const char *value);
/*
 * Once all options are known: an unknown cache mode is an error, "Invalid source cache option: x",
 * where role is "source " or "".
 */
bool open_settle(struct cli *cli, const char *role, struct open_args *args);
/* How to open or make an image of that name. */
img_open_params open_params(const struct cli *cli, const struct open_args *args);
/* The mode of that name, or an error. */
bool preallocation_parse(struct cli *cli, const char *text, enum img_preallocation *mode);
/* Whether requests can be said to be made in that way; threads make them whatever is said. */
bool aio_check(struct cli *cli, const char *how);
/* Open or say why not. */
bool open_image(struct cli *cli, img_image **image, const char *name, const struct open_args *args);
/* Warn that an image opened for writing was only guessed to be raw. */
void open_warn_guessed(struct cli *cli, const img_image *image);

/*
 * From now on the image reads as one of its snapshots: the one that convert's -l names, by
 * "snapshot.id=ID,snapshot.name=NAME", or by its id or else its name. An error begins with the
 * context; NULL: with the words of qemu-img.
 */
bool open_snapshot(struct cli *cli, img_image *image, const char *selector, const char *context);

/* What -o says, of create, convert, measure and amend. Zeroed to begin with. */
struct option_list {
    img_options *set; /* NULL: none; free it with img_options_free */
    bool given;       /* there was a -o */
    bool help;        /* one of them asked for the list */
};

/* Take one -o. */
bool option_list_take(struct cli *cli, struct option_list *list, const char *text);
bool option_list_set(struct cli *cli, struct option_list *list, const char *name,
                     const char *value);
/* The value, or NULL. */
const char *option_list_get(const struct option_list *list, const char *name);
/* Print a format's create options. */
bool create_list_options(struct cli *cli, const char *format, const char *filename);
/* Print the options that amend can change. */
bool amend_list_options(struct cli *cli, const char *format);
bool create_format_known(const char *format);
bool create_option_known(const char *format, const char *name);
/* Every name in options is one of the format's; what is put before the error may be "". */
bool create_options_known(struct cli *cli, const char *prefix, const char *format,
                          const struct option_list *list);

/* From now on no image may name another file. */
bool open_untrusted(struct cli *cli);

/* Take one --object; its text is overwritten. */
bool object_take(struct cli *cli, char *text);
/* Take one --key; its text is overwritten. */
bool key_take(struct cli *cli, char *text);

/* --------------------------------------------------------------- progress */

enum progress_how { PROGRESS_OFF, PROGRESS_AUTO, PROGRESS_PLAIN, PROGRESS_BAR, PROGRESS_JSON };

/* Zeroed, nothing is shown until SIGUSR1 asks. */
struct progress {
    enum progress_how how;
    bool aside;                /* standard output is taken: stderr */
    FILE *out;                 /* where the plain form and the bar go; set by progress_attach */
    uint64_t done, total;      /* as last heard */
    double shown;              /* percent, plain */
    uint64_t started, written; /* nanoseconds of the monotonic clock */
    unsigned width;            /* of the bar's line, to wipe it */
};

/* From -p (how NULL) or --progress[=how]. */
bool progress_parse(struct cli *cli, struct progress *progress, const char *how);
/* Let the job tell progress, and stop it when a signal asks. Quiet commands show none. */
void progress_attach(struct cli *cli, struct progress *progress, img_job *job);
/* The job is over: ok shows 100 %. Nothing of the bar is left in the way of a message. */
void progress_finish(struct progress *progress, bool ok);
/* The last line feed; after the result was printed. */
void progress_end(struct progress *progress);

/* ---------------------------------------------------------------- signals */

/* From now on SIGINT, SIGTERM and SIGHUP ask for an orderly end; a second one kills. */
void signals_catch(void);
/* A pipe whose reader has gone is an error of the write, and no end of the program. */
void signals_ignore_pipe(void);
/* The signal that asked for the end, or 0. */
int signals_stop(void);
/* The same for whoever waits for a pipe. */
extern const img_interrupt signals_interrupt;
/* Has SIGUSR1 come since the last time this was asked? */
bool signals_report(void);
/* Was the command told to stop? Then cli->status is 128 plus the signal. */
bool signals_stopped(struct cli *cli);

#endif

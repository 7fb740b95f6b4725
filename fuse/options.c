/*
 * The command line, by a table that also makes the help and the completion.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What has a long name can also be said in an -o (mount_options.c), where fstab has nothing else.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "imgmount.h"

#define HELP_COLUMN 30
#define OPTIONS_MAX 48
#define IDLE_MAX 31536000u /* a year */

/* Options without a letter. Letters are their own keys. */
enum key {
    OPT_BLOCKS = 256,
    OPT_SNAPSHOT,
    OPT_DISK,
    OPT_IMAGE_OPTS,
    OPT_OBJECT,
    OPT_UNTRUSTED,
    OPT_UID,
    OPT_GID,
    OPT_UMASK,
    OPT_FOREGROUND,
    OPT_IDLE_TIMEOUT,
    OPT_LOG,
    OPT_PID_FILE,
    OPT_ROOT,
    OPT_BLOCKSIZE,
    OPT_OPTIONS
};

struct option_info {
    int key;
    const char *name;  /* the long form without its dashes */
    const char *value; /* what its argument is called; NULL: it has none */
    const char *help;  /* NULL: another name of the option before it */
};

static const struct option_info table[] = {
    {'a', "add", "IMAGE", "a disk of the machine; for several disks, instead of IMAGE"},
    {'i', "inspector", NULL, "mount what the guest mounts (the default)"},
    {'m', "mount", "DEV[:MNT]", "mount this filesystem, at / or at MNT"},
    {OPT_ROOT, "root", "DEV", "of several operating systems, the one on this filesystem"},
    {OPT_BLOCKS, "blocks", NULL, "show disks, partitions and snapshots as files"},
    {'w', "rw", NULL, "with --blocks: write to the image"},
    {'r', "ro", NULL, "write nothing (the default)"},
    {'f', "format", "FMT", "format of the images behind it (default: found by a look at them)"},
    {OPT_SNAPSHOT, "snapshot", "NAME", "the disk as this snapshot in the image has it"},
    {OPT_DISK, "disk", "DISK", "of an OVA or OVF: this disk, by its number or id"},
    {OPT_IMAGE_OPTS, "image-opts", NULL,
     "IMAGE is a list of options: driver=FMT,file.filename=..."},
    {OPT_BLOCKSIZE, "blocksize", "BYTES", "of a sector of the disks: 512 or 4096"},
    {OPT_OBJECT, "object", "DEF", "define a secret: secret,id=ID,file=NAME[,format=base64]"},
    {'U', "force-share", NULL, "open it although another process writes to it"},
    {OPT_UNTRUSTED, "untrusted", NULL, "the image is a stranger's: it may name no other files"},
    {'o', "options", "LIST", "options of mount(8), and those of this list: snapshot=NAME,..."},
    {OPT_UID, "uid", "UID", "show this user as owner of all files"},
    {OPT_GID, "gid", "GID", "show this group for all files"},
    {OPT_UMASK, "umask", "MODE", "take these permissions, in octal, from all files"},
    {OPT_IDLE_TIMEOUT, "idle-timeout", "SECONDS", "unmount when nobody has used it for so long"},
    {OPT_FOREGROUND, "foreground", NULL, "do not go into the background"},
    {OPT_FOREGROUND, "no-fork", NULL, NULL},
    {OPT_LOG, "log", "FILE", "append messages to FILE (default: the system's log)"},
    {OPT_PID_FILE, "pid-file", "FILE", "write the number of the process to FILE"},
    {'v', "verbose", NULL, "say what is done"},
    {'h', "help", NULL, "show this help"},
    {'V', "version", NULL, "show the version"},
    {OPT_OPTIONS, "list-options", NULL, NULL}, /* for the completion */
    {0, NULL, NULL, NULL},
};

/* ------------------------------------------------------------------- help */

void options_help(FILE *out)
{
    fprintf(out, "Usage: imgmount [OPTION]... IMAGE DIR\n"
                 "Mount what is in the image of a virtual disk, without being root and without\n"
                 "changing it. 'fusermount3 -u DIR' or 'umount DIR' ends it.\n\nOptions:\n");
    for (const struct option_info *option = table; option->key; option++) {
        bool letter = option->key < 256;
        int length;

        if (!option->help)
            continue;
        length = fprintf(out, letter ? "  -%c, " : "      ", option->key);
        length += fprintf(out, "--%s%s%s", option->name, option->value ? "=" : "",
                          option->value ? option->value : "");
        if (length >= HELP_COLUMN)
            length = fprintf(out, "\n") - 1;
        fprintf(out, "%*s%s\n", HELP_COLUMN - length, "", option->help);
    }
    fprintf(out, "\nExamples:\n"
                 "  imgmount disk.qcow2 /mnt\n"
                 "  imgmount -m /dev/sda2 --snapshot=before disk.qcow2 /mnt\n"
                 "  imgmount --blocks disk.vmdk /mnt\n"
                 "  mount -t fuse.imgmount -o allow_other,i /srv/disk.qcow2 /mnt\n");
}

static void list_options(void)
{
    for (const struct option_info *option = table; option->key != OPT_OPTIONS; option++) {
        if (option->key < 256)
            printf("-%c\n", option->key);
        printf("--%s%s\n", option->name, option->value ? "=" : "");
    }
}

/* ---------------------------------------------------------------- taking */

static bool no_memory(struct log *log)
{
    log_line(log, "out of memory");
    return false;
}

static bool add_image(struct args *args, struct log *log, const char *name, const char *format)
{
    struct image_arg *images =
        reallocarray(args->images, args->image_count + 1, sizeof(args->images[0]));

    if (!images)
        return no_memory(log);
    args->images = images;
    images[args->image_count++] = (struct image_arg){name, format};
    return true;
}

/* "DEV[:MOUNTPOINT[:OPTIONS[:FSTYPE]]]": the last two are for a kernel, and there is none. */
static bool add_mount(struct args *args, struct log *log, const char *text)
{
    struct mount_arg *mounts =
        reallocarray(args->mounts, args->mount_count + 1, sizeof(args->mounts[0]));
    static const char subvolume[] = "btrfsvol:"; /* of btrfs: that colon is the name's */
    size_t prefix = strncmp(text, subvolume, strlen(subvolume)) == 0 ? strlen(subvolume) : 0;
    size_t length = prefix + strcspn(text + prefix, ":");
    const char *path = text[length] ? text + length + 1 : "";
    size_t path_length = strcspn(path, ":");
    struct mount_arg *mount;

    if (!mounts)
        return no_memory(log);
    args->mounts = mounts;
    mount = &mounts[args->mount_count++];
    mount->device = strndup(text, length);
    mount->path = path_length > 0 ? strndup(path, path_length) : strdup("/");
    return (mount->device && mount->path) || no_memory(log);
}

/* A number of that base, up to max. */
static bool take_number(struct log *log, const char *what, const char *text, int base,
                        unsigned long max, unsigned long *number)
{
    char *end;

    errno = 0;
    *number = strtoul(text, &end, base);
    if (errno == 0 && end != text && *end == '\0' && text[0] != '-' && *number <= max)
        return true;
    log_line(log, "invalid %s: '%s'", what, text);
    return false;
}

/* "secret,id=ID,file=NAME" */
static bool take_object(struct args *args, struct log *log, const char *text)
{
    img_options *properties = img_options_new();
    img_error err = {0};
    bool ok = false;

    if (!args->secrets)
        args->secrets = img_secrets_new();
    if (!properties || !args->secrets)
        no_memory(log);
    else if (strncmp(text, "secret,", 7) != 0)
        log_line(log, "invalid object '%.*s': only secrets are supported", (int)strcspn(text, ","),
                 text);
    else if (img_options_parse(properties, text + 7, &err) < 0 ||
             img_secrets_add(args->secrets, properties, &err) < 0)
        log_error(log, &err, "%s", "secret");
    else
        ok = true;
    img_options_free(properties);
    return ok;
}

static bool take_look(struct args *args, struct log *log, int key, const char *value)
{
    unsigned long number = 0;
    bool ok;

    switch (key) {
    case OPT_UID:
        ok = take_number(log, "uid", value, 10, UINT32_MAX - 1, &number);
        args->owner = (uid_t)number;
        args->owner_given = true;
        return ok;
    case OPT_GID:
        ok = take_number(log, "gid", value, 10, UINT32_MAX - 1, &number);
        args->group = (gid_t)number;
        args->group_given = true;
        return ok;
    case OPT_UMASK:
        ok = take_number(log, "umask", value, 8, 0777, &number);
        args->umask = (mode_t)number;
        return ok;
    case OPT_BLOCKSIZE:
        ok = take_number(log, "block size", value, 10, 4096, &number);
        args->sector_size = (uint32_t)number;
        if (ok && number != 512 && number != 4096)
            log_line(log, "--blocksize must be 512 or 4096");
        return ok && (number == 512 || number == 4096);
    default:
        ok = take_number(log, "idle timeout", value, 10, IDLE_MAX, &number);
        args->idle_timeout = (unsigned)number;
        return ok;
    }
}

/* Options that are a flag, or a text that is kept. */
static void take_plain(struct args *args, int key, const char *value)
{
    switch (key) {
    case 'i':
        args->inspect = true;
        break;
    case 'w':
        args->writable = true;
        break;
    case 'r':
        args->writable = false;
        break;
    case 'U':
        args->share = true;
        break;
    case 'v':
        args->verbose = true;
        break;
    case OPT_BLOCKS:
        args->blocks = true;
        break;
    case OPT_ROOT:
        args->root = value;
        break;
    case OPT_SNAPSHOT:
        args->snapshot = value;
        break;
    case OPT_DISK:
        args->disk = value;
        break;
    case OPT_IMAGE_OPTS:
        args->image_opts = true;
        break;
    case OPT_UNTRUSTED:
        args->untrusted = true;
        break;
    case OPT_FOREGROUND:
        args->foreground = true;
        break;
    case OPT_LOG:
        args->log = value;
        break;
    case OPT_PID_FILE:
        args->pid_file = value;
        break;
    }
}

bool options_take(struct args *args, struct log *log, int key, const char *value)
{
    switch (key) {
    case 'a':
        return add_image(args, log, value, args->format);
    case 'f':
        args->format = value;
        return true;
    case 'm':
        return add_mount(args, log, value);
    case 'o':
        return mount_options_take(args, log, value);
    case OPT_OBJECT:
        return take_object(args, log, value);
    case OPT_UID:
    case OPT_GID:
    case OPT_UMASK:
    case OPT_IDLE_TIMEOUT:
    case OPT_BLOCKSIZE:
        return take_look(args, log, key, value);
    default:
        take_plain(args, key, value);
        return true;
    }
}

/* ---------------------------------------------------------------- parsing */

/* fstab's options often have '_' where a command line has '-'. */
static bool is_name(const char *name, const char *text, size_t length)
{
    if (strlen(name) != length)
        return false;
    for (size_t n = 0; n < length; n++)
        if (name[n] != (text[n] == '_' ? '-' : text[n]))
            return false;
    return true;
}

int options_key(const char *name, size_t length, bool *has_value)
{
    for (const struct option_info *option = table; option->key; option++) {
        if (strchr("oahV", option->key) || option->key == OPT_OPTIONS)
            continue; /* nothing that fstab could mean */
        if (is_name(option->name, name, length) || (length == 1 && option->key == *name)) {
            *has_value = option->value != NULL;
            return option->key;
        }
    }
    return 0;
}

static void make_tables(struct option *longs, char *shorts)
{
    *shorts++ = ':'; /* tell a missing argument from an unknown option */
    for (const struct option_info *option = table; option->key; option++) {
        *longs++ = (struct option){
            .name = option->name,
            .has_arg = option->value ? required_argument : no_argument,
            .val = option->key,
        };
        if (option->key < 256) {
            *shorts++ = (char)option->key;
            if (option->value)
                *shorts++ = ':';
        }
    }
    *shorts = '\0';
    *longs = (struct option){0};
}

static enum parsed usage(struct log *log, const char *text, const char *about)
{
    log_line(log, "%s%s (try 'imgmount --help')", text, about);
    return PARSED_BAD;
}

/* What stands behind the options: the image, unless -a named one, and the directory. */
static enum parsed take_operands(struct args *args, struct log *log, int count, char **operands)
{
    bool image = args->image_count == 0;

    if (count != (image ? 2 : 1))
        return usage(log, image ? "expecting an image and a directory" : "expecting one directory",
                     "");
    if (image && !add_image(args, log, operands[0], args->format))
        return PARSED_BAD;
    args->directory = operands[count - 1];
    return PARSED_RUN;
}

static enum parsed check(const struct args *args, struct log *log)
{
    if (args->image_opts && args->format)
        return usage(log, "--image-opts and --format are mutually exclusive", "");
    if (args->blocks && (args->inspect || args->mount_count > 0))
        return usage(log, "--blocks shows no files: it goes without -i and -m", "");
    if (args->blocks && args->image_count > 1)
        return usage(log, "--blocks shows one image", "");
    if ((args->inspect || args->root) && args->mount_count > 0)
        return usage(log, "-m cannot be combined with -i or --root", "");
    if (args->writable && !args->blocks)
        return usage(log, "--rw needs --blocks: files cannot be written", "");
    if (args->writable && (args->snapshot || args->share))
        return usage(log, "--rw goes without --snapshot and --force-share", "");
    return PARSED_RUN;
}

/* A secret of the command line is shown in no list of processes. */
static bool take(struct args *args, struct log *log, int key, char *value)
{
    bool ok = options_take(args, log, key, value);

    if (key == OPT_OBJECT)
        explicit_bzero(value, strlen(value));
    return ok;
}

enum parsed options_parse(struct args *args, struct log *log, int argc, char **argv)
{
    struct option longs[OPTIONS_MAX + 1];
    char shorts[2 * OPTIONS_MAX + 2];
    const char *strict = getenv("IMG_UNTRUSTED");
    enum parsed parsed;
    int key;

    make_tables(longs, shorts);
    args->untrusted = strict && *strict && strcmp(strict, "0") != 0;
    opterr = 0;
    while ((key = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        if (key == ':')
            return usage(log, "missing argument for option ", argv[optind - 1]);
        if (key == '?')
            return usage(log, "unrecognized option ", argv[optind - 1]);
        if (key == 'h')
            options_help(stdout);
        else if (key == 'V')
            printf("imgmount %s (libimg %s)\n", PACKAGE_VERSION, img_version());
        else if (key == OPT_OPTIONS)
            list_options();
        else if (take(args, log, key, optarg))
            continue;
        else
            return PARSED_BAD;
        return PARSED_DONE;
    }
    parsed = take_operands(args, log, argc - optind, argv + optind);
    return parsed == PARSED_RUN ? check(args, log) : parsed;
}

void options_free(struct args *args)
{
    for (size_t n = 0; n < args->mount_count; n++) {
        free(args->mounts[n].device);
        free(args->mounts[n].path);
    }
    for (size_t n = 0; n < args->text_count; n++)
        free(args->texts[n]);
    free(args->texts);
    free(args->mounts);
    free(args->images);
    free(args->fuse_options);
    img_secrets_free(args->secrets);
}

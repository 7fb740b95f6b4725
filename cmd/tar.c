/*
 * img tar. SPDX-License-Identifier: BSD-2-Clause
 *
 * libarchive would do it too, but it brings a dozen libraries to load at each start of the command,
 * and what has to be written is one form of header.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tar.h"
#include "tar_file.h"

#define CHUNK (1u << 20)
#define RUNS_MAX (1u << 20) /* a file in more pieces is written as if it had no holes */

static const struct cmd_option options[] = {
    OPTIONS_GUEST_FILES, OPTION_QUIET, OPTION_OUTPUT, OPTION_HELP, OPTIONS_END,
};

struct archive {
    struct cli *cli;
    struct guest guest;
    FILE *out;
    size_t prefix;              /* bytes of a path that are not in the archive's names */
    struct guest_places linked; /* files with several names, and the one that is in the archive */
    void *buffer;
};

static bool take_option(struct cli *cli, void *opaque, int key, const char *value)
{
    return guest_take_option(cli, opaque, key, value);
}

static bool fail_output(struct archive *archive)
{
    if (ferror(archive->out))
        return cli_fail(archive->cli, "error writing the archive: %s", strerror(errno));
    return cli_fail_nomem(archive->cli);
}

/* ------------------------------------------------------------------ content */

/* So many bytes of the file; what cannot be read is zeros, for the header has told their number. */
static bool write_bytes(struct archive *archive, img_file *file, const struct tar_run *run,
                        const char *path)
{
    img_error err = {0};
    uint64_t end = run->offset + run->length;
    bool failed = false;
    size_t length;

    for (uint64_t at = run->offset; at < end; at += length) {
        size_t got = length = end - at < CHUNK ? (size_t)(end - at) : CHUNK;

        if (signals_stopped(archive->cli))
            return false;
        if (!failed && img_file_read(file, at, archive->buffer, &got, &err) < 0) {
            guest_fail(&archive->guest, &err, path);
            failed = true;
        }
        if (failed)
            got = 0;
        memset((char *)archive->buffer + got, 0, length - got);
        if (fwrite(archive->buffer, 1, length, archive->out) != length)
            return fail_output(archive);
    }
    return true;
}

/* The runs of a file that are no holes. None, and *count 0, when it has no holes or too many. */
static bool find_runs(struct archive *archive, img_file *file, const char *path,
                      struct tar_run **runs, size_t *count)
{
    uint64_t size = img_file_size(file), run;
    bool hole, holes = false;
    size_t room = 0;
    img_error err = {0};

    *runs = NULL;
    *count = 0;
    for (uint64_t at = 0; at < size; at += run) {
        if (img_file_run(file, at, size - at, &run, &hole, &err) < 0)
            return guest_fail(&archive->guest, &err, path);
        holes = holes || hole;
        if (hole)
            continue;
        if (*count == room) {
            room = room ? room * 2 : 16;
            struct tar_run *more = reallocarray(*runs, room, sizeof(*more));

            if (!more)
                return cli_fail_nomem(archive->cli);
            *runs = more;
        }
        (*runs)[(*count)++] = (struct tar_run){at, run};
        if (*count > RUNS_MAX)
            break;
    }
    if (holes && *count <= RUNS_MAX && !*runs)
        *runs = calloc(1, sizeof(**runs)); /* nothing but a hole */
    if (holes && *count <= RUNS_MAX)
        return *runs || cli_fail_nomem(archive->cli);
    free(*runs);
    *runs = NULL;
    *count = 0;
    return true;
}

static bool write_content(struct archive *archive, img_file *file, const struct tar_member *member,
                          const char *path)
{
    const struct tar_run whole = {0, member->size};
    uint64_t written = 0;

    if (!member->runs)
        return write_bytes(archive, file, &whole, path) &&
               (tar_pad(archive->out, member->size) || fail_output(archive));
    for (size_t n = 0; n < member->run_count; n++) {
        if (!write_bytes(archive, file, &member->runs[n], path))
            return false;
        written += member->runs[n].length;
    }
    return tar_pad(archive->out, written) || fail_output(archive);
}

/* ----------------------------------------------------------------- members */

static bool add_xattr(void *opaque, const char *name, const void *value, size_t length)
{
    struct tar_records *records = opaque;
    char *keyword;
    bool ok;

    if (asprintf(&keyword, "SCHILY.xattr.%s", name) < 0)
        return false;
    ok = tar_record(records, keyword, value, length);
    free(keyword);
    return ok;
}

/* What stands before the content. From then on other names of the file may be links to this one. */
static bool begin(struct archive *archive, const struct tar_member *member,
                  struct tar_records *records, struct guest_place *known)
{
    if (!tar_begin(archive->out, member, records))
        return fail_output(archive);
    if (known && !known->text)
        known->text = strdup(member->name);
    return !known || known->text || cli_fail_nomem(archive->cli);
}

static bool write_file(struct archive *archive, const struct guest_entry *entry,
                       struct tar_member *member, struct tar_records *records,
                       struct guest_place *known)
{
    struct tar_run *runs = NULL;
    img_error err = {0};
    img_file *file;
    bool ok;

    if (img_file_open(&file, entry->place.fs, entry->place.inode, &err) < 0) {
        guest_fail(&archive->guest, &err, entry->path);
        return true;
    }
    member->size = img_file_size(file);
    if (find_runs(archive, file, entry->path, &runs, &member->run_count)) {
        member->runs = runs;
        ok = begin(archive, member, records, known) &&
             write_content(archive, file, member, entry->path);
    } else {
        ok = true; /* it is left out */
    }
    img_file_close(file);
    free(runs);
    return ok;
}

static char type_of(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return '0';
    case S_IFLNK:
        return '2';
    case S_IFCHR:
        return '3';
    case S_IFBLK:
        return '4';
    case S_IFDIR:
        return '5';
    case S_IFIFO:
        return '6';
    default:
        return '\0';
    }
}

static bool write_member(struct archive *archive, const struct guest_entry *entry, const char *name,
                         char type)
{
    const img_stat *stat = &entry->stat;
    struct tar_member member = {
        .name = name,
        .type = type,
        .mode = stat->mode,
        .uid = stat->uid,
        .gid = stat->gid,
        .major = stat->device_major,
        .minor = stat->device_minor,
        .mtime = stat->mtime,
        .mtime_nsec = stat->mtime_nsec,
    };
    struct tar_records records = {0};
    img_error err = {0};
    struct guest_place *known = NULL;
    char *target = NULL;
    bool seen, ok = true;

    if (stat->links > 1 && type != '5') {
        known = guest_places_add(&archive->linked, &entry->place, &seen);
        if (!known)
            return cli_fail_nomem(archive->cli);
    }
    if (known && known->text)
        member.type = '1', member.link = known->text;
    else
        guest_xattrs(&archive->guest, entry, add_xattr, &records);
    if (member.type == '2') {
        if (img_fs_readlink(entry->place.fs, entry->place.inode, &target, &err) < 0)
            member.type = '\0', guest_fail(&archive->guest, &err, entry->path);
        member.link = target;
    }
    if (member.type == '0')
        ok = write_file(archive, entry, &member, &records, known);
    else if (member.type)
        ok = begin(archive, &member, &records, known);
    img_free(target);
    free(records.text);
    return ok;
}

static enum guest_next visit(void *opaque, const struct guest_entry *entry)
{
    struct archive *archive = opaque;
    char type = type_of(entry->stat.mode);
    const char *below = entry->depth ? entry->path + archive->prefix : "";
    char *name;
    bool ok;

    if (!type) {
        if (!archive->cli->quiet)
            cli_warn(archive->cli, "%s: a %s is not written", entry->path,
                     guest_type_name(entry->stat.mode));
        return GUEST_GO_ON;
    }
    if (entry->depth == 0 && type != '5')
        ok = asprintf(&name, "%s", entry->name) >= 0;
    else
        ok = asprintf(&name, "./%s%s", below, type == '5' && *below ? "/" : "") >= 0;
    if (!ok) {
        cli_fail_nomem(archive->cli);
        return GUEST_STOP;
    }
    ok = write_member(archive, entry, name, type);
    free(name);
    return ok ? GUEST_GO_ON : GUEST_STOP;
}

/* ---------------------------------------------------------------- the whole */

static bool write_archive(struct archive *archive, const char *path, const img_place *place)
{
    const struct guest_walk walk = {
        .cli = archive->cli, .guest = &archive->guest, .visit = visit, .opaque = archive};
    size_t length = strlen(path);
    bool ok;

    while (length > 1 && path[length - 1] == '/')
        length--;
    archive->prefix = length > 1 ? length + 1 : 1;
    archive->buffer = malloc(CHUNK);
    if (archive->buffer)
        ok = guest_walk(&walk, path, place) && (tar_end(archive->out) || fail_output(archive));
    else
        ok = cli_fail_nomem(archive->cli);
    guest_places_clear(&archive->linked);
    free(archive->buffer);
    return ok;
}

static void write_to(struct archive *archive, const char *path, const char *name)
{
    struct tar_file file;
    img_place place;
    img_stat stat;
    bool ok;

    if (strcmp(name, "-") == 0 && isatty(STDOUT_FILENO)) {
        cli_fail(archive->cli, "an archive is not written to a terminal: name a file");
        return;
    }
    if (!guest_find(&archive->guest, path, 0, &place, &stat))
        return;
    ok = tar_file_open(archive->cli, &file, &archive->guest, name);
    archive->out = file.out;
    ok = ok && write_archive(archive, path, &place);
    tar_file_close(archive->cli, &file, ok);
}

static bool parse(struct cli *cli, struct guest_args *args, int argc, char **argv, int *first)
{
    if (!cli_options(cli, argc, argv, take_option, args, first) ||
        !guest_take_image(cli, args, argc, argv, first))
        return false;
    if (argc - *first < 1 || argc - *first > 2)
        return cli_fail_usage(cli, "Expecting a path in the guest and the name of an archive");
    return true;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct guest_args args = {0};
    struct archive archive = {.cli = cli};
    char *path;
    int first;

    if (parse(cli, &args, argc, argv, &first)) {
        signals_catch();
        path = argv[first][0] == '/' ? strdup(argv[first]) : guest_join("", argv[first]);
        if (!path)
            cli_fail_nomem(cli);
        else if (guest_open(cli, &archive.guest, &args) && guest_mount(cli, &archive.guest, &args))
            write_to(&archive, path, first + 1 < argc ? argv[first + 1] : "-");
        free(path);
        guest_close(&archive.guest);
    }
    guest_args_clear(&args);
    return cli->status;
}

const struct cmd cmd_tar = {
    .name = "tar",
    .summary = "write a guest's directory to a tar archive",
    .usage = "[OPTION]... IMAGE PATH [ARCHIVE|-]",
    .about =
        "Write a directory of the guest of an image, with all that is in it, to a tar archive: "
        "with\n"
        "owners, times to the nanosecond, extended attributes, hard links and holes. GNU tar\n"
        "unpacks these with --xattrs --xattrs-include='*'. Names are relative to the directory.\n"
        "Without the name of an archive it is standard output.\n",
    .examples = "tar disk.qcow2 /home home.tar\n"
                "tar disk.qcow2 /etc -\n",
    .options = options,
    .run = run,
};

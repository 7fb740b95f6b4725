/*
 * Where a tar archive goes. SPDX-License-Identifier: BSD-2-Clause
 *
 * A regular file gets its name when it is complete, so that one of that name is what it was until
 * then. What is no regular file is written to as it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tar_file.h"

static bool fail(struct cli *cli, const char *name)
{
    return cli_fail(cli, "Could not create '%s': %s", name, strerror(errno));
}

/* Look at what has the name of the archive; st_mode 0: nothing has. */
static bool look(struct cli *cli, const struct guest *guest, const char *name, struct stat *stat)
{
    int fd = strcmp(name, "-") == 0 ? dup(STDOUT_FILENO) : open(name, O_PATH | O_CLOEXEC);
    bool ok;

    *stat = (struct stat){0};
    if (fd < 0)
        return errno == ENOENT || fail(cli, name);
    if (fstat(fd, stat) < 0)
        ok = fail(cli, name);
    else
        ok = !guest_lies_in(guest, fd) ||
             cli_fail(cli, "'%s' is a file of the image: it would be lost", name);
    close(fd);
    return ok;
}

/* It is to be like the file in whose place it will be. */
static void imitate(int fd, const struct stat *old)
{
    mode_t mode = old->st_mode & 0777;

    if (fchown(fd, old->st_uid, old->st_gid) < 0)
        mode &= 0707; /* not for another group than it was for */
    (void)fchmod(fd, mode);
}

/* A file without its name yet. */
static bool create(struct cli *cli, struct tar_file *file, const char *name, const struct stat *old)
{
    char temporary[GUEST_TEMPORARY];
    struct stat link;
    bool there = lstat(name, &link) == 0;
    const char *slash;
    int fd;

    /* Links lead to the name; one that leads nowhere is no name. */
    file->name = there ? realpath(name, NULL) : strdup(name);
    if (!file->name)
        return fail(cli, name);
    slash = strrchr(file->name, '/');
    guest_temporary(temporary);
    if (asprintf(&file->temporary, "%.*s%s", slash ? (int)(slash + 1 - file->name) : 0, file->name,
                 temporary) < 0) {
        file->temporary = NULL;
        return cli_fail_nomem(cli);
    }
    fd = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, there ? 0600 : 0666);
    if (fd >= 0 && there)
        imitate(fd, old);
    file->out = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (file->out)
        return true;
    fail(cli, name);
    if (fd >= 0) {
        close(fd);
        unlink(file->temporary);
    }
    return false;
}

bool tar_file_open(struct cli *cli, struct tar_file *file, const struct guest *guest,
                   const char *name)
{
    struct stat old;
    int fd;

    *file = (struct tar_file){0};
    if (!look(cli, guest, name, &old))
        return false;
    if (strcmp(name, "-") == 0) {
        file->out = stdout;
        return true;
    }
    if (old.st_mode == 0 || S_ISREG(old.st_mode))
        return create(cli, file, name, &old);
    fd = open(name, O_WRONLY | O_CLOEXEC);
    file->out = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (!file->out)
        fail(cli, name);
    if (!file->out && fd >= 0)
        close(fd);
    return file->out;
}

void tar_file_close(struct cli *cli, struct tar_file *file, bool complete)
{
    bool ok = complete;

    if (file->out && file->out != stdout && fclose(file->out) != 0 && ok)
        ok = cli_fail(cli, "error writing the archive: %s", strerror(errno));
    if (file->out && file->temporary) {
        if (ok && rename(file->temporary, file->name) < 0)
            ok = fail(cli, file->name);
        if (!ok)
            unlink(file->temporary);
    }
    free(file->temporary);
    free(file->name);
}

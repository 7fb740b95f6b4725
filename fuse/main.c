/*
 * imgmount: shows what is in an image as a directory. SPDX-License-Identifier: BSD-2-Clause
 *
 * The work is done in a child process from the start, so that nothing that has been set up
 * (threads, locks, an appliance) must survive a fork. The parent waits to hear that the directory
 * is mounted and exits then; until that the child says on stderr what goes wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "view.h"

struct program {
    struct args args;
    struct log log;
    int told; /* the pipe to the parent; -1: there is none */
};

static bool write_pid(struct program *program)
{
    const char *name = program->args.pid_file;
    FILE *file = fopen(name, "we");
    bool ok = file && fprintf(file, "%ld\n", (long)getpid()) > 0;

    if (file && fclose(file) != 0)
        ok = false;
    if (!ok)
        log_line(&program->log, "%s: cannot be written: %s", name, strerror(errno));
    return ok;
}

/* Leave the terminal and who waits there. */
static void go_away(struct program *program)
{
    int null = open("/dev/null", O_RDWR);

    setsid();
    /* Snapshots in the view of blocks are opened later, by the name that was typed. */
    if (!program->args.blocks && chdir("/") < 0)
        log_line(&program->log, "/: %s", strerror(errno));
    if (null >= 0) {
        log_background(&program->log);
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        if (null > STDERR_FILENO)
            close(null);
    }
    if (write(program->told, "r", 1) != 1)
        log_line(&program->log, "nobody waits for the mount any more");
    close(program->told);
}

static bool ready(void *opaque)
{
    struct program *program = opaque;

    if (program->args.pid_file && !write_pid(program))
        return false;
    if (program->told >= 0)
        go_away(program);
    return true;
}

/* Whether a FUSE filesystem is mounted there: a second one on top would be an oversight. */
static bool is_mounted(const char *path, const struct stat *at)
{
    struct statfs filesystem;
    struct stat above;
    char *parent = NULL;
    bool mounted = false;

    if (asprintf(&parent, "%s/..", path) < 0)
        return false;
    if (statfs(path, &filesystem) == 0 && stat(parent, &above) == 0)
        mounted = filesystem.f_type == FUSE_SUPER_MAGIC && above.st_dev != at->st_dev;
    free(parent);
    return mounted;
}

/* The name that the directory has wherever one stands; malloc'd. */
static char *mount_point(struct program *program)
{
    const char *name = program->args.directory, *wrong = NULL;
    char *path = realpath(name, NULL);
    struct stat at;

    if (!path || stat(path, &at) < 0)
        wrong = strerror(errno);
    else if (!S_ISDIR(at.st_mode))
        wrong = "not a directory";
    else if (is_mounted(path, &at))
        wrong = "something is already mounted there";
    if (!wrong)
        return path;
    log_line(&program->log, "%s: %s", name, wrong);
    free(path);
    return NULL;
}

static const struct view *view_of(const struct args *args)
{
    if (!args->blocks)
        return &view_files;
    return args->writable ? &view_blocks_writable : &view_blocks;
}

static int run(struct program *program)
{
    char *directory = mount_point(program);
    struct session session = {.args = &program->args, .log = &program->log};
    struct images images;
    int status = 1;

    if (!directory)
        return 1;
    if (images_open(&images, &program->args, &program->log)) {
        session.images = images.images;
        session.image_count = images.count;
        status = daemon_run(&session, view_of(&program->args), directory, ready, program);
    }
    if (!images_close(&images, &program->log))
        status = 1;
    free(directory);
    return status;
}

/* Wait until the child has mounted it, or has failed. */
static int wait_for(int told, pid_t child)
{
    char word;
    int status;
    ssize_t length;

    do
        length = read(told, &word, 1);
    while (length < 0 && errno == EINTR);
    if (length == 1)
        return 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return 1;
    return WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 1;
}

/* True: we are the one who works. False: the parent, whose *status is known. */
static bool become_child(struct program *program, int *status)
{
    int ends[2];
    pid_t child;

    *status = 1;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        log_line(&program->log, "pipe: %s", strerror(errno));
        return false;
    }
    child = fork();
    if (child == 0) {
        close(ends[0]);
        program->told = ends[1];
        return true;
    }
    close(ends[1]);
    if (child < 0)
        log_line(&program->log, "fork: %s", strerror(errno));
    else
        *status = wait_for(ends[0], child);
    close(ends[0]);
    return false;
}

int main(int argc, char **argv)
{
    struct program program = {.told = -1};
    enum parsed parsed;
    int status = 1;

    log_init(&program.log);
    parsed = options_parse(&program.args, &program.log, argc, argv);
    program.log.verbose = program.args.verbose;
    if (parsed == PARSED_DONE)
        status = 0;
    else if (parsed == PARSED_RUN && (program.args.foreground || become_child(&program, &status)) &&
             (!program.args.log || log_open(&program.log, program.args.log)))
        status = run(&program);
    options_free(&program.args);
    log_end(&program.log);
    return status;
}

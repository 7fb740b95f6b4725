/*
 * Run a command while an image is served over NBD. SPDX-License-Identifier: BSD-2-Clause
 *
 *   serve-image [--read-only] IMAGE COMMAND [ARGUMENT...]
 *
 * The command finds the server's address in the variables URI and SOCKET. Ends as it does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "serve/serve.h"

static int run(char **command, const struct imgi_server *server)
{
    int status;
    pid_t child;

    setenv("URI", imgi_serve_uri(server), 1);
    setenv("SOCKET", imgi_serve_socket(server), 1);
    child = fork();
    if (child == 0) {
        execvp(command[0], command);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0)
        return 126;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int fail(const img_error *err)
{
    fprintf(stderr, "serve-image: %s\n", err->message);
    return 125;
}

int main(int argc, char **argv)
{
    bool read_only = argc > 1 && strcmp(argv[1], "--read-only") == 0;
    img_open_params params = {.flags = read_only ? 0 : IMG_OPEN_WRITE};
    struct imgi_server *server;
    img_image *image;
    img_error err;
    int status;

    argv += read_only;
    argc -= read_only;
    if (argc < 3)
        return 2;
    if (img_open(&image, argv[1], &params, &err) < 0)
        return fail(&err);
    if (imgi_serve_start(&server, image, read_only, &err) < 0) {
        img_abandon(image);
        return fail(&err);
    }
    status = run(argv + 2, server);
    imgi_serve_stop(server);
    return img_close(image, &err) < 0 ? fail(&err) : status;
}

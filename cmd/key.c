/*
 * "--key": passphrases of what is encrypted in a guest. SPDX-License-Identifier: BSD-2-Clause
 *
 * SELECTOR:key:PASSPHRASE or SELECTOR:file:NAME, as the virt tools have it. A text on the command
 * line is overwritten once it has been taken, so that a list of processes shows it no longer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

static bool add(struct cli *cli, const char *selector, const char *passphrase)
{
    img_options *properties = img_options_new();
    img_error err = {0};
    int rc = properties ? 0 : IMG_E_NOMEM;

    if (rc == 0 && !cli->secrets && !(cli->secrets = img_secrets_new()))
        rc = IMG_E_NOMEM;
    if (rc == 0)
        rc = img_options_set(properties, "id", selector, &err);
    if (rc == 0)
        rc = img_options_set(properties, "data", passphrase, &err);
    if (rc == 0)
        rc = img_secrets_add(cli->secrets, properties, &err);
    img_options_free(properties);
    return rc == 0 || (err.code ? cli_fail_error(cli, &err, "%s", "") : cli_fail_nomem(cli));
}

/* The first line of the file. */
static bool add_from_file(struct cli *cli, const char *selector, const char *name)
{
    FILE *file = fopen(name, "re");
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    bool ok;

    if (!file)
        return cli_fail(cli, "%s: %s", name, strerror(errno));
    setvbuf(file, NULL, _IONBF, 0); /* no buffer keeps the passphrase */
    errno = 0;
    length = getline(&line, &room, file);
    if (length < 0) {
        ok = cli_fail(cli, "%s: %s", name, errno ? strerror(errno) : "there is no key in it");
    } else {
        line[strcspn(line, "\n")] = '\0';
        ok = add(cli, selector, line);
    }
    if (line)
        explicit_bzero(line, room);
    free(line);
    fclose(file);
    return ok;
}

bool key_take(struct cli *cli, char *text)
{
    char *how = strchr(text, ':'), *what = how ? strchr(how + 1, ':') : NULL;
    bool ok;

    if (!what || how == text) {
        ok = cli_fail_usage(cli, "--key is SELECTOR:key:PASSPHRASE or SELECTOR:file:NAME");
    } else {
        *how++ = '\0';
        *what++ = '\0';
        if (strcmp(how, "key") == 0)
            ok = add(cli, text, what);
        else if (strcmp(how, "file") == 0)
            ok = add_from_file(cli, text, what);
        else
            ok = cli_fail_usage(
                cli, "--key %s: the key may be given by key: or file:, not by %s:", text, how);
        explicit_bzero(what, strlen(what));
    }
    return ok;
}

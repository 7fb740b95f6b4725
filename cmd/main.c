/*
 * img: the command. SPDX-License-Identifier: BSD-2-Clause
 *
 * Nothing is done before it is known what is asked for: looking at a small image should
 * cost little more than starting a process.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

static const struct cmd *const commands[] = {
    &cmd_amend,   &cmd_bench,    &cmd_bitmap,      &cmd_cat,     &cmd_check,  &cmd_commit,
    &cmd_compact, &cmd_compare,  &cmd_convert,     &cmd_cp,      &cmd_create, &cmd_dd,
    &cmd_df,      &cmd_diff,     &cmd_filesystems, &cmd_find,    &cmd_info,   &cmd_inspect,
    &cmd_io,      &cmd_ls,       &cmd_map,         &cmd_measure, &cmd_mount,  &cmd_rebase,
    &cmd_resize,  &cmd_snapshot, &cmd_sparsify,    &cmd_tar,     &cmd_umount,
};

const struct cmd *cmd_nth(size_t n)
{
    return n < sizeof(commands) / sizeof(commands[0]) ? commands[n] : NULL;
}

const struct cmd *cmd_by_name(const char *name)
{
    const struct cmd *command;

    for (size_t n = 0; (command = cmd_nth(n)); n++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}

/* Errors that come before --output=json was parsed are to be JSON too. */
static bool wants_json(int argc, char **argv)
{
    for (int n = 1; n < argc; n++) {
        if (strcmp(argv[n], "--") == 0)
            return false;
        if (strcmp(argv[n], "--output=json") == 0 ||
            (strcmp(argv[n], "--output") == 0 && n + 1 < argc && strcmp(argv[n + 1], "json") == 0))
            return true;
    }
    return false;
}

/* What stands in front of the command. */
static int run_global(struct cli *cli, const char *option)
{
    if (strcmp(option, "-h") == 0 || strcmp(option, "--help") == 0)
        help_program(cli);
    else if (strcmp(option, "-V") == 0 || strcmp(option, "--version") == 0)
        help_version(cli);
    else
        cli_fail_usage(cli, "unrecognized option '%s'", option);
    return cli->status;
}

/*
 * The number of words in front of the command that ask for traces, which there are none of: "-T X",
 * "-TX", "--trace X", "--trace=X".
 */
static int trace_words(int argc, char **argv)
{
    int n = 1;

    while (n < argc && (strncmp(argv[n], "-T", 2) == 0 || strcmp(argv[n], "--trace") == 0 ||
                        strncmp(argv[n], "--trace=", 8) == 0)) {
        bool alone = strcmp(argv[n], "-T") == 0 || strcmp(argv[n], "--trace") == 0;

        if (alone && n + 1 == argc)
            break;
        n += alone ? 2 : 1;
    }
    return n - 1;
}

/* IMG_UNTRUSTED=1 is --untrusted of every command. */
static bool is_untrusted(void)
{
    const char *value = getenv("IMG_UNTRUSTED");

    return value && *value && strcmp(value, "0") != 0;
}

static int run(struct cli *cli, int argc, char **argv)
{
    int traces = trace_words(argc, argv);

    argc -= traces;
    argv += traces;
    if (argc < 2) {
        cli_fail_usage(cli, "Not enough arguments");
        return cli->status;
    }
    if (argv[1][0] == '-')
        return run_global(cli, argv[1]);
    if (strcmp(argv[1], "help") == 0)
        return help_run(cli, argc - 1, argv + 1);
    if (is_untrusted() && !open_untrusted(cli))
        return cli->status;
    cli->command = cmd_by_name(argv[1]);
    if (!cli->command) {
        cli_fail_usage(cli, "Command not found: %s", argv[1]);
        return cli->status;
    }
    return cli->command->run(cli, argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    const char *name = argc > 0 ? argv[0] : "img";
    const char *slash = strrchr(name, '/');
    struct cli cli = {
        .program = slash ? slash + 1 : name,
        .fail_status = 1,
        .json = wants_json(argc, argv),
    };
    int status = run(&cli, argc, argv);

    img_secrets_free(cli.secrets);
    img_policy_free(cli.policy);
    /* A result that could not be written, to a full disk say, is no success. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == 0) {
        cli_fail(&cli, "error writing the output: %s", strerror(errno));
        status = 1;
    }
    return status;
}

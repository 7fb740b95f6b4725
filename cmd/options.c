/*
 * Parsing a subcommand's options by its table. SPDX-License-Identifier: BSD-2-Clause
 *
 * getopt_long does the work; its tables are made from ours at each call, which costs
 * nothing next to opening an image and keeps no state beyond getopt's own.
 */
#include <getopt.h>
#include <string.h>

#include "cmd.h"

#define OPTIONS_MAX 48

static bool is_letter(int key)
{
    return key > 0 && key < 256;
}

/* An argument in brackets may be left out; it belongs to the long form only. */
static bool is_optional(const struct cmd_option *option)
{
    return option->value && option->value[0] == '[';
}

static void make_tables(const struct cmd_option *table, struct option *longs, char *shorts)
{
    *shorts++ = ':'; /* tell a missing argument from an unknown option */
    for (; table->key; table++) {
        if (is_letter(table->key) && table->help) {
            *shorts++ = (char)table->key;
            if (table->value && !is_optional(table))
                *shorts++ = ':';
        }
        if (table->name)
            *longs++ = (struct option){
                .name = table->name,
                .has_arg = !table->value        ? no_argument
                           : is_optional(table) ? optional_argument
                                                : required_argument,
                .val = table->key,
            };
    }
    *shorts = '\0';
    *longs = (struct option){0};
}

/*
 * Say what getopt did not like: a letter, which is in optopt, or a long option, in the last
 * argument. A long option it knows leaves its key in optopt too, when its argument is missing or
 * unwanted.
 */
static bool bad_option(struct cli *cli, int key, char **argv)
{
    const char *last = argv[optind - 1];
    char letter[3] = {'-', (char)optopt, '\0'};
    bool known = strncmp(last, "--", 2) == 0 && (key == ':' || strchr(last, '='));
    const char *option = !is_letter(optopt) || known ? last : letter;

    if (key == ':')
        return cli_fail_usage(cli, "missing argument for option '%s'", option);
    return cli_fail_usage(cli, "unrecognized option '%s'", option);
}

static bool set_output(struct cli *cli, const char *form)
{
    if (strcmp(form, "human") != 0 && strcmp(form, "json") != 0)
        return cli_fail(cli, "--output must be used with human or json as argument.");
    cli->json = strcmp(form, "json") == 0;
    return true;
}

/* A command may have another use for -h. */
static bool is_help(const struct cmd_option *table, int key)
{
    for (; table->key; table++)
        if (table->key == key && table->name && strcmp(table->name, "help") == 0)
            return true;
    return false;
}

static bool take_option(struct cli *cli, int key, char **argv, cli_option_fn *fn, void *args)
{
    if (is_help(cli->command->options, key)) {
        help_command(cli, cli->command);
        return false;
    }
    switch (key) {
    case ':':
    case '?':
        return bad_option(cli, key, argv);
    case 'q':
        cli->quiet = true;
        return true;
    case OPT_OUTPUT:
        return set_output(cli, optarg);
    case OPT_OBJECT:
        return object_take(cli, optarg);
    case OPT_KEY:
        return key_take(cli, optarg);
    case OPT_UNTRUSTED:
        return open_untrusted(cli);
    default:
        return fn(cli, args, key, optarg);
    }
}

bool cli_options(struct cli *cli, int argc, char **argv, cli_option_fn *fn, void *args, int *first)
{
    struct option longs[OPTIONS_MAX + 1];
    char shorts[2 * OPTIONS_MAX + 2];
    int key;

    make_tables(cli->command->options, longs, shorts);
    opterr = 0;
    while ((key = getopt_long(argc, argv, shorts, longs, NULL)) != -1)
        if (!take_option(cli, key, argv, fn, args))
            return false;
    *first = optind;
    return true;
}

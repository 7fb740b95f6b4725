/*
 * Help, made of the tables that also parse the options. SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>

#include "cmd.h"

#define HELP_COLUMN 30

static void print_formats(const char *before)
{
    const char *name;

    fputs(before, stdout);
    for (size_t n = 0; (name = img_format_name(n)); n++)
        printf(" %s", name);
    putchar('\n');
}

void help_program(const struct cli *cli)
{
    const struct cmd *command;

    printf("Usage: %s COMMAND [OPTION]... FILE...\n"
           "Make, convert and look at images of virtual disks.\n\nCommands:\n",
           cli->program);
    for (size_t n = 0; (command = cmd_nth(n)); n++)
        printf("  %-12s%s\n", command->name, command->summary);
    printf("\nOptions:\n"
           "  -h, --help     show this help; '%s COMMAND --help' tells of a command's options\n"
           "  -V, --version  show the version and what this build has\n",
           cli->program);
    printf("\nExamples:\n"
           "  %s info disk.vmdk\n"
           "  %s convert -p -O qcow2 disk.vmdk disk.qcow2\n",
           cli->program, cli->program);
    print_formats("\nFormats:");
    puts("Appliances: ova ovf");
}

/* "-f, --format=FMT", padded to the column of the text. */
static void print_option(const struct cmd_option *option)
{
    const char *value = option->value ? option->value : "";
    bool optional = *value == '[';
    int length = printf("  ");

    if (option->key < 256)
        length += printf("-%c", option->key);
    else
        length += printf("    ");
    if (!option->name && *value)
        length += printf(" %s", value);
    if (option->name && option->key < 256)
        length += printf(", ");
    if (option->name && optional) /* [HOW] is shown as [=HOW] */
        length += printf("--%s[=%s", option->name, value + 1);
    else if (option->name)
        length += printf("--%s%s%s", option->name, *value ? "=" : "", value);
    if (length >= HELP_COLUMN)
        printf("\n%*s%s\n", HELP_COLUMN, "", option->help);
    else
        printf("%*s%s\n", HELP_COLUMN - length, "", option->help);
}

static void print_examples(const struct cli *cli, const char *examples)
{
    while (*examples) {
        size_t length = strcspn(examples, "\n");

        printf("  %s %.*s\n", cli->program, (int)length, examples);
        examples += length + (examples[length] == '\n');
    }
}

void help_command(const struct cli *cli, const struct cmd *command)
{
    printf("Usage: %s %s %s\n%c%s.\n\n%s\nOptions:\n", cli->program, command->name, command->usage,
           command->summary[0] - 'a' + 'A', command->summary + 1, command->about);
    for (const struct cmd_option *option = command->options; option->key; option++)
        if (option->help)
            print_option(option);
    printf("\nExamples:\n");
    print_examples(cli, command->examples);
    print_formats("\nFormats:");
}

/* Every name of every option, one a line; a '=' follows the long ones that take an argument. */
static void list_options(const struct cmd *command)
{
    for (const struct cmd_option *option = command->options; option->key; option++) {
        if (option->key < 256 && option->help)
            printf("-%c\n", option->key);
        if (option->name)
            printf("--%s%s\n", option->name, option->value && option->value[0] != '[' ? "=" : "");
    }
}

static void list_commands(void)
{
    const struct cmd *command;

    for (size_t n = 0; (command = cmd_nth(n)); n++)
        puts(command->name);
}

int help_run(struct cli *cli, int argc, char **argv)
{
    const char *name = argc > 1 ? argv[argc - 1] : NULL;
    bool list = name && strcmp(argv[1], "--options") == 0;
    const struct cmd *command;

    if (name && strcmp(name, "--commands") == 0) {
        list_commands();
        return 0;
    }
    if (!name || strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0) {
        help_program(cli);
        return 0;
    }
    command = cmd_by_name(name);
    if (!command)
        cli_fail_usage(cli, "Command not found: %s", name);
    else if (list)
        list_options(command);
    else
        help_command(cli, command);
    return cli->status;
}

void help_version(const struct cli *cli)
{
    const char *feature;

    printf("%s %s (libimg %s)\n", cli->program, PACKAGE_VERSION, img_version());
    for (size_t n = 0; (feature = img_feature(n)); n++)
        puts(feature);
}

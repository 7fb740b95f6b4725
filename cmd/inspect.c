/*
 * img inspect. SPDX-License-Identifier: BSD-2-Clause
 */
#include <jansson.h>
#include <string.h>

#include "guest.h"

struct args {
    struct guest_args guest;
    bool packages, no_packages;
};

static const struct cmd_option options[] = {
    OPTIONS_GUEST,
    {OPT_PACKAGES, "packages", NULL, "list the packages in text for people too"},
    {OPT_NO_APPLICATIONS, "no-applications", NULL, "do not list the packages in JSON"},
    {OPT_NO_ICON, "no-icon", NULL, "no icon of the system: there is never one"},
    OPTION_QUIET,
    OPTION_OUTPUT,
    OPTION_HELP,
    OPTIONS_END,
};

static bool take_option(struct cli *cli, void *opaque, int key, const char *value)
{
    struct args *args = opaque;

    switch (key) {
    case OPT_PACKAGES:
        args->packages = true;
        break;
    case OPT_NO_APPLICATIONS:
        args->no_packages = true;
        break;
    case OPT_NO_ICON:
        break;
    default:
        return guest_take_option(cli, &args->guest, key, value);
    }
    return true;
}

static bool parse(struct cli *cli, struct args *args, int argc, char **argv)
{
    int first;

    if (!cli_options(cli, argc, argv, take_option, args, &first) ||
        !guest_take_image(cli, &args->guest, argc, argv, &first))
        return false;
    return argc == first ||
           cli_fail_usage(cli, "Expecting one image; the disks of one machine each with -a");
}

/* ------------------------------------------------------------------- text */

/* The text of a member; "" when there is none. */
static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

/* A list is a table: a line an object, a column a key. */
static void print_row(const json_t *row)
{
    const char *key;
    json_t *value;

    printf("   ");
    json_object_foreach((json_t *)row, key, value)
    {
        putchar(' ');
        output_text(stdout, json_string_value(value) ? json_string_value(value) : "");
    }
    putchar('\n');
}

/* "name 1:2.3-4 amd64: what it is for" */
static void print_package(const json_t *package)
{
    const char *epoch = text_of(package, "epoch"), *release = text_of(package, "release");

    printf("    ");
    output_text(stdout, text_of(package, "name"));
    putchar(' ');
    output_text(stdout, epoch);
    fputs(*epoch ? ":" : "", stdout);
    output_text(stdout, text_of(package, "version"));
    fputs(*release ? "-" : "", stdout);
    output_text(stdout, release);
    putchar(' ');
    output_text(stdout, text_of(package, "arch"));
    fputs(": ", stdout);
    output_text(stdout, text_of(package, "summary"));
    putchar('\n');
}

/* Keys are printed with spaces for underscores. */
static void print_member(const char *key, const json_t *value)
{
    bool packages = strcmp(key, "applications") == 0;

    if (json_is_array(value) && json_array_size(value) == 0)
        return;
    for (; *key; key++)
        putchar(*key == '_' ? ' ' : *key);
    if (json_is_integer(value)) {
        printf(": %" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
    } else if (json_is_string(value)) {
        fputs(": ", stdout);
        output_text(stdout, json_string_value(value));
        putchar('\n');
    } else {
        puts(":");
        for (size_t n = 0; n < json_array_size(value); n++) {
            if (packages)
                print_package(json_array_get(value, n));
            else
                print_row(json_array_get(value, n));
        }
    }
}

static void print_text(const json_t *systems)
{
    const char *key;
    json_t *value;

    for (size_t n = 0; n < json_array_size(systems); n++) {
        if (n > 0)
            putchar('\n');
        json_object_foreach(json_array_get(systems, n), key, value) print_member(key, value);
    }
}

/* ---------------------------------------------------------------- command */

static bool print(struct cli *cli, const char *name, const char *text)
{
    json_error_t json_error;
    json_t *found = json_loads(text, 0, &json_error);
    const json_t *systems = json_object_get(found, "operatingsystems");
    bool ok = true;

    if (!found)
        ok = cli_fail(cli, "%s: cannot read what was found: %s", name, json_error.text);
    else if (json_array_size(systems) == 0)
        ok = cli_fail_code(cli, IMG_E_NOENT, "%s: no operating system was found in it", name);
    else if (cli->json)
        puts(text);
    else
        print_text(systems);
    json_decref(found);
    return ok;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {0};
    struct guest guest = {0};
    img_error err = {0};
    char *text = NULL;

    if (parse(cli, &args, argc, argv) && guest_open(cli, &guest, &args.guest)) {
        const char *name = args.guest.images[0].name;
        bool list = cli->json ? !args.no_packages : args.packages;

        if (img_guest_inspect(guest.guest, list ? IMG_INSPECT_PACKAGES : 0, &text, &err) < 0)
            guest_fail(&guest, &err, NULL);
        else
            print(cli, name, text);
        img_free(text);
    }
    guest_close(&guest);
    guest_args_clear(&args.guest);
    return cli->status;
}

const struct cmd cmd_inspect = {
    .name = "inspect",
    .summary = "tell what operating system is in an image",
    .usage = "[OPTION]... FILE",
    .about = "Tell the operating systems in an image: distribution and version, host name, mount "
             "points, kernels,\n"
             "boot loader, and installed packages. What is said, and its JSON, has "
             "virt-inspector's names.\n",
    .examples = "inspect disk.qcow2\n"
                "inspect --output=json machine.ova\n"
                "inspect --packages -a system.qcow2 -a data.qcow2\n",
    .options = options,
    .run = run,
};

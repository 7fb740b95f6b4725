/*
 * "--object": what the user defines beside the images. SPDX-License-Identifier: BSD-2-Clause
 *
 * Secrets are all that an image can use here. A text on the command line is overwritten once it has
 * been taken, so that a list of processes shows it no longer.
 */
#include <jansson.h>
#include <string.h>

#include "cmd.h"

/* What qemu-img makes too, and nothing here has a use for. */
static const char *const other_types[] = {
    "authz-list",
    "authz-list-file",
    "authz-simple",
    "main-loop",
    "pr-manager-helper",
    "secret_keyring",
    "thread-context",
    "throttle-group",
    "tls-cipher-suites",
    "tls-creds-anon",
    "tls-creds-psk",
    "tls-creds-x509",
    "iothread",
    "rng-builtin",
    "rng-random",
    "filter-buffer",
    "can-bus",
    "cryptodev-backend",
    "memory-backend-ram",
    "memory-backend-file",
    NULL,
};

static bool list_types(void)
{
    puts("List of user creatable objects:\n  secret");
    return false;
}

static bool list_properties(void)
{
    puts("secret options:\n"
         "  data=<string>\n"
         "  file=<string>\n"
         "  format=<raw|base64>");
    return false;
}

/* {"qom-type": "secret", "id": "s", ...} */
static bool take_json(struct cli *cli, img_options *properties, const char *text)
{
    json_error_t error;
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, &error), *value;
    const char *key;
    img_error err = {0};
    bool ok = json_is_object(object);

    if (!object)
        cli_fail(cli, "JSON parse error, %s", error.text);
    else if (!ok)
        cli_fail(cli, "Invalid JSON object given");
    else
        json_object_foreach(object, key, value)
        {
            if (ok && !json_is_string(value))
                ok = cli_fail(cli, "Invalid parameter type for '%s', expected: string", key);
            else if (ok && img_options_set(properties, key, json_string_value(value), &err) < 0)
                ok = cli_fail_error(cli, &err, "%s", "");
        }
    json_decref(object);
    return ok;
}

/* "secret,id=s,...": the type may stand first without its name. */
static bool take_list(struct cli *cli, img_options *properties, const char *text)
{
    size_t length = strcspn(text, ",=");
    char type[64];
    img_error err = {0};
    int rc = 0;

    if (*text && text[length] != '=') {
        snprintf(type, sizeof(type), "%.*s", (int)length, text);
        rc = img_options_set(properties, "qom-type", type, &err);
        text += length + (text[length] == ',');
    }
    if (rc == 0 && *text)
        rc = img_options_parse(properties, text, &err);
    return rc == 0 || cli_fail_error(cli, &err, "%s", "");
}

static bool add_secret(struct cli *cli, const img_options *properties)
{
    img_options *rest = img_options_new();
    img_error err = {0};
    const char *name;
    int rc = rest ? 0 : IMG_E_NOMEM;

    for (size_t n = 0; rc == 0 && (name = img_options_name(properties, n)); n++)
        if (strcmp(name, "qom-type") != 0)
            rc = img_options_set(rest, name, img_options_get(properties, name), &err);
    if (rc == 0 && !cli->secrets && !(cli->secrets = img_secrets_new()))
        rc = IMG_E_NOMEM;
    if (rc == 0)
        rc = img_secrets_add(cli->secrets, rest, &err);
    img_options_free(rest);
    return rc == 0 || (err.code ? cli_fail_error(cli, &err, "%s", "") : cli_fail_nomem(cli));
}

static bool add(struct cli *cli, const img_options *properties)
{
    const char *type = img_options_get(properties, "qom-type");

    if (!type)
        return cli_fail(cli, "Parameter 'qom-type' is missing");
    if (strcmp(type, "help") == 0 || strcmp(type, "?") == 0)
        return list_types();
    for (size_t n = 0; other_types[n]; n++)
        if (strcmp(type, other_types[n]) == 0)
            return cli_fail_code(cli, IMG_E_UNSUPPORTED,
                                 "invalid object type: %s (only secrets are supported)", type);
    if (strcmp(type, "secret") != 0)
        return cli_fail(cli, "Parameter 'qom-type' does not accept value '%s'", type);
    if (img_options_get(properties, "help"))
        return list_properties();
    if (!img_options_get(properties, "id"))
        return cli_fail(cli, "Parameter 'id' is missing");
    return add_secret(cli, properties);
}

bool object_take(struct cli *cli, char *text)
{
    img_options *properties = img_options_new();
    bool ok;

    if (!properties)
        return cli_fail_nomem(cli);
    ok = *text == '{' ? take_json(cli, properties, text) : take_list(cli, properties, text);
    ok = ok && add(cli, properties);
    img_options_free(properties);
    explicit_bzero(text, strlen(text));
    return ok;
}

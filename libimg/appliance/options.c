/*
 * The options of a new OVA. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "create.h"

/* Of the names of members: the longest suffix is "-disk60.vmdk". */
#define STEM_MAX 80u
#define NAME_MAX_BYTES 80u
#define CPUS_MAX 1024u
#define HARDWARE_MAX 99u
#define MEMORY_UNIT (UINT64_C(1) << 20)

const struct imgi_opt imgi_ova_options[] = {
    {"name", IMGI_OPT_STRING, NULL, "Name of the machine (default: the file's name)", false},
    {"hwversion", IMGI_OPT_STRING, "vmx-13", "VMware's virtual hardware version", false},
    {"cpus", IMGI_OPT_NUMBER, "1", "Number of processors", false},
    {"memory", IMGI_OPT_SIZE, "1073741824", "Memory, whole MiB", false},
    {"ostype", IMGI_OPT_STRING, "otherGuest", "VMware's name of the guest's system", false},
    {"controller", IMGI_OPT_STRING, "lsilogic",
     "Disk controller (lsilogic, lsilogicsas, buslogic, pvscsi, ide, sata)", false},
    {"network", IMGI_OPT_STRING, "VM Network", "Name of the network, or none", false},
    {"nic", IMGI_OPT_STRING, "E1000", "Network card (E1000, E1000e, VmxNet3, PCNet32)", false},
    {"digest", IMGI_OPT_STRING, "sha256", "Digests of the manifest (sha1, sha256, sha512)", false},
    {"adapter_type", IMGI_OPT_STRING, NULL, "Adapter of the disks (default: fits the controller)",
     true},
    {"toolsversion", IMGI_OPT_STRING, NULL, "VMware guest tools version", true},
    {"compression_level", IMGI_OPT_NUMBER, NULL, "Effort of compression, from 1 (fast) to 9 (small)", true},
    {0},
};

static const char *option(const img_options *options, const char *name)
{
    return imgi_options_string(options, imgi_ova_options, name);
}

static int one_of(const char *what, const char *value, const char *const *words, const char **found,
                  img_error *err)
{
    for (; *words; words++) {
        if (strcasecmp(value, *words) == 0) {
            *found = *words;
            return 0;
        }
    }
    return imgi_fail(err, IMG_E_INVAL, "%s: invalid parameter value: %s", what, value);
}

/* ------------------------------------------------------------------- names */

/* The bytes of one UTF-8 character that XML may hold; 0: it is none, or a control character. */
static size_t character(const char *text)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *byte = (const unsigned char *)text;
    size_t length = *byte < 0xc0 ? 1 : *byte < 0xe0 ? 2 : *byte < 0xf0 ? 3 : 4;
    uint32_t code = length == 1 ? *byte : *byte & (0x7fu >> length);

    if (length == 1)
        return code >= 0x20 && code < 0x7f;
    if (*byte >= 0xf8)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((byte[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (byte[i] & 0x3f);
    }
    /* C1 controls, half of a surrogate pair, and what is no character. */
    if (code < least[length] || code < 0xa0 || (code >= 0xd800 && code < 0xe000) ||
        (code & 0xfffe) == 0xfffe || code > 0x10ffff)
        return 0;
    return length;
}

/* What goes into the document. */
static int check_text(const char *what, const char *text, img_error *err)
{
    if (!*text)
        return imgi_fail(err, IMG_E_INVAL, "%s: it is empty", what);
    while (*text) {
        size_t length = character(text);

        if (length == 0)
            return imgi_fail(err, IMG_E_INVAL, "%s: not UTF-8, or control characters", what);
        text += length;
    }
    return 0;
}

/* The file's name without directories and suffix, of letters that need no care in any of its
 * uses. */
static int choose_stem(struct imgi_ova_plan *plan, const char *path, img_error *err)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    size_t length = dot && dot != name ? (size_t)(dot - name) : strlen(name);

    plan->stem = strndup(name, IMGI_MIN(length, STEM_MAX));
    if (!plan->stem)
        return imgi_fail_nomem(err, "an OVA");
    for (char *at = plan->stem; *at; at++) {
        if (!strchr(plain, *at) || (at == plan->stem && *at == '.'))
            *at = '_';
    }
    return 0;
}

static int choose_name(struct imgi_ova_plan *plan, const img_options *options, img_error *err)
{
    const char *name = option(options, "name");

    plan->name = strdup(name ? name : plan->stem);
    if (!plan->name)
        return imgi_fail_nomem(err, "an OVA");
    if (plan->name[0] == '\0' || strlen(plan->name) > NAME_MAX_BYTES)
        return imgi_fail(err, IMG_E_INVAL, "name: a machine's name has 1 to %u bytes",
                         NAME_MAX_BYTES);
    plan->ovf.name = plan->name;
    return check_text("name", plan->name, err);
}

/* ---------------------------------------------------------------- hardware */

/* "vmx-13" or "13". */
static int choose_hardware(struct imgi_ova_plan *plan, const img_options *options, img_error *err)
{
    const char *value = option(options, "hwversion");
    const char *number = strncasecmp(value, "vmx-", 4) == 0 ? value + 4 : value;
    char *end;
    unsigned long version = strtoul(number, &end, 10);

    if (*number < '0' || *number > '9' || *end || version < 4 || version > HARDWARE_MAX)
        return imgi_fail(err, IMG_E_INVAL, "hwversion: invalid parameter value: %s", value);
    snprintf(plan->hardware, sizeof(plan->hardware), "vmx-%02lu", version);
    plan->ovf.hardware = plan->hardware;
    plan->hw_number = plan->hardware + strlen("vmx-");
    return 0;
}

static int choose_machine(struct imgi_ova_plan *plan, const img_options *options, img_error *err)
{
    struct imgi_ovf_new *ovf = &plan->ovf;

    ovf->cpus = imgi_options_number(options, imgi_ova_options, "cpus");
    ovf->memory = imgi_options_number(options, imgi_ova_options, "memory");
    if (ovf->cpus < 1 || ovf->cpus > CPUS_MAX)
        return imgi_fail(err, IMG_E_INVAL, "cpus goes from 1 to %u", CPUS_MAX);
    if (ovf->memory == 0 || ovf->memory % MEMORY_UNIT != 0)
        return imgi_fail(err, IMG_E_INVAL, "memory: not a number of MiB: %llu bytes",
                         (unsigned long long)ovf->memory);
    return 0;
}

/* CIM_OperatingSystem.OSType for the names that VMware gives guests; what is not here is "Other".
 */
static unsigned os_id(const char *type)
{
    static const struct {
        const char *begins, *ends;
        unsigned id;
    } types[] = {
        {"debian", "_64Guest", 96},  {"debian", "Guest", 95},   {"ubuntu", "64Guest", 94},
        {"ubuntu", "Guest", 93},     {"rhel", "_64Guest", 80},  {"rhel", "Guest", 79},
        {"centos", "64Guest", 107},  {"centos", "Guest", 106},  {"other", "Linux64Guest", 101},
        {"other", "LinuxGuest", 36}, {"other", "Guest64", 102},
    };
    size_t length = strlen(type);

    for (size_t i = 0; i < IMGI_COUNT(types); i++) {
        size_t end = strlen(types[i].ends);

        if (strncasecmp(type, types[i].begins, strlen(types[i].begins)) == 0 && length >= end &&
            strcasecmp(type + length - end, types[i].ends) == 0)
            return types[i].id;
    }
    return 1;
}

/*
 * The disk's adapter goes with the machine's controller: "ide" with IDE and nothing else; of the
 * others importers know lsilogic and buslogic in a disk, whatever the machine has.
 */
static int choose_adapter(struct imgi_ova_plan *plan, const img_options *options, img_error *err)
{
    const char *adapter = option(options, "adapter_type"), *controller = plan->ovf.controller;
    bool ide = strcmp(controller, "ide") == 0;

    if (!adapter)
        adapter = ide || strcmp(controller, "buslogic") == 0 ? controller : "lsilogic";
    else if ((strcasecmp(adapter, "ide") == 0) != ide)
        return imgi_fail(err, IMG_E_INVAL, "adapter_type: %s does not fit the controller, %s",
                         adapter, controller);
    plan->adapter = adapter;
    return 0;
}

static int choose_devices(struct imgi_ova_plan *plan, const img_options *options, size_t disks,
                          img_error *err)
{
    static const char *const controllers[] = {"lsilogic", "lsilogicsas", "buslogic", "pvscsi",
                                              "ide",      "sata",        NULL};
    static const char *const cards[] = {"E1000", "E1000e", "VmxNet3", "PCNet32", NULL};
    struct imgi_ovf_new *ovf = &plan->ovf;
    const char *network = option(options, "network");
    size_t room;
    int rc =
        one_of("controller", option(options, "controller"), controllers, &ovf->controller, err);

    if (rc == 0)
        rc = check_text("network", network, err);
    if (rc == 0)
        rc = check_text("ostype", option(options, "ostype"), err);
    if (rc == 0)
        rc = one_of("nic", option(options, "nic"), cards, &ovf->nic, err);
    if (rc < 0)
        return rc;
    room = strcmp(ovf->controller, "ide") == 0 ? 4 : IMGI_OVF_DISKS_MAX;
    if (disks < 1 || disks > room)
        return imgi_fail(err, IMG_E_INVAL, "%s takes 1 to %zu disks, not %zu", ovf->controller,
                         room, disks);
    rc = choose_adapter(plan, options, err);
    if (rc < 0)
        return rc;
    /* VMware's word for it in an OVF. */
    if (strcmp(ovf->controller, "pvscsi") == 0)
        ovf->controller = "VirtualSCSI";
    ovf->network = strcmp(network, "none") == 0 ? NULL : network;
    ovf->os_type = option(options, "ostype");
    ovf->os_id = os_id(ovf->os_type);
    return 0;
}

/* -------------------------------------------------------------------- plan */

/* The same file each time, unless the one who builds says what time it is. */
static int choose_time(struct imgi_ova_plan *plan, img_error *err)
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    char *end;

    if (!epoch || !*epoch)
        return 0;
    errno = 0;
    plan->mtime = strtoull(epoch, &end, 10);
    if (errno || *end || *epoch < '0' || *epoch > '9')
        return imgi_fail(err, IMG_E_INVAL, "SOURCE_DATE_EPOCH: not a number: '%s'", epoch);
    return 0;
}

int imgi_ova_plan(struct imgi_ova_plan *plan, const img_options *options, const char *path,
                  size_t disks, img_error *err)
{
    int rc = 0;

    *plan = (struct imgi_ova_plan){0};
    if (options)
        rc = imgi_options_check(options, imgi_ova_options, "ova", err);
    if (rc == 0 && !imgi_manifest_hash(option(options, "digest"), &plan->hash))
        rc = imgi_fail(err, IMG_E_INVAL, "digest: invalid parameter value: %s",
                       option(options, "digest"));
    if (rc == 0)
        rc = choose_stem(plan, path, err);
    if (rc == 0)
        rc = choose_name(plan, options, err);
    if (rc == 0)
        rc = choose_hardware(plan, options, err);
    if (rc == 0)
        rc = choose_machine(plan, options, err);
    if (rc == 0)
        rc = choose_devices(plan, options, disks, err);
    return rc == 0 ? choose_time(plan, err) : rc;
}

void imgi_ova_plan_clear(struct imgi_ova_plan *plan)
{
    free(plan->name);
    free(plan->stem);
}

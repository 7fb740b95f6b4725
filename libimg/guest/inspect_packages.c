/*
 * Inspection: installed packages. SPDX-License-Identifier: BSD-2-Clause
 *
 * dpkg, apk and pacman keep them as text, a paragraph a package.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../util/text.h"
#include "inspect.h"
#include "inspect_rpm.h"

#define LIST_MAX (64u << 20) /* bytes of a text that lists all packages */
#define ONE_MAX (1u << 20)   /* bytes of a text about one */
#define PATHS 4

/* ------------------------------------------------------------------- kind */

static const struct {
    const char *format, *management;
    const char *paths[PATHS]; /* one of them is there */
} kinds[] = {
    {"rpm", NULL, {"/usr/lib/sysimage/rpm", "/var/lib/rpm"}},
    {"deb", "apt", {"/var/lib/dpkg/status", "/var/lib/dpkg/status.d"}},
    {"apk", "apk", {"/lib/apk/db/installed", "/usr/lib/apk/db/installed"}},
    {"pacman", "pacman", {"/var/lib/pacman/local"}},
    {"ebuild", "portage", {"/var/db/pkg"}},
    {"xbps", "xbps", {"/var/db/xbps"}},
};

/* Distributions of RPM: who manages packages there, and since which version dnf does. */
static const struct {
    const char *distro, *management;
    unsigned dnf_since; /* 0: never */
} rpm_distros[] = {
    {"fedora", "yum", 22},         {"rhel", "yum", 8},        {"centos", "yum", 8},
    {"rocky", "yum", 8},           {"almalinux", "yum", 8},   {"oraclelinux", "yum", 8},
    {"scientificlinux", "yum", 8}, {"amzn", "yum", 2022},     {"openEuler", "yum", 20},
    {"redhat-based", "yum", 8},    {"opensuse", "zypper", 0}, {"sles", "zypper", 0},
    {"suse-based", "zypper", 0},   {"mageia", "urpmi", 0},
};

/* Its place in rpm_distros, or their number. */
static size_t rpm_distro(const struct imgi_release *release)
{
    size_t n = 0;

    while (n < IMGI_COUNT(rpm_distros) &&
           (!release->distro || strcmp(release->distro, rpm_distros[n].distro) != 0))
        n++;
    return n;
}

static bool is_there(const struct imgi_inspection *in, size_t kind)
{
    for (size_t n = 0; n < PATHS && kinds[kind].paths[n]; n++) {
        if (imgi_inspect_type(in, kinds[kind].paths[n], 0) != 0)
            return true;
    }
    return false;
}

void imgi_packages_kind(const struct imgi_inspection *in, const struct imgi_release *release,
                        const char **format, const char **management)
{
    size_t distro = rpm_distro(release), kinds_count = IMGI_COUNT(kinds);

    *format = *management = NULL;
    /* rpm can be installed on others too, and dpkg on these: rpm's turn is first or last. */
    for (size_t n = 0; n < kinds_count && !*format; n++) {
        size_t kind = distro < IMGI_COUNT(rpm_distros) ? n : (n + 1) % kinds_count;

        if (is_there(in, kind)) {
            *format = kinds[kind].format;
            *management = kinds[kind].management;
        }
    }
    if (!*format || *management || distro == IMGI_COUNT(rpm_distros))
        return;
    *management = rpm_distros[distro].management;
    if (rpm_distros[distro].dnf_since && release->major >= rpm_distros[distro].dnf_since)
        *management = "dnf";
}

/* ------------------------------------------------------------- paragraphs */

/* What a paragraph says of a package; pointers into the text. */
struct paragraph {
    char *name, *version, *arch, *url, *summary, *description;
    char *status; /* dpkg's */
};

struct field {
    const char *key;
    size_t offset; /* of its member */
};

static const struct field dpkg_fields[] = {
    {"Package", offsetof(struct paragraph, name)},
    {"Version", offsetof(struct paragraph, version)},
    {"Architecture", offsetof(struct paragraph, arch)},
    {"Homepage", offsetof(struct paragraph, url)},
    {"Description", offsetof(struct paragraph, summary)},
    {"Status", offsetof(struct paragraph, status)},
    {NULL, 0},
};

static const struct field apk_fields[] = {
    {"P", offsetof(struct paragraph, name)},    {"V", offsetof(struct paragraph, version)},
    {"A", offsetof(struct paragraph, arch)},    {"U", offsetof(struct paragraph, url)},
    {"T", offsetof(struct paragraph, summary)}, {NULL, 0},
};

static const struct field pacman_fields[] = {
    {"%NAME%", offsetof(struct paragraph, name)},
    {"%VERSION%", offsetof(struct paragraph, version)},
    {"%ARCH%", offsetof(struct paragraph, arch)},
    {"%URL%", offsetof(struct paragraph, url)},
    {"%DESC%", offsetof(struct paragraph, summary)},
    {NULL, 0},
};

/* The member for a key, or NULL. */
static char **member_of(struct paragraph *paragraph, const struct field *fields, const char *key)
{
    for (; fields->key; fields++) {
        if (strcmp(fields->key, key) == 0)
            return (char **)((char *)paragraph + fields->offset);
    }
    return NULL;
}

/* Cut the next line off; NULL at the end. */
static char *next_line(char **text)
{
    char *line = *text, *end;

    if (!*line)
        return NULL;
    end = strchr(line, '\n');
    *text = end ? end + 1 : line + strlen(line);
    if (end)
        *end = '\0';
    return line;
}

/* "epoch:version-release", cut apart in place. */
static void split_version(char *text, struct imgi_package *package)
{
    char *colon = strchr(text, ':'), *dash;

    if (colon && colon > text && strspn(text, "0123456789") == (size_t)(colon - text)) {
        *colon = '\0';
        if (strcmp(text, "0") != 0)
            package->epoch = text;
        text = colon + 1;
    }
    dash = strrchr(text, '-');
    if (dash) {
        *dash = '\0';
        package->release = dash + 1;
    }
    package->version = text;
}

static bool is_installed(const char *status)
{
    const char *last = status ? strrchr(status, ' ') : NULL;

    return !status || strcmp(last ? last + 1 : status, "installed") == 0;
}

/* A paragraph has ended: tell of its package, if it is one, and forget it. */
static void tell(struct imgi_packages *packages, struct paragraph *paragraph)
{
    struct imgi_package package = {
        .name = paragraph->name,
        .arch = paragraph->arch,
        .url = paragraph->url,
        .summary = paragraph->summary,
        .description = paragraph->description,
    };

    if (paragraph->name && paragraph->version && is_installed(paragraph->status)) {
        split_version(paragraph->version, &package);
        packages->add(packages, &package);
    }
    *paragraph = (struct paragraph){0};
}

/* ------------------------------------------------------------------- dpkg */

/*
 * The lines of a description are put together again without their first spaces, in place: *end is
 * the 0 byte behind what there is of it.
 */
static void add_to_description(struct paragraph *paragraph, char **end, const char *line)
{
    size_t length = strlen(++line);

    if (paragraph->description)
        *(*end)++ = '\n';
    else
        paragraph->description = *end = (char *)line;
    memmove(*end, line, length + 1);
    *end += length;
}

/* "Key: value", and lines that go on with it begin with a space. */
static void read_dpkg(char *text, struct imgi_packages *packages)
{
    struct paragraph paragraph = {0};
    char *line, *end = NULL, **member = NULL;

    while ((line = next_line(&text))) {
        char *value = strchr(line, ':');

        if (!*line) {
            tell(packages, &paragraph);
            member = NULL;
        } else if (*line == ' ' || *line == '\t') {
            if (member == &paragraph.summary)
                add_to_description(&paragraph, &end, line);
        } else if (value) {
            *value++ = '\0';
            member = member_of(&paragraph, dpkg_fields, line);
            if (member)
                *member = value + strspn(value, " \t");
        }
    }
    tell(packages, &paragraph);
}

/* Images without dpkg have a file a package. */
static bool read_dpkg_files(const struct imgi_inspection *in, struct imgi_packages *packages)
{
    static const char directory[] = "/var/lib/dpkg/status.d";
    img_dir *dir = imgi_inspect_dir(in, directory);
    bool found = dir != NULL;
    img_dirent entry;

    for (size_t n = 0; dir && n < IMGI_PACKAGES_MAX && img_dir_entry(dir, n, &entry); n++) {
        const char *suffix = strrchr(entry.name, '.');
        struct imgi_text path = {0};
        char *text = NULL;

        if (suffix && strcmp(suffix, ".md5sums") == 0)
            continue;
        imgi_text_add(&path, "%s/%s", directory, entry.name);
        if (!path.failed)
            text = imgi_inspect_text(in, path.bytes, ONE_MAX);
        if (text)
            read_dpkg(text, packages);
        free(text);
        free(path.bytes);
    }
    img_dir_close(dir);
    return found;
}

static bool find_dpkg(const struct imgi_inspection *in, struct imgi_packages *packages)
{
    char *text = imgi_inspect_text(in, "/var/lib/dpkg/status", LIST_MAX);
    bool files = read_dpkg_files(in, packages);

    if (text)
        read_dpkg(text, packages);
    free(text);
    return text || files;
}

/* ------------------------------------------------------------ apk, pacman */

/* "K:value" */
static void read_apk(char *text, struct imgi_packages *packages)
{
    struct paragraph paragraph = {0};
    char *line, **member;

    while ((line = next_line(&text))) {
        if (!*line) {
            tell(packages, &paragraph);
        } else if (line[1] == ':') {
            line[1] = '\0';
            member = member_of(&paragraph, apk_fields, line);
            if (member)
                *member = line + 2;
        }
    }
    tell(packages, &paragraph);
}

static bool find_apk(const struct imgi_inspection *in, struct imgi_packages *packages)
{
    char *text = imgi_inspect_text(in, "/lib/apk/db/installed", LIST_MAX);

    if (!text)
        text = imgi_inspect_text(in, "/usr/lib/apk/db/installed", LIST_MAX);
    if (!text)
        return false;
    read_apk(text, packages);
    free(text);
    return true;
}

/* "%KEY%" on a line, the value on the next; the whole text is about one package. */
static void read_pacman(char *text, struct imgi_packages *packages)
{
    struct paragraph paragraph = {0};
    char *line, **member = NULL;

    while ((line = next_line(&text))) {
        if (member)
            *member = line;
        member = member ? NULL : member_of(&paragraph, pacman_fields, line);
    }
    tell(packages, &paragraph);
}

static bool find_pacman(const struct imgi_inspection *in, struct imgi_packages *packages)
{
    static const char directory[] = "/var/lib/pacman/local";
    img_dir *dir = imgi_inspect_dir(in, directory);
    bool found = dir != NULL;
    img_dirent entry;

    for (size_t n = 0; dir && n < IMGI_PACKAGES_MAX && img_dir_entry(dir, n, &entry); n++) {
        struct imgi_text path = {0};
        char *text = NULL;

        imgi_text_add(&path, "%s/%s/desc", directory, entry.name);
        if (!path.failed)
            text = imgi_inspect_text(in, path.bytes, ONE_MAX);
        if (text)
            read_pacman(text, packages);
        free(text);
        free(path.bytes);
    }
    img_dir_close(dir);
    return found;
}

bool imgi_packages_find(const struct imgi_inspection *in, const char *format,
                        struct imgi_packages *packages)
{
    static const struct {
        const char *format;
        bool (*find)(const struct imgi_inspection *in, struct imgi_packages *packages);
    } readers[] = {
        {"deb", find_dpkg}, {"rpm", imgi_rpm_find}, {"apk", find_apk}, {"pacman", find_pacman}};

    for (size_t n = 0; n < IMGI_COUNT(readers); n++) {
        if (strcmp(format, readers[n].format) == 0)
            return readers[n].find(in, packages);
    }
    return false;
}

/*
 * Inspection: the distribution and its release. SPDX-License-Identifier: BSD-2-Clause
 *
 * os-release says it of all that are not old; a file of the distribution's own says it of the
 * others, and of some the minor version, which their os-release leaves out.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../util/text.h"
#include "inspect.h"

#define TEXT_MAX 65536u       /* bytes of such a file */
#define VERSION_MAX 100000000 /* FreeBSD, by its date: fits */

void imgi_release_clear(struct imgi_release *release)
{
    free(release->distro);
    free(release->product_name);
    free(release->variant);
    free(release->build_id);
    *release = (struct imgi_release){0};
}

/* ------------------------------------------------------ assignments (NAME="value") */

/* The word at text as a shell reads it. */
static char *unquote(const char *text)
{
    size_t length = strcspn(text, "\n"), used = 0;
    char *word = malloc(length + 1), quote = '\0';

    for (size_t i = 0; word && i < length; i++) {
        char c = text[i];

        if (quote ? c == quote : c == '"' || c == '\'') {
            quote = quote ? '\0' : c;
            continue;
        }
        if (!quote && (isspace((unsigned char)c) || c == '#'))
            break;
        if (c == '\\' && quote != '\'' && i + 1 < length)
            c = text[++i];
        word[used++] = c;
    }
    if (word)
        word[used] = '\0';
    return word;
}

char *imgi_inspect_value(const char *text, const char *name)
{
    size_t length = strlen(name);

    while (*text) {
        text += strspn(text, " \t");
        if (strncmp(text, name, length) == 0 && text[length] == '=') {
            char *value = unquote(text + length + 1);

            if (value && *value)
                return value;
            free(value);
        }
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return NULL;
}

char *imgi_inspect_first_line(const char *text)
{
    for (;;) {
        size_t length;

        text += strspn(text, " \t\r\n");
        length = strcspn(text, "\r\n");
        if (length == 0)
            return NULL;
        if (*text != '#') {
            while (isspace((unsigned char)text[length - 1]))
                length--;
            return strndup(text, length);
        }
        text += length;
    }
}

/* --------------------------------------------------------------- versions */

/* At most eight digits. */
static bool take_number(const char **text, unsigned *number)
{
    const char *digits = *text;

    for (*number = 0; isdigit((unsigned char)**text); ++*text) {
        *number = *number * 10 + (unsigned)(**text - '0');
        if (*number >= VERSION_MAX)
            return false;
    }
    return *text > digits;
}

/* The first number in the text, and the second if there is a dot between. */
static void find_version(const char *text, struct imgi_release *release)
{
    unsigned major, minor;

    text += strcspn(text, "0123456789");
    release->has_major = take_number(&text, &major);
    release->major = release->has_major ? major : 0;
    release->has_minor = release->has_major && *text == '.' && (text++, take_number(&text, &minor));
    release->minor = release->has_minor ? minor : 0;
}

/* ------------------------------------------------------------- os-release */

/* IDs of os-release that libguestfs has other names for. */
static const char *const renamed[][2] = {
    {"alpine", "alpinelinux"}, {"arch", "archlinux"}, {"kali", "kalilinux"},
    {"ol", "oraclelinux"},     {"pld", "pldlinux"},   {"void", "voidlinux"},
    {"sled", "sles"},          {"sles_sap", "sles"},  {"scientific", "scientificlinux"},
    {"openeuler", "openEuler"}};

static char *distro_of(const char *id)
{
    char *distro;

    if (strncmp(id, "opensuse", 8) == 0)
        return strdup("opensuse");
    distro = strdup(id);
    for (char *c = distro; c && *c; c++)
        *c = (char)tolower((unsigned char)*c);
    for (size_t n = 0; distro && n < IMGI_COUNT(renamed); n++) {
        if (strcmp(distro, renamed[n][0]) == 0) {
            free(distro);
            return strdup(renamed[n][1]);
        }
    }
    return distro;
}

static bool take_os_release(const char *text, struct imgi_release *release)
{
    char *id = imgi_inspect_value(text, "ID");
    char *version = imgi_inspect_value(text, "VERSION_ID");

    if (id)
        release->distro = distro_of(id);
    if (version)
        find_version(version, release);
    release->product_name = imgi_inspect_value(text, "PRETTY_NAME");
    release->variant = imgi_inspect_value(text, "VARIANT_ID");
    release->build_id = imgi_inspect_value(text, "BUILD_ID");
    free(id);
    free(version);
    return release->distro != NULL;
}

/* -------------------------------------------------- files of distributions */

/* The first one that is there and begins so says it. */
static const struct {
    const char *path, *begin, *distro;
} own_files[] = {
    {"/etc/oracle-release", "", "oraclelinux"},
    {"/etc/rocky-release", "", "rocky"},
    {"/etc/almalinux-release", "", "almalinux"},
    {"/etc/centos-release", "", "centos"},
    {"/etc/redhat-release", "Fedora", "fedora"},
    {"/etc/redhat-release", "Red Hat", "rhel"},
    {"/etc/redhat-release", "CentOS", "centos"},
    {"/etc/redhat-release", "Scientific Linux", "scientificlinux"},
    {"/etc/redhat-release", "", "redhat-based"},
    {"/etc/SuSE-release", "openSUSE", "opensuse"},
    {"/etc/SuSE-release", "SUSE Linux Enterprise Server", "sles"},
    {"/etc/SuSE-release", "", "suse-based"},
    {"/etc/debian_version", "", "debian"},
    {"/etc/alpine-release", "", "alpinelinux"},
    {"/etc/arch-release", "", "archlinux"},
    {"/etc/gentoo-release", "", "gentoo"},
    {"/etc/slackware-version", "", "slackware"},
    {"/etc/mageia-release", "", "mageia"},
};

/* SuSE's has "PATCHLEVEL = 3" for a minor version. */
static void take_patch_level(const char *text, struct imgi_release *release)
{
    const char *at = strstr(text, "\nPATCHLEVEL = ");
    unsigned level;

    if (!at || !release->has_major || release->has_minor)
        return;
    at += strlen("\nPATCHLEVEL = ");
    release->has_minor = take_number(&at, &level);
    release->minor = release->has_minor ? level : 0;
}

/* The first such file that is there, for all distributions or for one. */
static bool find_own_file(const struct imgi_inspection *in, const char *distro,
                          struct imgi_release *release)
{
    for (size_t n = 0; !release->distro && n < IMGI_COUNT(own_files); n++) {
        char *text = NULL;

        if (!distro || strcmp(distro, own_files[n].distro) == 0)
            text = imgi_inspect_text(in, own_files[n].path, TEXT_MAX);
        if (text && strncmp(text, own_files[n].begin, strlen(own_files[n].begin)) == 0) {
            release->distro = strdup(own_files[n].distro);
            release->product_name = imgi_inspect_first_line(text);
            find_version(text, release);
            take_patch_level(text, release);
        }
        free(text);
    }
    return release->distro != NULL;
}

static bool find_lsb_release(const struct imgi_inspection *in, struct imgi_release *release)
{
    char *text = imgi_inspect_text(in, "/etc/lsb-release", TEXT_MAX);
    char *id = text ? imgi_inspect_value(text, "DISTRIB_ID") : NULL;
    char *version = id ? imgi_inspect_value(text, "DISTRIB_RELEASE") : NULL;

    if (id) {
        release->distro = distro_of(id);
        release->product_name = imgi_inspect_value(text, "DISTRIB_DESCRIPTION");
        if (version)
            find_version(version, release);
    }
    free(text);
    free(id);
    free(version);
    return release->distro != NULL;
}

/* What os-release leaves out: the release of a major version. */
static void complete(const struct imgi_inspection *in, struct imgi_release *release)
{
    struct imgi_release own = {0};

    if (release->has_minor)
        return;
    if (find_own_file(in, release->distro, &own) && own.has_minor &&
        (!release->has_major || own.major == release->major)) {
        release->major = own.major;
        release->minor = own.minor;
        release->has_major = release->has_minor = true;
    }
    imgi_release_clear(&own);
}

static void find_linux(const struct imgi_inspection *in, struct imgi_release *release)
{
    static const char *const paths[] = {"/etc/os-release", "/usr/lib/os-release"};
    bool found = false;

    for (size_t n = 0; !found && n < IMGI_COUNT(paths); n++) {
        char *text = imgi_inspect_text(in, paths[n], TEXT_MAX);

        found = text && take_os_release(text, release);
        free(text);
    }
    if (found)
        complete(in, release);
    else if (!find_lsb_release(in, release))
        find_own_file(in, NULL, release);
}

/* ---------------------------------------------------------- other systems */

/* FreeBSD: USERLAND_VERSION="13.2-RELEASE-p1" of a shell script. */
static void find_bsd(const struct imgi_inspection *in, struct imgi_release *release)
{
    static const char *const paths[] = {"/bin/freebsd-version", "/etc/release", "/etc/motd"};
    char *text = NULL, *version;

    for (size_t n = 0; !text && n < IMGI_COUNT(paths); n++)
        text = imgi_inspect_text(in, paths[n], TEXT_MAX);
    if (!text)
        return;
    version = imgi_inspect_value(text, "USERLAND_VERSION");
    find_version(version ? version : text, release);
    if (version && asprintf(&release->product_name, "FreeBSD %s", version) < 0)
        release->product_name = NULL;
    if (!version)
        release->product_name = imgi_inspect_first_line(text);
    free(version);
    free(text);
}

void imgi_release_find(const struct imgi_inspection *in, struct imgi_release *release)
{
    const char *name = in->root->name;

    *release = (struct imgi_release){0};
    if (strcmp(name, "linux") == 0 || strcmp(name, "hurd") == 0) {
        find_linux(in, release);
        return;
    }
    release->distro = strdup(name);
    if (strcmp(name, "windows") == 0)
        imgi_windows_release(in, release);
    else
        find_bsd(in, release);
}

/* ----------------------------------------------------------------- osinfo */

/* How osinfo-db numbers the releases of a distribution: "major.minor" is the rule. */
enum numbering { POINT, NO_NUMBER, MAJOR, MONTH, SERVICE_PACK };

static const struct {
    const char *distro;
    unsigned from; /* the first major version that this is so of */
    enum numbering numbering;
} numberings[] = {
    {"archlinux", 0, NO_NUMBER}, {"gentoo", 0, NO_NUMBER}, {"voidlinux", 0, NO_NUMBER},
    {"debian", 4, MAJOR},        {"fedora", 0, MAJOR},     {"mageia", 0, MAJOR},
    {"centos", 8, MAJOR},        {"rocky", 8, MAJOR},      {"almalinux", 8, MAJOR},
    {"ubuntu", 0, MONTH},        {"sles", 0, SERVICE_PACK}};

static enum numbering numbering_of(const struct imgi_release *release)
{
    for (size_t n = 0; n < IMGI_COUNT(numberings); n++) {
        if (strcmp(release->distro, numberings[n].distro) == 0 &&
            release->major >= numberings[n].from)
            return numberings[n].numbering;
    }
    return POINT;
}

char *imgi_release_osinfo(const struct imgi_release *release)
{
    enum numbering numbering = release->distro ? numbering_of(release) : POINT;
    struct imgi_text id = {0};

    /* Windows has a name for each release, and servers have others than their version tells. */
    if (!release->distro || strcmp(release->distro, "windows") == 0 ||
        (!release->has_major && numbering != NO_NUMBER))
        return NULL;
    imgi_text_add(&id, "%s", release->distro);
    if (numbering != NO_NUMBER)
        imgi_text_add(&id, "%u", release->major);
    if (numbering == MONTH)
        imgi_text_add(&id, ".%02u", release->minor);
    else if (numbering == POINT)
        imgi_text_add(&id, ".%u", release->minor);
    else if (numbering == SERVICE_PACK && release->minor > 0)
        imgi_text_add(&id, "sp%u", release->minor);
    return id.bytes;
}

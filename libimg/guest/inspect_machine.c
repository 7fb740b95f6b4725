/*
 * Inspection: what the heads of programs say. SPDX-License-Identifier: BSD-2-Clause
 */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspect.h"

#define ELF_HEAD 20u /* up to and with e_machine */

/* Of PE: where its header is, and its size. Then come the optional header and the sections. */
#define PE_AT 0x3cu
#define PE_AT_MAX 65536u
#define PE_HEAD 24u
#define PE_SECTION 40u
#define PE_SECTIONS_MAX 96u      /* as Windows has it */
#define RESOURCES_MAX (8u << 20) /* bytes */

/* VS_FIXEDFILEINFO: its first two numbers, and as much of it as is looked at. */
static const uint8_t version_mark[] = {0xbd, 0x04, 0xef, 0xfe, 0, 0, 1, 0};
#define VERSION_BYTES 16u

/* Exactly so many bytes, or false. */
static bool read_at(img_file *file, uint64_t offset, uint8_t *bytes, size_t length)
{
    size_t got = length;

    return img_file_read(file, offset, bytes, &got, NULL) == 0 && got == length;
}

/* -------------------------------------------------------------------- ELF */

static const struct {
    uint16_t machine;
    uint8_t width, order; /* 0: either */
    const char *name;
} elf_machines[] = {
    {EM_X86_64, 0, 0, "x86_64"},
    {EM_386, 0, 0, "i386"},
    {EM_AARCH64, 0, 0, "aarch64"},
    {EM_ARM, 0, 0, "arm"},
    {EM_PPC64, 0, ELFDATA2LSB, "ppc64le"},
    {EM_PPC64, 0, ELFDATA2MSB, "ppc64"},
    {EM_PPC, 0, 0, "ppc"},
    {EM_S390, ELFCLASS64, 0, "s390x"},
    {EM_S390, ELFCLASS32, 0, "s390"},
    {EM_RISCV, ELFCLASS64, 0, "riscv64"},
    {EM_RISCV, ELFCLASS32, 0, "riscv32"},
    {EM_SPARCV9, 0, 0, "sparc64"},
    {EM_SPARC, 0, 0, "sparc"},
    {EM_IA_64, 0, 0, "ia64"},
    {EM_MIPS, 0, ELFDATA2LSB, "mipsel"},
    {EM_MIPS, 0, ELFDATA2MSB, "mips"},
    {258, 0, 0, "loongarch64"}, /* EM_LOONGARCH, which older headers do not have */
};

static const char *elf_machine(const struct imgi_inspection *in, const char *path)
{
    img_file *file = imgi_inspect_open(in, path);
    uint8_t head[ELF_HEAD];
    uint16_t machine;
    bool ok;

    ok = file && read_at(file, 0, head, sizeof(head)) && memcmp(head, ELFMAG, SELFMAG) == 0;
    img_file_close(file);
    if (!ok)
        return NULL;
    machine = head[EI_DATA] == ELFDATA2MSB ? imgi_get_be16(head + 18) : imgi_get_le16(head + 18);
    for (size_t n = 0; n < IMGI_COUNT(elf_machines); n++) {
        if (elf_machines[n].machine == machine &&
            (!elf_machines[n].width || elf_machines[n].width == head[EI_CLASS]) &&
            (!elf_machines[n].order || elf_machines[n].order == head[EI_DATA]))
            return elf_machines[n].name;
    }
    return NULL;
}

/* --------------------------------------------------------------------- PE */

static img_file *open_kernel(const struct imgi_inspection *in)
{
    static const char *const paths[] = {"/Windows/System32/ntoskrnl.exe",
                                        "/WINNT/system32/ntoskrnl.exe"};
    img_file *file = NULL;

    for (size_t n = 0; !file && n < IMGI_COUNT(paths); n++) {
        char *path = imgi_inspect_any_case(in, paths[n]);

        if (path)
            file = imgi_inspect_open(in, path);
        free(path);
    }
    return file;
}

static bool read_pe(img_file *file, uint64_t *at, uint8_t head[PE_HEAD])
{
    uint8_t place[4];

    if (!read_at(file, PE_AT, place, sizeof(place)))
        return false;
    *at = imgi_get_le32(place);
    return *at <= PE_AT_MAX && read_at(file, *at, head, PE_HEAD) && memcmp(head, "PE\0", 4) == 0;
}

static const char *pe_machine(const struct imgi_inspection *in)
{
    img_file *file = open_kernel(in);
    uint8_t head[PE_HEAD];
    const char *name = NULL;
    uint64_t at;

    if (file && read_pe(file, &at, head)) {
        uint16_t machine = imgi_get_le16(head + 4);

        name = machine == 0x8664   ? "x86_64"
               : machine == 0x014c ? "i386"
               : machine == 0xaa64 ? "aarch64"
               : machine == 0x0200 ? "ia64"
                                   : NULL;
    }
    img_file_close(file);
    return name;
}

/* The version that stands in the resources, which lie at offset. */
static bool find_version(img_file *file, uint64_t offset, size_t length, uint8_t *version)
{
    uint8_t *bytes = length <= RESOURCES_MAX ? malloc(length) : NULL;
    const uint8_t *found = NULL;

    if (bytes && read_at(file, offset, bytes, length))
        found = memmem(bytes, length, version_mark, sizeof(version_mark));
    if (found && (size_t)(bytes + length - found) >= VERSION_BYTES)
        memcpy(version, found, VERSION_BYTES);
    else
        found = NULL;
    free(bytes);
    return found != NULL;
}

static bool read_version(img_file *file, uint8_t *version)
{
    uint8_t head[PE_HEAD], section[PE_SECTION];
    uint64_t at;

    if (!read_pe(file, &at, head))
        return false;
    at += PE_HEAD + imgi_get_le16(head + 20);
    for (unsigned n = 0; n < IMGI_MIN(imgi_get_le16(head + 6), PE_SECTIONS_MAX); n++) {
        if (!read_at(file, at + n * PE_SECTION, section, sizeof(section)))
            return false;
        if (memcmp(section, ".rsrc\0\0", 8) == 0)
            return find_version(file, imgi_get_le32(section + 20), imgi_get_le32(section + 16),
                                version);
    }
    return false;
}

void imgi_windows_release(const struct imgi_inspection *in, struct imgi_release *release)
{
    img_file *file = open_kernel(in);
    uint8_t version[VERSION_BYTES];

    if (file && read_version(file, version)) {
        release->has_major = release->has_minor = true;
        release->minor = imgi_get_le16(version + 8);
        release->major = imgi_get_le16(version + 10);
        if (asprintf(&release->build_id, "%u", imgi_get_le16(version + 14)) < 0)
            release->build_id = NULL;
    }
    img_file_close(file);
}

const char *imgi_machine_find(const struct imgi_inspection *in)
{
    static const char *const programs[] = {"/bin/bash", "/bin/ls", "/bin/sh",
                                           "/bin/echo", "/bin/rm", "/sbin/init"};
    const char *name = NULL;

    if (strcmp(in->root->name, "windows") == 0)
        return pe_machine(in);
    for (size_t n = 0; !name && n < IMGI_COUNT(programs); n++)
        name = elf_machine(in, programs[n]);
    return name;
}

/*
 * OVF documents: what an appliance consists of. SPDX-License-Identifier: BSD-2-Clause
 *
 * Pure: text in, text out. Elements and attributes are known by their names, whatever their
 * namespace: OVF 0.9, 1 and 2 and what VirtualBox writes differ in nothing else that matters here.
 */
#ifndef IMGI_OVF_H
#define IMGI_OVF_H

#include <stdint.h>

#include "../error.h"
#include "../util/xml.h"

/* Files, disks and machines of one appliance, each. */
#define IMGI_OVF_ITEMS_MAX 4096u

/* A File of the References. All strings belong to the document; NULL: not said. */
struct imgi_ovf_file {
    const char *id, *href, *compression;
    bool has_size, chunked;
    uint64_t size, chunk_size;
};

/* A Disk of the DiskSection. */
struct imgi_ovf_disk {
    const char *id, *format, *parent;
    const struct imgi_ovf_file *file; /* NULL: an empty disk, made at deployment */
    bool has_capacity;
    uint64_t capacity; /* bytes */
};

/* A VirtualSystem. */
struct imgi_ovf_system {
    const char *id, *name, *hardware, *os_id, *os_name;
    uint64_t cpus, memory; /* memory in bytes; 0: not said */
};

struct imgi_ovf {
    struct imgi_xml *xml;
    struct imgi_ovf_file *files;
    struct imgi_ovf_disk *disks;
    struct imgi_ovf_system *systems;
    size_t file_count, disk_count, system_count;
};

/* Whether a file that begins with these bytes may be an OVF document. */
bool imgi_ovf_looks_like(const uint8_t *head, size_t length);

/* On failure there is nothing to free. */
int imgi_ovf_parse(struct imgi_ovf *ovf, const void *text, size_t length, img_error *err);
void imgi_ovf_clear(struct imgi_ovf *ovf);

/* ---- writing (ovf_write.c) ---- */

struct imgi_ovf_new_disk {
    const char *href;
    uint64_t file_size, capacity; /* bytes */
};

/* An appliance of one machine. */
struct imgi_ovf_new {
    const char *name, *hardware; /* "vmx-13" */
    unsigned os_id;              /* CIM_OperatingSystem.OSType */
    const char *os_type;         /* VMware's own word for it, or NULL */
    uint64_t cpus, memory;       /* memory in bytes, whole MiB */
    const char *controller;      /* ResourceSubType of a SCSI controller, or "ide" or "sata" */
    const char *network;         /* a network's name, or NULL: no network card */
    const char *nic;             /* ResourceSubType of the card */
    const struct imgi_ovf_new_disk *disks;
    size_t disk_count;
};

/* How many disks the controllers can have. */
#define IMGI_OVF_DISKS_MAX 60u

/* The document; the caller frees it. NULL: no memory. */
char *imgi_ovf_write(const struct imgi_ovf_new *ovf);

#endif

/*
 * Reading a stream as importers do: once, from front to back. SPDX-License-Identifier: BSD-2-Clause
 *
 * Nothing is read twice and nothing is looked for, so a pipe will do. What a strict reader would
 * stumble over is told to whoever wants to know; who reads for the disk's content stops at it, who
 * checks goes on.
 */
#ifndef VMDK_IMPORTER_H
#define VMDK_IMPORTER_H

#include "vmdk.h"

enum vmdk_fault {
    VMDK_FAULT_DAMAGE, /* something is not what it says it is */
    VMDK_FAULT_ORDER,  /* all is there, but cannot be read in this order */
    VMDK_FAULT_END     /* all is there, but the end is not as it should be */
};

typedef void vmdk_fault_fn(void *opaque, enum vmdk_fault fault, uint64_t at, const char *what);

struct vmdk_importer {
    struct imgi_io *io;
    struct vmdk_header header; /* as it stands in sector 0 */
    vmdk_fault_fn *fault;
    void *opaque;
    uint64_t at;     /* byte of the file where the next marker is */
    uint64_t grains; /* met so far */
    uint64_t next;   /* one more than the highest grain's number */
    uint64_t stored; /* where the last grain's bytes end */
    uint64_t named;  /* grains that tables in front of them name; UINT64_MAX: there are none */
    bool begun, footer, ended;

    /* The canonical form: tables come behind their grains, the directory behind all. */
    uint8_t table[VMDK_TABLE_BYTES]; /* what the next table has to be */
    uint64_t index;                  /* of that table */
    bool used;                       /* there are grains in it */
    uint8_t *gd;                     /* what the directory has to be */
    uint64_t directory;              /* the sector where it was; 0: not yet */
};

/* A stream with that header, which has been checked. To be ended also after a failure. */
int vmdk_importer_begin(struct vmdk_importer *importer, struct imgi_io *io,
                        const struct vmdk_header *header, img_error *err);
void vmdk_importer_end(struct vmdk_importer *importer);
/* Whether its tables lie behind its grains, and a footer says where: what VMware writes. */
static inline bool vmdk_importer_is_canonical(const struct vmdk_importer *importer)
{
    return importer->header.gd_offset == VMDK_GD_AT_END;
}
/*
 * Go on to the next grain; *more is false when the stream has ended, and then the rest of the file
 * has been looked at too. Fails only when the file cannot be read.
 */
int vmdk_importer_next(struct vmdk_importer *importer, struct vmdk_grain *grain, bool *more,
                       img_error *err);

#endif

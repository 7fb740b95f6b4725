/*
 * Images made by somebody who means harm, one a case. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "malformed.h"

enum hostile_want {
    WANT_FINE,       /* everything works */
    WANT_REFUSED,    /* cannot be opened; `code` says why, unless it is 0 */
    WANT_READ_ERROR, /* opens, but some read fails with `code`, unless it is 0 */
    WANT_ERROR,      /* either of these two */
    WANT_FAULTS,     /* the check finds something, or the image cannot even be opened */
    WANT_BOUNDED     /* any outcome, in bounded time and memory */
};

struct hostile {
    const char *name;
    void (*make)(void);   /* puts the image into the workshop as "image", and what goes with it */
    const char *format;   /* as opened; NULL: probe */
    enum img_reach reach; /* of the policy */
    bool strict_probe;    /* the policy forbids probing */
    enum hostile_want want;
    int code;
};

/* The tables, ended by a case without name. */
extern const struct hostile hostile_qcow2[];
extern const struct hostile hostile_read_only[];
extern const struct hostile hostile_vdi_vhd[];
extern const struct hostile hostile_vmdk[];

/* Used by all. */
void make_fifo(const char *name);
void make_link(const char *name, const char *target);
/* A path to a file outside the workshop, absolute; free it. */
char *outside_path(void);

#endif

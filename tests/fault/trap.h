/*
 * Makes the nth I/O of this process fail, whatever file it is for.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The linker puts trap.c between libimg and its I/O calls (--wrap), so that it sees the calls for
 * every file that an operation opens, makes or closes. For tests of one thread or of many.
 */
#ifndef TRAP_H
#define TRAP_H

#include <stdbool.h>
#include <stdint.h>

struct trap {
    unsigned kinds; /* enum imgi_fault_kind */
    int os_errno;
    bool sticky;  /* every such call behind it fails too */
    bool half;    /* a write that fails has written its first half */
    int expected; /* the code that the operation answers */
    const char *name;
};

/* The nth call from now on fails (0: the first). */
void trap_set(const struct trap *trap, uint64_t nth);
/* None does any more. Returns whether one did. */
bool trap_end(void);

#endif

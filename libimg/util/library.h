/*
 * Libraries that are loaded when they are first needed. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef IMGI_LIBRARY_H
#define IMGI_LIBRARY_H

#include "../error.h"

/* A function, or data, of a library, and where in a struct of the caller's its address goes. */
struct imgi_symbol {
    const char *name;
    size_t offset;
    bool optional; /* NULL where the library does not have it */
};

/*
 * Fill *to with the addresses of the symbols. The library stays loaded until the process ends:
 * those that are used here keep something for threads, or for the exit, that needs their code.
 * missing: the whole message for when it cannot be loaded.
 */
int imgi_library_load(void *to, const char *soname, const struct imgi_symbol *symbols, size_t count,
                      const char *missing, img_error *err);

#endif

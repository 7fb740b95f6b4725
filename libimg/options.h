/*
 * Options as drivers declare and read them. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef IMGI_OPTIONS_H
#define IMGI_OPTIONS_H

#include "error.h"

enum imgi_opt_type { IMGI_OPT_STRING, IMGI_OPT_BOOL, IMGI_OPT_NUMBER, IMGI_OPT_SIZE };

/* One option. A table of them ends with name NULL. */
struct imgi_opt {
    const char *name;
    enum imgi_opt_type type;
    const char *value; /* the default, or NULL */
    const char *help;
    bool implicit; /* the default is not shown when a creation is reported */
};

/* Every name is in the table and every value is of its type, or an error that says which. */
int imgi_options_check(const img_options *options, const struct imgi_opt *table, const char *format,
                       img_error *err);
/* The same for options of opening, in qemu-img's words for those. */
int imgi_options_check_open(const img_options *options, const struct imgi_opt *table,
                            const char *format, img_error *err);

/* The value, or else the table's default, or else NULL. options may be NULL in all of these. */
const char *imgi_options_string(const img_options *options, const struct imgi_opt *table,
                                const char *name);
/* Values that imgi_options_check let pass always convert. Unset without default: false, 0. */
bool imgi_options_bool(const img_options *options, const struct imgi_opt *table, const char *name);
uint64_t imgi_options_number(const img_options *options, const struct imgi_opt *table,
                             const char *name);

#endif

/*
 * Inspection: databases of rpm. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef IMGI_INSPECT_RPM_H
#define IMGI_INSPECT_RPM_H

#include "inspect.h"

#define IMGI_PACKAGES_MAX 200000u              /* of one system */
#define IMGI_RPM_HEADER_MAX (64u << 20)        /* bytes about one package */
#define IMGI_RPM_BYTES_MAX (UINT64_C(1) << 30) /* about all of them */

/* ---- inspect_rpm.c ---- */

/* As imgi_packages_find. */
bool imgi_rpm_find(const struct imgi_inspection *in, struct imgi_packages *packages);

/* Who hears of each header, and how much of it is still wanted. */
struct imgi_rpm_headers {
    struct imgi_packages *packages;
    size_t packages_left;
    uint64_t bytes_left;
};
/* Tell of the package that a header is about. IMG_E_LIMIT when there were too many. */
int imgi_rpm_header(struct imgi_rpm_headers *headers, const uint8_t *bytes, size_t length,
                    img_error *err);

/* ---- inspect_sqlite.c ---- */

/* Read the headers in a database of SQLite; wal is its write-ahead log, or NULL. */
int imgi_rpm_sqlite(img_file *database, img_file *wal, struct imgi_rpm_headers *headers,
                    img_error *err);

#endif

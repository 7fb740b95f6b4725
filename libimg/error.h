/*
 * Filling an img_error. SPDX-License-Identifier: BSD-2-Clause
 *
 * The text is set once, where the failure is seen, with its numbers. Layers
 * above may add the image and the place, never replace the text. The first
 * error wins: none of these overwrites a filled error except imgi_fail itself.
 */
#ifndef IMGI_ERROR_H
#define IMGI_ERROR_H

#include "libimg.h"

/* Fill *err (which may be NULL) and return code, so that callers can "return imgi_fail(...)". */
int imgi_fail(img_error *err, int code, const char *format, ...) IMG_PRINTF(3, 4);

/*
 * As imgi_fail, for a failed system call: the code follows from os_errno
 * (ENOENT: IMG_E_NOENT, ENOSPC/EDQUOT/EFBIG: IMG_E_NOSPACE, ENOMEM, ...; otherwise IMG_E_IO)
 * and ": No such file or directory" or the like is put behind the text.
 */
int imgi_fail_errno(img_error *err, int os_errno, const char *format, ...) IMG_PRINTF(3, 4);

/* "out of memory", with what for. Returns IMG_E_NOMEM. */
int imgi_fail_nomem(img_error *err, const char *what);

/* Put text and ": " before the message. */
void imgi_error_prefix(img_error *err, const char *format, ...) IMG_PRINTF(2, 3);

/* Say which image, and where in it, unless that has been said already. */
void imgi_error_image(img_error *err, const char *image);
void imgi_error_place(img_error *err, const char *format, ...) IMG_PRINTF(2, 3);

#endif

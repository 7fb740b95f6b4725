/*
 * UUIDs as text. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef IMGI_UUID_H
#define IMGI_UUID_H

#include <stdint.h>

/* Room for a UUID as text and its NUL. */
#define IMGI_UUID_TEXT 37

/* As RFC 4122 writes it: "b183f5cd-54e0-47ff-bf23-7afb55c094e5". */
void imgi_uuid_text(const uint8_t uuid[16], char text[IMGI_UUID_TEXT]);

#endif

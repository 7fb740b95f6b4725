/*
 * UUIDs as text. SPDX-License-Identifier: BSD-2-Clause
 */
#include "uuid.h"

#include <stdio.h>

void imgi_uuid_text(const uint8_t uuid[16], char text[IMGI_UUID_TEXT])
{
    size_t used = 0;

    for (size_t i = 0; i < 16; i++) {
        const char *dash = i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "";

        used += (size_t)snprintf(text + used, IMGI_UUID_TEXT - used, "%s%02x", dash, uuid[i]);
    }
}

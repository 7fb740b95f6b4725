/*
 * "--object": what the user defines beside the images. SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>

#include "cmd.h"

bool object_take(struct cli *cli, const char *text)
{
    size_t length = strcspn(text, ",");

    return cli_fail_code(cli, IMG_E_UNSUPPORTED, "--object: '%.*s' is not supported yet",
                         (int)length, text);
}

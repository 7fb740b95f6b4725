/* The public header, alone, in strict C11. SPDX-License-Identifier: BSD-2-Clause */
#include "libimg.h"

int use_header(void);

int use_header(void)
{
    img_open_params params = {0};
    return img_open(NULL, "", &params, NULL);
}

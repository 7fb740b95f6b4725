/* The public header, alone, in C++. SPDX-License-Identifier: BSD-2-Clause */
#include "libimg.h"

int use_header()
{
    img_open_params params = {};
    return img_open(nullptr, "", &params, nullptr);
}

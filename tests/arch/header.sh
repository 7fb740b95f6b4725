#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The public header compiles by itself, as strict C11 and as C++.

. "$(dirname "$0")/../lib.sh"
: "${CC:=cc}" "${CXX:=c++}"
need "${CC%% *}" "${CXX%% *}"
strict=(-Wall -Wextra -Werror -pedantic-errors "-I$srcdir/libimg" -c)

$CC -std=c11 "${strict[@]}" -o c.o "$srcdir/tests/arch/header_c.c" || fail "not C11"
$CXX -std=c++11 "${strict[@]}" -o cxx.o "$srcdir/tests/arch/header_cxx.cc" || fail "not C++11"

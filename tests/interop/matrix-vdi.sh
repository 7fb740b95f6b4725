#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Interop matrix: VDI, dynamic and static.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/matrix.bash"

backing=
row vdi "" "" 1048576
row vdi static=on "" 1048576
row vdi static=on,preallocation=falloc "" 1048576
matrix_end

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Interop matrix: VHDX, dynamic and fixed, with blocks of several sizes.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/matrix.bash"

backing=
row vhdx "" "" 8388608
row vhdx block_size=1M "" 1048576
row vhdx subformat=fixed,block_size=2M "" 2097152
row vhdx block_state_zero=off,block_size=1M,log_size=3M "" 1048576 written_by_us
matrix_end

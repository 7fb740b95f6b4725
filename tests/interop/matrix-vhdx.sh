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

note "an image that was cut off"
make_content odd 8000000
"$QEMU_IMG" convert -S 0 -O vhdx -o block_size=1M odd.raw whole.vhdx
head -c -1500000 whole.vhdx >cut.vhdx
"$IMG" info cut.vhdx >out.txt
expect_fail 1 "past the end of the file" "$IMG" convert -O raw cut.vhdx out.raw
expect_fail 2 "past the end of the file" "$IMG" check cut.vhdx
expect_fail 1 "past the end of the file" "$IMG" io -c 'write 0 512' cut.vhdx
head -c 2M whole.vhdx >cut.vhdx
expect_fail 1 "past the end of the file" "$IMG" convert -O raw cut.vhdx out.raw
[ ! -e out.raw ] || fail "there is a target"
matrix_end

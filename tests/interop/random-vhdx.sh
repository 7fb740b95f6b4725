#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Random writes to VHDX images, by us and by qemu-io in turn, checked by both after each round.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/random.bash"

size=$((8 << 20))
for options in "block_size=1M" "subformat=fixed,block_size=2M"; do
    random_rounds vhdx "$options" "$QEMU_IMG" "$IMG"
    random_rounds vhdx "$options" "$IMG" "$QEMU_IMG"
done

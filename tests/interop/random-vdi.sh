#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Random writes to VDI images, by us and by qemu-io in turn, checked by both after each round.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/random.bash"

size=$((8 << 20))
for options in "" static=on; do
    random_rounds vdi "$options" "$QEMU_IMG" "$IMG"
    random_rounds vdi "$options" "$IMG" "$QEMU_IMG"
done

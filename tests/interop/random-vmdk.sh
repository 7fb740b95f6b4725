#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Random writes to VMDK and raw images, by us and by qemu-io in turn, checked by both after each round.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/random.bash"

size=$((8 << 20))
# qemu-io loses the space of grains that it zeroes where tables can say so.
for options in "" subformat=monolithicFlat zeroed_grain=on; do
    tolerated=0
    [ "$options" != zeroed_grain=on ] || tolerated=3
    random_rounds vmdk "$options" "$QEMU_IMG" "$IMG"
    random_rounds vmdk "$options" "$IMG" "$QEMU_IMG"
done
random_rounds raw "" "$IMG" "$QEMU_IMG"

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Random writes to VMDK and raw images, by us and by qemu-io in turn, checked by both after each
# round; and with them resizing, commit and rebase.
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
tolerated=0
for options in "" subformat=monolithicFlat subformat=twoGbMaxExtentSparse; do
    random_resizes vmdk "$options"
done
random_chain vmdk grain_size=4k subformat=monolithicSparse
random_chain vmdk zeroed_grain=on subformat=monolithicFlat
random_chain vmdk subformat=vmfsSparse subformat=vmfs
random_rounds raw "" "$IMG" "$QEMU_IMG"

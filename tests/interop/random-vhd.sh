#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Random writes to VHD images, by us and by qemu-io in turn, checked by both after each round.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/random.bash"

size=$((8 << 20))
for options in force_size=on subformat=fixed,force_size=on; do
    random_rounds vpc "$options" "$QEMU_IMG" "$IMG"
    random_rounds vpc "$options" "$IMG" "$QEMU_IMG"
done

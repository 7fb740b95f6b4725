#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Every compressed cluster that we write can be read by plain zlib with a window of 4 KiB,
# whatever the level and whichever of the deflate libraries made it.
. "$(dirname "$0")/../lib.sh"

need "$QEMU_IMG"
window=$builddir/tests/tools/deflate-window
[ -x "$window" ] || skip "tests/tools/deflate-window is not built"

# Text that repeats itself at all distances up to 32 KiB, so that an encoder is tempted.
for n in 1 2 3 4 5 6 7 8; do
    seq $n 7 9000
    seq 1 $((n * 900))
    seq $n 7 9000
done >text
for _ in {1..8}; do cat text; done | head -c $((4 << 20)) >disk.raw

"$QEMU_IMG" convert -c -f raw -O qcow2 disk.raw theirs.qcow2
[ "$("$window" theirs.qcow2)" -gt 0 ] || fail "the tool finds no cluster in qemu-img's image"

for cluster in 4096 65536 2097152; do
    for level in "" 1 2 3 4 5 6 7 8 9; do
        note "cluster_size=$cluster level ${level:-default}"
        "$IMG" convert -c -f raw -O qcow2 -o cluster_size=$cluster${level:+,compression_level=$level} \
            disk.raw ours.qcow2
        count=$("$window" ours.qcow2) || fail "a cluster needs a larger window"
        [ "$count" -gt 0 ] || fail "nothing is compressed"
    done
done

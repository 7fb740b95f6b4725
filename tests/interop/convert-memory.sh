#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The worst case for memory stays below 64 MiB: sixteen threads that compress clusters of 2 MiB at
# the best level. (README.md promises it of every conversion.)
. "$(dirname "$0")/../lib.sh"

timer=$builddir/tests/tools/timer
[ -x "$timer" ] || skip "tests/tools/timer is not built"
limit=$((64 * 1024)) # KiB
if grep -qE '__(asan|tsan)_init' "$IMG"; then
    note "a sanitizer's own memory is no part of the promise: not measured"
    limit=$((16 * 1024 * 1024))
fi

# Two clusters for each thread.
seq 1 20000000 | head -c 64M >source.raw
for options in compression_type=zstd compression_type=zlib; do
    "$timer" figures "$IMG" convert -c -m 16 -f raw -O qcow2 \
        -o "$options,compression_level=9,cluster_size=2M" source.raw target.qcow2
    read -r _ peak _ <figures
    note "$options: $peak KiB"
    [ "$peak" -lt $limit ] || fail "$options: $peak KiB at the peak, $limit is the limit"
    [ "$peak" -gt 1024 ] || fail "$options: $peak KiB cannot be"
    rm figures
done
"$IMG" compare -f raw -F qcow2 source.raw target.qcow2

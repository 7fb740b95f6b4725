#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The same bytes come out whatever the number of threads is, and every time.
. "$(dirname "$0")/../lib.sh"

size=$((24 << 20))
truncate -s $size disk.raw
seq 1 2000000 | head -c $((size / 4)) | dd of=disk.raw conv=notrunc status=none
seq 1 4000000 | gzip -1nc | head -c $((size / 4)) |
    dd of=disk.raw conv=notrunc bs=1M seek=$((size / 2 >> 20)) status=none
"$IMG" convert -c -f raw -O qcow2 -o cluster_size=4k disk.raw packed.qcow2

# same_bytes SOURCE FORMAT ARGUMENT...: convert SOURCE with different -m, twice each.
same_bytes() {
    local source=$1 format=$2 threads file
    shift 2
    note "$source -> $format $*"
    for threads in 1 2 8 16; do
        for _ in first second; do
            "$IMG" convert -m $threads -O "$format" "$@" "$source" out
            for file in out*; do
                [ -e "first-$file" ] || cp "$file" "first-$file"
                cmp "$file" "first-$file" || fail "-m $threads gives other bytes in $file"
            done
        done
    done
    rm -f out* first-*
}

for source in disk.raw packed.qcow2; do
    same_bytes $source raw
    same_bytes $source qcow2
    same_bytes $source qcow2 -o compat=0.10,cluster_size=4k
    same_bytes $source qcow2 -c
    same_bytes $source qcow2 -c -o cluster_size=4k
    same_bytes $source qcow2 -c -o compression_type=zstd
    same_bytes $source vdi
    same_bytes $source vdi -o static=on
    same_bytes $source vpc
    same_bytes $source vpc -o subformat=fixed
    same_bytes $source vhdx
    same_bytes $source vhdx -o subformat=fixed,block_size=1M
    same_bytes $source vmdk
    same_bytes $source vmdk -o subformat=monolithicFlat
    same_bytes $source vmdk -o subformat=streamOptimized
done

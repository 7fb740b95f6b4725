#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What we write is read by programs that share no code with QEMU: 7-Zip and libvmdk.
. "$(dirname "$0")/../lib.sh"

need 7z vmdkinfo

size=$((40 << 20 | 1536))
truncate -s $size disk.raw
seq 1 900000 | dd of=disk.raw conv=notrunc bs=1M seek=1 status=none
seq 1 2000000 | gzip -1nc | dd of=disk.raw conv=notrunc bs=1M seek=30 status=none
truncate -s $size disk.raw

for subformat in monolithicSparse streamOptimized; do
    for source in disk.raw empty.raw; do
        [ $source = disk.raw ] || truncate -s $size empty.raw
        note "$subformat of $source"
        "$IMG" convert -f raw -O vmdk -o subformat=$subformat $source disk.vmdk
        7z e -so disk.vmdk 2>7z.err | cmp - $source || fail "7z reads other bytes"
        vmdkinfo disk.vmdk >info.out || fail "vmdkinfo: status $?"
        grep -q "($size bytes)" info.out || fail "vmdkinfo: another size: $(cat info.out)"
    done
done

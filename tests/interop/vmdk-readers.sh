#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What we write is read by programs that share no code with QEMU: 7-Zip and libvmdk.
. "$(dirname "$0")/../lib.sh"

need 7z vmdkinfo vmdkmount

size=$((40 << 20 | 1536))
truncate -s $size disk.raw
seq 1 900000 | dd of=disk.raw conv=notrunc bs=1M seek=1 status=none
seq 1 2000000 | gzip -1nc | dd of=disk.raw conv=notrunc bs=1M seek=30 status=none
truncate -s $size disk.raw empty.raw

# What is at the end lies in the second of two parts.
parts=$((2 << 30 | 1 << 20))
truncate -s $parts parts.raw
seq 1 90000 | dd of=parts.raw conv=notrunc bs=1M seek=2046 status=none
seq 1 90000 | dd of=parts.raw conv=notrunc bs=1M seek=2048 status=none
truncate -s $parts parts.raw

mounted=
unmount() {
    [ -z "$mounted" ] || umount mnt || fusermount -u mnt || true
    mounted=
}
trap 'unmount; rm -rf "$test_dir"' EXIT
mkdir mnt

# reads SOURCE [FROM]: disk.vmdk holds that; libvmdk, which is slow, reads it from there on.
reads() {
    7z e -so disk.vmdk 2>7z.err | cmp - "$1" || fail "7z reads other bytes"
    vmdkinfo disk.vmdk >info.out || fail "vmdkinfo: status $?"
    grep -q "($(stat -c %s "$1") bytes)" info.out || fail "vmdkinfo: another size: $(cat info.out)"
    [ -w /dev/fuse ] || return 0
    vmdkmount disk.vmdk mnt >mount.out 2>&1 &
    mounted=yes
    for _ in {1..100}; do
        [ ! -e mnt/vmdk1 ] || break
        sleep 0.05
    done
    if [ -e mnt/vmdk1 ]; then
        cmp -i "${2:-0}" mnt/vmdk1 "$1" || fail "libvmdk reads other bytes"
    else
        note "vmdkmount cannot mount here"
    fi
    unmount
    wait || true
}

for subformat in monolithicSparse streamOptimized; do
    for source in disk.raw empty.raw; do
        note "$subformat of $source"
        "$IMG" convert -f raw -O vmdk -o subformat=$subformat $source disk.vmdk
        reads $source
    done
done
for subformat in twoGbMaxExtentSparse twoGbMaxExtentFlat; do
    note "$subformat"
    "$IMG" convert -f raw -O vmdk -o subformat=$subformat parts.raw disk.vmdk
    reads parts.raw $((parts - (8 << 20)))
    rm disk*.vmdk
done

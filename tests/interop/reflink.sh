#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# On a filesystem that can share blocks, an uncompressed conversion between plain files shares them
# instead of copying. On a loop-mounted XFS; needs root.
. "$(dirname "$0")/../lib.sh"

PATH=$PATH:/usr/sbin:/sbin
need mkfs.xfs mount
[ "$(id -u)" = 0 ] || skip "mounting needs root"
truncate -s 512M volume
mkfs.xfs -q volume
mkdir mnt
mount -o loop volume mnt 2>/dev/null || skip "no loop mount here"
trap 'cd /; umount "$test_dir/mnt"; rm -rf "$test_dir"' EXIT
cd mnt || fail "no volume"

# used: KiB in use, when all has been written out.
used() {
    sync -f .
    df --output=used -k . | tail -1
}

seq 1 20000000 | gzip -1nc | head -c $((48 << 20)) >disk.raw
truncate -s 64M disk.raw
cp --reflink=always disk.raw probe || skip "this XFS cannot share blocks"
rm probe

# shares SOURCE ARGUMENT... TARGET: the conversion takes next to no space.
shares() {
    local source=$1 before after target=${!#}
    note "$*"
    before=$(used)
    "$IMG" convert "${@:2:$#-2}" "$source" "$target"
    after=$(used)
    [ $((after - before)) -lt 8192 ] || fail "takes $((after - before)) KiB: the blocks are copied"
    "$IMG" compare disk.raw "$target" || fail "the content is not the same"
}

shares disk.raw -f raw -O raw copy.raw
shares disk.raw -f raw -O qcow2 a.qcow2
shares a.qcow2 -f qcow2 -O raw back.raw
shares a.qcow2 -f qcow2 -O qcow2 b.qcow2
shares disk.raw -f raw -O vmdk -o subformat=monolithicFlat flat.vmdk
shares disk.raw -f raw -O vmdk sparse.vmdk
same disk.raw back.raw

note "a write to the copy leaves the source alone"
sum=$(sha256sum <disk.raw)
dd if=/dev/zero of=back.raw bs=1M count=1 conv=notrunc status=none
[ "$(sha256sum <disk.raw)" = "$sum" ] || fail "the source has changed"

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A real Debian guest, through every format and back: the disk and its root
# filesystem come out as they went in.
. "$(dirname "$0")/../lib.sh"

guest_image
need "$QEMU_IMG" e2fsck
PATH=$PATH:/usr/sbin:/sbin

sum() {
    if command -v openssl >/dev/null; then
        openssl dgst -r -sha256 "$1" | cut -d' ' -f1
    else
        sha256sum <"$1" | cut -d' ' -f1
    fi
}

# step FORMAT FILE ARGUMENT...: convert the last image on to FILE.
from=$guest_image from_format=raw
step() {
    local format=$1 to=$2
    shift 2
    note "$from_format -> $format $*"
    "$IMG" convert -f $from_format -O "$format" "$@" "$from" "$to"
    "$QEMU_IMG" compare -U -f raw -F "$format" "$guest_image" "$to" >compare.out || {
        cat compare.out
        fail "$to does not hold the guest"
    }
    status=0
    "$QEMU_IMG" check -q -f "$format" "$to" || status=$?
    [ $status = 0 ] || [ $status = 63 ] || fail "qemu-img check of $to: status $status"
    [ "$from" = "$guest_image" ] || rm -f "$from" "${from%.*}"-{flat,delta,[sf][0-9]*}.vmdk
    from=$to from_format=$format
}

step vmdk sparse.vmdk
step qcow2 plain.qcow2
step vmdk stream.vmdk -o subformat=streamOptimized
step qcow2 zlib.qcow2 -c
step qcow2 zstd.qcow2 -c -o compression_type=zstd,cluster_size=2M
step vmdk flat.vmdk -o subformat=monolithicFlat
step vmdk parts.vmdk -o subformat=twoGbMaxExtentSparse
step vmdk flatparts.vmdk -o subformat=twoGbMaxExtentFlat
step vmdk esx.vmdk -o subformat=vmfs
step vmdk redo.vmdk -o subformat=vmfsSparse
step vdi dynamic.vdi
step vdi static.vdi -o static=on
step vpc dynamic.vhd -o force_size=on
step vpc fixed.vhd -o subformat=fixed,force_size=on
step vhdx dynamic.vhdx
step vhdx fixed.vhdx -o subformat=fixed,block_size=1M
step qcow2 old.qcow2 -o compat=0.10,cluster_size=4k
note "$from_format -> ova"
"$IMG" convert -f qcow2 -O ova "$from" appliance.ova
rm "$from"
from=appliance.ova from_format=ova
step raw back.raw

note "sums of the disks"
[ "$(sum "$guest_image")" = "$(sum back.raw)" ] || fail "the disk is not the same"
note "the root filesystem"
e2fsck -fn "back.raw?offset=$((65 << 20))" >e2fsck.out 2>&1 || {
    cat e2fsck.out
    fail "the filesystem is not clean"
}

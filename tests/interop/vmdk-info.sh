#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# info says what qemu-img says, and create understands the same options.
. "$(dirname "$0")/../lib.sh"

need "$QEMU_IMG"
mkdir sub

# same_info IMAGE: with the same text and the same JSON.
same_info() {
    for output in human json; do
        "$IMG" info --output=$output "$1" >ours
        "$QEMU_IMG" info --output=$output "$1" >theirs
        cmp ours theirs || fail "info --output=$output $1"
    done
}

for subformat in monolithicSparse monolithicFlat twoGbMaxExtentSparse twoGbMaxExtentFlat \
    streamOptimized; do
    for creator in "$IMG" "$QEMU_IMG"; do
        note "$subformat made by $creator"
        "$creator" create -q -f vmdk -o subformat=$subformat sub/disk.vmdk 5G
        same_info sub/disk.vmdk
        (cd sub && same_info disk.vmdk)
        rm -f sub/*
    done
done

# same_descriptor OPTIONS: apart from its identifiers.
same_descriptor() {
    "$IMG" create -q -f vmdk -o "$1" disk.vmdk 300M
    strings disk.vmdk | grep -v -e ^CID= -e longContentID -e uuid >ours
    "$QEMU_IMG" create -q -f vmdk -o "$1" disk.vmdk 300M
    strings disk.vmdk | grep -v ^CID= >theirs
    cmp ours theirs || fail "descriptors differ: $1"
}

for options in subformat=monolithicFlat compat6=on hwversion=9,toolsversion=77 zeroed_grain=on \
    adapter_type=ide adapter_type=lsilogic adapter_type=buslogic adapter_type=legacyESX; do
    same_descriptor $options
done

# same_refusal OPTIONS: with the same message behind the program's and the file's name.
same_refusal() {
    expect_fail 1 "" "$QEMU_IMG" create -f vmdk -o "$1" bad.vmdk 1M
    expect_fail 1 "$(sed 's/.*bad.vmdk: //' expect_fail.err)" "$IMG" create -f vmdk -o "$1" bad.vmdk 1M
    [ ! -e bad.vmdk ] || rm bad.vmdk
}

for options in hwversion=9,compat6=on adapter_type=pvscsi subformat=other \
    subformat=monolithicFlat,zeroed_grain=on; do
    same_refusal $options
done

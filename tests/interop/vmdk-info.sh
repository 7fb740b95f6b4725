#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# info says what qemu-img says, and behind that what else descriptor and headers hold; create understands the same options.
. "$(dirname "$0")/../lib.sh"

need "$QEMU_IMG"
mkdir sub

# What ours says besides, on purpose: qemu-img leaves out most of what an image knows of itself.
extent_facts='access|extent[- ]type|sectors|file[- ]sector|header|version|flags|capacity|grain[- ]size'
extent_facts+='|redundant[- ]tables|zeroed[- ]grains|clean[- ]shutdown'
disk_facts='descriptor[- ]version|encoding|adapter[- ]type|hw[- ]version|tools[- ]version|uuid'
disk_facts+='|parent[- ]hint|long[- ]content[- ]id|geometry|cylinders|heads|sectors|other[- ]keys|key|value'

# same_info [OPTION] IMAGE: with the same text and the same JSON, but for more facts behind qemu-img's.
same_info() {
    for output in human json; do
        "$IMG" info --output=$output "$@" >full
        sed -E -e "/^ *\"?($extent_facts|$disk_facts)\"?:/d" -e 's/,$//' full >ours
        "$QEMU_IMG" info --output=$output "$@" | sed 's/,$//' >theirs
        # The brackets of what was taken out.
        sed '/^ *[]{}[]*$/d' ours >ours.lines
        sed '/^ *[]{}[]*$/d' theirs >theirs.lines
        cmp ours.lines theirs.lines || fail "info --output=$output $*"
    done
}

# fact LINE...: that info says of disk.vmdk.
fact() {
    local line
    "$IMG" info disk.vmdk >info.out
    for line; do
        grep -qxF -- "$line" info.out || fail "info does not say '$line': $(cat info.out)"
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

note "a chain of deltas"
"$QEMU_IMG" create -q -f vmdk base.vmdk 5G
"$IMG" create -q -f vmdk -b base.vmdk -F vmdk middle.vmdk
"$QEMU_IMG" create -q -f vmdk -b middle.vmdk -F vmdk top.vmdk
same_info --backing-chain top.vmdk
same_info --backing-chain middle.vmdk
rm ./*.vmdk

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

note "every fact of a descriptor"
"$IMG" create -q -f vmdk -o subformat=monolithicFlat,hwversion=14,toolsversion=77 disk.vmdk 1M
{
    echo 'encoding="windows-1252"'
    echo 'ddb.comment = "made by hand"'
    printf 'ddb.\033[1m = "an escape"\n'
} >>disk.vmdk
fact "            access: RW" "            extent type: FLAT" "            sectors: 2048" \
    "            file sector: 0" "    descriptor version: 1" "    encoding: windows-1252" \
    "    adapter type: ide" "    hw version: 14" "    tools version: 77" "        cylinders: 2" \
    "        heads: 16" "        sectors: 63" "            key: ddb.comment" \
    "            value: made by hand" "            key: ddb.?[1m"
"$IMG" info --output=json disk.vmdk | grep -qF '"hw-version": "14"' || fail "no hw-version in JSON"
"$IMG" create -q -f vmdk -o zeroed_grain=on disk.vmdk 1M
poke disk.vmdk 72 01
fact "                version: 2" "                flags: 7" "                grain size: 128" \
    "                redundant tables: true" "                zeroed grains: true" \
    "                clean shutdown: false"
mv disk.vmdk base.vmdk
"$IMG" create -q -f vmdk -b base.vmdk -F vmdk disk.vmdk
fact "    parent hint: base.vmdk"

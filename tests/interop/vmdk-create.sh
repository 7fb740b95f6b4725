#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The create options of VMDK, next to qemu-img's: the same descriptors and headers, but for what
# only one of both writes; and ours, which qemu-img reads.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"

# is_sparse FILE: it is a sparse extent, not a descriptor or a flat one.
is_sparse() {
    [ "$(peek "$1" 0 4)" = 4b444d56 ]
}

# descriptor_of FILE: its text.
descriptor_of() {
    if is_sparse "$1"; then
        dd if="$1" bs=512 skip=1 count=20 status=none | tr -d '\0'
    else
        tr -d '\0' <"$1"
    fi
}

# descriptor FILE: its text, without what names this one image and what qemu-img has not.
descriptor() {
    descriptor_of "$1" | sed -E 's/^CID=.*/CID/; /^ddb\.(uuid|longContentID)/d; /^$/d; /^#/d; s/\b(ours|theirs)\b/X/' |
        sort
}

# same_image OPTIONS SIZE: both make it, with equal descriptors and headers.
same_image() {
    local options=$1 size=$2 tool file
    note "$options $size"
    rm -f ours* theirs*
    "$IMG" create -q -f vmdk ${options:+-o "$options"} ours.vmdk "$size"
    "$QEMU_IMG" create -q -f vmdk ${options:+-o "$options"} theirs.vmdk "$size"
    descriptor ours.vmdk >ours.text
    descriptor theirs.vmdk >theirs.text
    diff theirs.text ours.text || fail "$options: other descriptors"
    for file in theirs*.vmdk; do
        if is_sparse "$file"; then
            [ "$(peek "$file" 0 512)" = "$(peek "ours${file#theirs}" 0 512)" ] ||
                fail "$options: other header in ours${file#theirs}"
        elif [ "$file" != theirs.vmdk ]; then
            [ "$(stat -c %s "$file")" = "$(stat -c %s "ours${file#theirs}")" ] ||
                fail "$options: ours${file#theirs} has another size"
        fi
    done
    for tool in "$IMG" "$QEMU_IMG"; do
        "$tool" compare -q ours.vmdk theirs.vmdk || fail "$options: not the same disk for $tool"
    done
}

# Their streams are laid out otherwise: matrix-vmdk-stream.sh.
for subformat in monolithicSparse monolithicFlat twoGbMaxExtentSparse twoGbMaxExtentFlat; do
    for options in "" adapter_type=ide adapter_type=lsilogic adapter_type=buslogic \
        adapter_type=legacyESX compat6=on hwversion=13 toolsversion=12345 \
        adapter_type=lsilogic,hwversion=10,toolsversion=1; do
        same_image "subformat=$subformat${options:+,$options}" 10M
    done
    same_image "subformat=$subformat" 5G
done
same_image zeroed_grain=on 100M
same_image "subformat=twoGbMaxExtentSparse,zeroed_grain=on" 3G
same_image "" 64k

note "with a parent"
"$QEMU_IMG" create -q -f vmdk parent.vmdk 20M
same_image backing_file=parent.vmdk,backing_fmt=vmdk 30M
same_image subformat=twoGbMaxExtentSparse,backing_file=parent.vmdk,backing_fmt=vmdk 20M

note "what both refuse, in the same words"
for options in adapter_type=pvscsi subformat=nonsense subformat=monolithicFlat,zeroed_grain=on \
    compat6=on,hwversion=7 backing_file=parent.vmdk,backing_fmt=raw \
    subformat=monolithicFlat,backing_file=parent.vmdk,backing_fmt=vmdk; do
    status=0
    "$QEMU_IMG" create -q -f vmdk -o "$options" theirs.vmdk 1M 2>theirs.err || status=$?
    expect_fail "$status" "$(sed -n '1s/.*: //p' theirs.err)" \
        "$IMG" create -q -f vmdk -o "$options" ours.vmdk 1M
done

note "stable identifiers"
id=cid=1a2b3c4d,uuid=6000C29A-0011-2233-4455-66778899AABB
"$IMG" create -q -f vmdk -o $id one.vmdk 10M
"$IMG" create -q -f vmdk -o $id,descriptor_name=one.vmdk two.vmdk 10M
same one.vmdk two.vmdk
descriptor_of one.vmdk | grep -qx CID=1a2b3c4d || fail "no CID"
descriptor_of one.vmdk | grep -qx 'ddb.longContentID = ".*1a2b3c4d"' || fail "longContentID differs"
descriptor_of one.vmdk |
    grep -qx 'ddb.uuid = "60 00 C2 9A 00 11 22 33-44 55 66 77 88 99 AA BB"' || fail "no UUID"
"$QEMU_IMG" info --output=json one.vmdk | grep -q "\"cid\": $((0x1a2b3c4d))" || fail "qemu-img's CID"
seq 300000 >disk.raw
for threads in 1 4; do
    "$IMG" convert -m $threads -O vmdk -o subformat=streamOptimized,$id,descriptor_name=x.vmdk \
        disk.raw stream$threads.vmdk
done
same stream1.vmdk stream4.vmdk
for bad in cid=ffffffff cid=fffffffe cid= cid=123456789 cid=xyz uuid=12 uuid=zz \
    grain_size=3000 grain_size=2k grain_size=4M grain_size=12k descriptor_name=a/b descriptor_name= \
    subformat=monolithicFlat,grain_size=4k; do
    expect_fail 1 img: "$IMG" create -q -f vmdk -o "$bad" bad.vmdk 1M
    [ ! -e bad.vmdk ] || fail "$bad left a file"
done

note "grain sizes, read and written by both"
for size in 4k 8k 64k 1M 2M; do
    for subformat in monolithicSparse twoGbMaxExtentSparse; do
        rm -f grain*
        "$IMG" create -q -f vmdk -o grain_size=$size,subformat=$subformat grain.vmdk 70M
        "$IMG" info grain.vmdk | grep -qx "cluster_size: $(numfmt --from=iec ${size^^})" ||
            fail "cluster_size is not $size"
        "$QEMU_IO" -c 'write -P 1 3M 5M' -c 'write -P 2 69M 1M' grain.vmdk >/dev/null
        "$IMG" io -c 'write -P 3 30M 100k' grain.vmdk >/dev/null
        "$QEMU_IO" -c 'read -P 1 3M 5M' -c 'read -P 2 69M 1M' -c 'read -P 3 30M 100k' \
            grain.vmdk | grep -q failed && fail "$size $subformat reads differently"
        "$IMG" check -q grain.vmdk
        "$QEMU_IMG" check -q grain.vmdk
    done
    "$IMG" convert -O vmdk -o grain_size=$size,subformat=streamOptimized disk.raw s.vmdk
    "$QEMU_IMG" compare -q disk.raw s.vmdk || fail "stream with grains of $size"
done

note "descriptor_name names the other files"
"$IMG" create -q -f vmdk -o subformat=twoGbMaxExtentFlat,descriptor_name=final.vmdk tmp.vmdk 3G
[ -e final-f001.vmdk ] && [ -e final-f002.vmdk ] || fail "no final-f00*.vmdk"
mv tmp.vmdk final.vmdk
"$QEMU_IMG" info final.vmdk >/dev/null

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Larger and smaller VMDK images of every kind that is written in place: read by both programs and
# checked, with what qemu-io wrote before and writes afterwards; and the descriptor keeps all that a
# new size does not change.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"

# holds FILE COMMAND...: qemu-io finds what the commands say.
holds() {
    local file=$1
    shift
    "$QEMU_IO" -r -f vmdk "$@" "$file" >io.txt 2>&1 || { cat io.txt >&2; fail "$file: qemu-io"; }
    ! grep -qE "failed|error" io.txt || { cat io.txt >&2; fail "$file: $*"; }
}

# sound FILE BYTES: both give it that size and find no fault.
sound() {
    local tool status
    for tool in "$IMG" "$QEMU_IMG"; do
        "$tool" info --output=json "$1" >info.json
        grep -q "^    \"virtual-size\": $2,\$" info.json || fail "$1: not $2 bytes for $tool"
        status=0
        "$tool" check -q "$1" >check.out 2>&1 || status=$?
        case $status in
        0 | 3 | 63) ;;
        *)
            cat check.out >&2
            fail "$tool check $1: status $status"
            ;;
        esac
    done
}

M=$((1 << 20)) G=$((1 << 30))
for creator in "$IMG" "$QEMU_IMG"; do
    for options in subformat=monolithicSparse zeroed_grain=on subformat=monolithicFlat \
        subformat=twoGbMaxExtentSparse subformat=twoGbMaxExtentFlat subformat=vmfs subformat=vmfsSparse; do
        case $creator/$options in
        *qemu-img*/subformat=vmfs*) continue ;;
        esac
        note "$options, made by $(basename "$creator")"
        writer=("$QEMU_IO")
        # What qemu-io 7.2 writes to a redo log may land on its header.
        [ $options != subformat=vmfsSparse ] || writer=("$IMG" io)
        rm -f -- *.vmdk
        "$creator" create -q -f vmdk -o $options disk.vmdk $((100 * M + 512))
        "${writer[@]}" -c 'write -P 1 0 3M' -c 'write -P 2 100M 512' -c 'write -z 1M 64k' disk.vmdk \
            >/dev/null
        written='-c read_-P_1_0_1M -c read_-P_0_1M_64k -c read_-P_2_100M_512'
        read -ra old <<<"$written"
        old=("${old[@]//_/ }")
        for size in $((100 * M + 1024)) $((101 * M)) $((4 * G - 512)) $((9 * G)); do
            "$IMG" resize -q disk.vmdk $size
            sound disk.vmdk $size
            holds disk.vmdk "${old[@]}" -c 'read -P 0 104858112 512'
        done
        "${writer[@]}" -c 'write -P 3 8G 1M' -c 'write -P 4 2047M 2M' disk.vmdk >/dev/null
        "$IMG" io -c 'write -P 5 6G 100k' disk.vmdk >/dev/null
        sound disk.vmdk $((9 * G))
        holds disk.vmdk "${old[@]}" -c 'read -P 3 8G 1M' -c 'read -P 4 2047M 2M' \
            -c 'read -P 5 6G 100k' -c 'read -P 0 7G 100M'
        expect_fail 1 '--shrink' "$IMG" resize disk.vmdk 5G
        for size in $((6 * G + 51200)) $((2 * G + 512)) $((2 * G)) $((100 * M + 512)); do
            "$IMG" resize -q --shrink disk.vmdk $size
            sound disk.vmdk $size
            holds disk.vmdk "${old[@]}"
        done
        "$IMG" resize -q disk.vmdk 9G
        holds disk.vmdk "${old[@]}" -c 'read -P 0 101M 1G' -c 'read -P 0 8G 1G' \
            -c 'read -P 0 104858112 1M'
        "$IMG" resize -q --shrink disk.vmdk 512
        sound disk.vmdk 512
        [ "$(find . -name 'disk-*.vmdk' | wc -l)" -le 1 ] || fail "parts are left: $(ls)"
        [ "$(du -k -c disk*.vmdk | tail -n 1 | cut -f 1)" -le 600 ] || fail "space is left"
    done
done

note "more than ten extents"
"$IMG" create -q -f vmdk -o subformat=twoGbMaxExtentSparse many.vmdk 1G
"$IMG" resize -q many.vmdk 23G
[ "$(find . -name 'many-s0*.vmdk' | wc -l)" = 12 ] || fail "not twelve parts"
for i in $(seq 0 11); do
    "$QEMU_IO" -c "write -P $((i + 1)) $((i * 2 * G + 2 * M * i)) 1M" many.vmdk >/dev/null
    check+=(-c "read -P $((i + 1)) $((i * 2 * G + 2 * M * i)) 1M")
done
holds many.vmdk "${check[@]}"
for options in subformat=twoGbMaxExtentSparse subformat=monolithicSparse; do
    "$IMG" convert -O vmdk -o $options many.vmdk back.vmdk
    holds back.vmdk "${check[@]}"
    "$IMG" compare -q -s many.vmdk back.vmdk
    sound back.vmdk $((23 * G))
done

note "what stands in the descriptor stays"
cat >kept.vmdk <<'TEXT'
# Disk DescriptorFile
version=1
encoding="UTF-8"
CID=0000abcd
parentCID=ffffffff
createType="monolithicFlat"

# Extent description
RW   2048  FLAT  "kept-flat.vmdk"  0

# The Disk Data Base
#DDB

ddb.adapterType = "lsilogic"
ddb.geometry.cylinders = "0"
ddb.geometry.heads = "255"
ddb.geometry.sectors = "63"
ddb.unknown key = "kept, with a comment"
# a comment
ddb.virtualHWVersion = "21"
TEXT
truncate -s 1M kept-flat.vmdk
sed 's/^RW   2048/RW   41943040/; s/cylinders = "0"/cylinders = "2610"/' kept.vmdk >wanted
chmod 640 kept.vmdk
"$IMG" resize -q kept.vmdk 20G
diff <(grep -v ^CID wanted) <(grep -v ^CID kept.vmdk) || fail "something else has changed"
[ "$(stat -c %a kept.vmdk)" = 640 ] || fail "the mode has changed"
ln -s kept.vmdk link.vmdk
"$IMG" resize -q --shrink link.vmdk 2G
[ -L link.vmdk ] || fail "the link was replaced"
grep -q '^RW   4194304  FLAT' kept.vmdk || fail "the file behind the link was not"

note "space for what is new"
"$IMG" create -q -f vmdk -o subformat=monolithicFlat flat.vmdk 1M
"$IMG" resize -q --preallocation=full flat.vmdk 5M
[ "$(du -k flat-flat.vmdk | cut -f 1)" -ge 4096 ] || fail "nothing is allocated"
"$IMG" resize -q --preallocation=falloc flat.vmdk 9M
sound flat.vmdk $((9 * M))
expect_fail 1 'Unsupported preallocation mode' "$IMG" resize --preallocation=metadata flat.vmdk 10M
"$IMG" create -q -f vmdk sparse.vmdk 1M
expect_fail 1 'Unsupported preallocation mode' "$IMG" resize --preallocation=full sparse.vmdk 10M
sound sparse.vmdk $M

note "what cannot be resized"
expect_fail 1 'multiple of 512' "$IMG" resize sparse.vmdk 2000001
"$IMG" convert -O vmdk -o subformat=streamOptimized sparse.vmdk stream.vmdk
expect_fail 1 'streamOptimized' "$IMG" resize stream.vmdk 2M
"$IMG" create -q -f vmdk -o subformat=twoGbMaxExtentFlat parts.vmdk 2G
echo mine >parts-f002.vmdk
expect_fail 1 'parts-f002.vmdk' "$IMG" resize parts.vmdk 3G
[ "$(cat parts-f002.vmdk)" = mine ] || fail "a file that is no part of the image is gone"
sound parts.vmdk $((2 * G))

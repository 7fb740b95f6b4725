#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Images cut in half, as a full disk or a broken download leaves them. What is lost is an error in convert,
# compare and check, never zeros; --salvage gives zeros and says how much they stand for;
# a target that was there before stays as it is.
. "$(dirname "$0")/../lib.sh"

need "$QEMU_IMG"
size=$((8 << 20))
{ seq 1 800000 | head -c $((size / 2)); seq 1 3000000 | gzip -1nc | head -c $((size / 2)); } >disk.raw

# cut FILE: drop its second half.
cut() {
    truncate -s $(($(stat -c %s "$1") / 2)) "$1"
}

# lost FORMAT FILE CHECK_STATUS: everything that reads the lost half fails, and nothing else is touched.
lost() {
    echo "the old file" >target
    rm -f expect_fail.*
    before=$(ls -A)
    expect_fail 1 "" "$IMG" convert -f "$1" -O raw "$2" target
    grep -q 'past the end\|end of the file\|ends at\|cut\|short\|can be' expect_fail.err || {
        cat expect_fail.err
        fail "$2: the error does not say that the file is too short"
    }
    grep -q '0x[0-9a-f]\+' expect_fail.err || fail "$2: the error does not say where"
    [ "$(cat target)" = "the old file" ] || fail "$2: the old target is gone"
    rm expect_fail.*
    [ "$(ls -A)" = "$before" ] || fail "$2: something was left behind: $(ls -A)"
    expect_fail 1 "" "$IMG" convert -f "$1" -O qcow2 -c "$2" target
    [ "$(cat target)" = "the old file" ] || fail "$2: the old target is gone (qcow2)"

    status=0
    "$IMG" compare -f "$1" -F raw "$2" disk.raw >out 2>&1 || status=$?
    case $status in
    2 | 3 | 4) ;;
    *) cat out; fail "$2: compare gives $status" ;;
    esac
    status=0
    "$IMG" check -f "$1" "$2" >out 2>&1 || status=$?
    [ "$status" = "$3" ] || { cat out; fail "$2: check gives $status, not $3"; }
}

# unmended FORMAT FILE: a repair leaves what is lost an error.
unmended() {
    cp "$2" mended
    expect_fail 2 "past the end of the file" "$IMG" check -r all -f "$1" mended
    lost "$1" mended 2
}

# salvaged FORMAT FILE: what is there comes over, the rest is zeros and counted.
salvaged() {
    "$IMG" convert --salvage -f "$1" -O raw "$2" out.raw >salvage.out 2>&1 || {
        cat salvage.out
        fail "$2: --salvage fails"
    }
    said=$(sed -n 's/.* \([0-9]\+\) bytes could not be read.*/\1/p' salvage.out)
    [ -n "$said" ] || { cat salvage.out; fail "$2: --salvage does not say how much was lost"; }
    [ "$(stat -c %s out.raw)" = $size ] || fail "$2: the salvaged disk has another size"
    # All differences are zeros, and there are some but not only some.
    cmp -l disk.raw out.raw | awk '$3 != 0 { bad = 1 } END { exit bad || NR < 100000 || NR > 7000000 }' ||
        fail "$2: the salvaged disk is wrong"
    # The cluster that the file's end cuts through need not count.
    wrong=$(cmp -l disk.raw out.raw | wc -l)
    [ "$said" -ge $((wrong - 65536)) ] && [ "$said" -le $((wrong + 131072)) ] ||
        fail "$2: $said bytes are said to be lost, $wrong are"
    rm out.raw
}

note "qcow2"
"$QEMU_IMG" convert -f raw -O qcow2 disk.raw a.qcow2
cut a.qcow2
lost qcow2 a.qcow2 2
salvaged qcow2 a.qcow2

for type in zlib zstd; do
    note "qcow2, compressed with $type"
    "$QEMU_IMG" convert -c -o compression_type=$type -f raw -O qcow2 disk.raw c.qcow2
    cut c.qcow2
    lost qcow2 c.qcow2 2
    salvaged qcow2 c.qcow2
done

note "monolithicSparse"
"$QEMU_IMG" convert -f raw -O vmdk disk.raw s.vmdk
cut s.vmdk
lost vmdk s.vmdk 2
salvaged vmdk s.vmdk

note "VHDX"
"$QEMU_IMG" convert -f raw -O vhdx -o block_size=1M disk.raw v.vhdx
truncate -s 12M v.vhdx
lost vhdx v.vhdx 2
salvaged vhdx v.vhdx

note "streamOptimized without a footer"
"$QEMU_IMG" convert -f raw -O vmdk -o subformat=streamOptimized disk.raw o.vmdk
cut o.vmdk
lost vmdk o.vmdk 2
salvaged vmdk o.vmdk

note "streamOptimized of our own: its directory is lost with its second half"
"$IMG" convert -f raw -O vmdk -o subformat=streamOptimized disk.raw f.vmdk
cut f.vmdk
echo "the old file" >target
expect_fail 1 "" "$IMG" convert -f vmdk -O raw f.vmdk target
[ "$(cat target)" = "the old file" ] || fail "the old target is gone"
expect_fail 2 "no footer" "$IMG" check -f vmdk f.vmdk

for options in static=off static=on; do
    note "VDI, $options"
    "$QEMU_IMG" convert -f raw -O vdi -o $options disk.raw d.vdi
    cut d.vdi
    lost vdi d.vdi 2
    unmended vdi d.vdi
    salvaged vdi d.vdi
done

note "dynamic VHD"
"$QEMU_IMG" convert -f raw -O vpc -o force_size=on disk.raw d.vhd
cut d.vhd
lost vpc d.vhd 2
unmended vpc d.vhd
salvaged vpc d.vhd

note "fixed VHD: its footer is lost with its second half"
"$QEMU_IMG" convert -f raw -O vpc -o subformat=fixed,force_size=on disk.raw f.vhd
cut f.vhd
echo "the old file" >target
expect_fail 1 "no VHD image" "$IMG" convert -f vpc -O raw f.vhd target
[ "$(cat target)" = "the old file" ] || fail "the old target is gone"

note "monolithicFlat"
"$QEMU_IMG" convert -f raw -O vmdk -o subformat=monolithicFlat disk.raw m.vmdk
cut m-flat.vmdk
echo "the old file" >target
expect_fail 1 "" "$IMG" convert -f vmdk -O raw m.vmdk target
[ "$(cat target)" = "the old file" ] || fail "the old target is gone"

note "a backing file that was cut"
"$QEMU_IMG" convert -f raw -O qcow2 disk.raw base.qcow2
"$IMG" create -q -f qcow2 -b base.qcow2 -F qcow2 over.qcow2
cut base.qcow2
expect_fail 1 "base.qcow2" "$IMG" convert -f qcow2 -O raw over.qcow2 target
[ "$(cat target)" = "the old file" ] || fail "the old target is gone"

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# sparsify gives up the space of stored zeros, in place and in a copy: the disk stays what it was,
# for qemu-img too, which finds no fault.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"

# 4 MiB of data, 12 MiB of zeros, data again, and a tail that is no whole cluster.
seq 10000000 | head -c 4M >disk.raw
head -c 12M /dev/zero >>disk.raw
seq 20000000 20400000 | head -c 2M >>disk.raw
head -c 333k /dev/zero >>disk.raw
truncate -s %512 disk.raw

usage() {
    cat "$@" >/dev/null # what is to be allocated is
    sync "$@"
    du -B1 -c -- "$@" | tail -1 | cut -f1
}

# qemu_check ARGS...: it finds no fault, or cannot look for any.
qemu_check() {
    local status=0
    "$QEMU_IMG" check -q "$@" 2>/dev/null || status=$?
    [ $status = 0 ] || [ $status = 63 ] || fail "qemu-img check $*: status $status"
}

# judge IMAGE FORMAT REFERENCE BEFORE FILES...: the disk is the same, the space is less.
judge() {
    local image=$1 format=$2 reference=$3 before=$4 now
    shift 4
    "$QEMU_IMG" compare -q -F "$format" -f raw "$reference" "$image" || fail "$image: another disk"
    if [ "$format" != raw ]; then
        qemu_check -f "$format" "$image"
        "$IMG" check -q -f "$format" "$image" || fail "img check $image: status $?"
    fi
    now=$(usage "$@")
    [ $((before - now)) -ge $((11 << 20)) ] || fail "$image: $before bytes before, $now now"
}

# in_place FORMAT OPTIONS FILE...: of which the first is the image
in_place() {
    local format=$1 options=$2 before
    shift 2
    note "$format $options"
    "$QEMU_IMG" convert -S 0 -O "$format" ${options:+-o "$options"} disk.raw "$1"
    before=$(usage "$@")
    "$IMG" sparsify --in-place -f "$format" "$1" >out.txt || fail "sparsify: status $?"
    grep -q '^disk size: .* freed$' out.txt || fail "it said: $(cat out.txt)"
    judge "$1" "$format" disk.raw "$before" "$@"
    "$IMG" sparsify --in-place -q -f "$format" "$1" >out.txt || fail "again: status $?"
    [ ! -s out.txt ] || fail "-q: it said $(cat out.txt)"
    # What was given up can be written again.
    cp disk.raw changed.raw
    "$QEMU_IO" -f raw -c 'write -P 7 5M 1M' -c 'write -P 8 4095k 3k' changed.raw >/dev/null
    "$IMG" io -f "$format" -c 'write -P 7 5M 1M' -c 'write -P 8 4095k 3k' "$1" >/dev/null
    "$QEMU_IMG" compare -q -f raw -F "$format" changed.raw "$1" || fail "$1: writes got lost"
    rm -f "$@"
}

in_place raw "" in.raw
in_place qcow2 "" in.qcow2
in_place qcow2 cluster_size=4k,compat=0.10 in.qcow2
in_place qcow2 cluster_size=2M in.qcow2
in_place qcow2 extended_l2=on in.qcow2
in_place qcow2 preallocation=full in.qcow2
in_place qcow2 data_file=in.data in.qcow2 in.data
in_place vmdk "" in.vmdk
in_place vmdk zeroed_grain=on in.vmdk
in_place vmdk subformat=monolithicFlat in.vmdk in-flat.vmdk
in_place vmdk subformat=twoGbMaxExtentSparse in.vmdk in-s001.vmdk
in_place vmdk subformat=twoGbMaxExtentFlat in.vmdk in-f001.vmdk
in_place vdi "" in.vdi
in_place vdi static=on in.vdi
in_place vpc force_size=on in.vhd
in_place vpc force_size=on,subformat=fixed in.vhd
in_place vhdx block_size=1M in.vhdx
in_place vhdx block_size=1M,block_state_zero=off in.vhdx

# ------------------------------------------------------------------------ overlays

# overlay FORMAT OPTIONS KEPT: zeros that hide the backing image's data go, and still hide it.
overlay() {
    note "an overlay: $1 $2"
    rm -f base over before.raw
    "$QEMU_IMG" create -q -f "$1" base 8M
    "$QEMU_IO" -c 'write -P 1 0 8M' base >/dev/null
    "$QEMU_IMG" create -q -f "$1" ${2:+-o "$2"} -b base -F "$1" over
    "$QEMU_IO" -c 'write -P 0 1M 2M' -c 'write -P 9 2M 64k' -c 'write -z -u 6M 1M' over >/dev/null
    "$QEMU_IMG" convert -O raw over before.raw
    before=$(usage over) base=$(md5sum <base)
    "$IMG" sparsify --in-place -q over || fail "status $?"
    "$QEMU_IMG" compare -q over before.raw || fail "another disk"
    "$IMG" compare -q over before.raw || fail "another disk for us"
    "$QEMU_IMG" check -q over || fail "qemu-img check: status $?"
    [ "$(md5sum <base)" = "$base" ] || fail "the base has changed"
    [ $((before - $(usage over))) -ge "$3" ] || fail "$before bytes before, $(usage over) now"
}

overlay qcow2 "" 1900000
overlay qcow2 compat=0.10 0
overlay vmdk "" 1900000
overlay vmdk zeroed_grain=on 1900000
parent=$("$IMG" info over | grep 'parent cid')
"$IMG" sparsify --in-place -q base
[ "$("$IMG" info over | grep 'parent cid')" = "$parent" ] || fail "the parent's CID has changed"
"$IMG" compare -q over before.raw || fail "the child no longer knows its parent"

note "snapshots keep what they hold"
"$QEMU_IMG" convert -S 0 -O qcow2 disk.raw in.qcow2
"$QEMU_IMG" snapshot -c one in.qcow2
"$QEMU_IO" -c 'write -P 0 0 4M' in.qcow2 >/dev/null
"$IMG" sparsify --in-place -q in.qcow2
"$QEMU_IMG" check -q in.qcow2 || fail "qemu-img check: status $?"
"$QEMU_IMG" convert -l one -O raw in.qcow2 one.raw
same one.raw disk.raw

# ---------------------------------------------------------------------- into a copy

# copy OPTIONS TARGET FORMAT
copy() {
    note "a copy: $1"
    # shellcheck disable=SC2086 # several options
    "$IMG" sparsify $1 in.img "$2" >out.txt || fail "status $?"
    judge "$2" "$3" disk.raw "$before" "$2"
    "$QEMU_IMG" info "$2" | grep -qx "file format: $3" || fail "$2 is no $3"
    rm "$2"
}

"$QEMU_IMG" convert -S 0 -O vmdk disk.raw in.img
before=$(usage in.img)
copy "" out.vmdk vmdk
copy "-O raw" out.raw raw
copy "-c -O qcow2 -o compression_type=zstd" out.qcow2 qcow2
copy "-O vmdk -o subformat=streamOptimized" out.vmdk vmdk
copy "-O vdi" out.vdi vdi
copy "-O vpc -o force_size=on" out.vhd vpc
copy "-O vhdx -o block_size=1M" out.vhdx vhdx
"$IMG" sparsify --output=json -O qcow2 in.img out.qcow2 >out.json
grep -q '"actual-size-before": '"$before,\$" out.json || fail "JSON: $(cat out.json)"
grep -q '"freed": [0-9]\{8\}' out.json || fail "JSON: $(cat out.json)"
"$IMG" sparsify --output=json --in-place out.qcow2 | grep -q '"zeros": 0,$' || fail "nothing to free"

# ---------------------------------------------------------------- refused, stopped

note "what is refused"
"$IMG" convert -O vmdk -o subformat=streamOptimized disk.raw stream.vmdk
expect_fail 1 "only while it is being made" "$IMG" sparsify --in-place stream.vmdk
expect_fail 1 "Expecting one image file name" "$IMG" sparsify --in-place in.img other.img
expect_fail 1 "Expecting two image file names" "$IMG" sparsify in.img
expect_fail 1 "not for --in-place" "$IMG" sparsify --in-place -O qcow2 in.img
expect_fail 1 "-U cannot be used" "$IMG" sparsify --in-place -U in.img
expect_fail 1 "onto itself" "$IMG" sparsify in.img in.img
"$QEMU_IO" -c 'sleep 3000' in.img &
holder=$!
for _ in $(seq 50); do
    "$QEMU_IMG" info in.img >/dev/null 2>&1 || break
    sleep 0.05
done
expect_fail 1 'Failed to get' "$IMG" sparsify --in-place in.img
kill $holder
wait $holder || :

note "stopped half-way"
for format in qcow2 vmdk raw vdi vhdx; do
    for pair in INT:130 KILL:137; do
        "$QEMU_IMG" convert -S 0 -O $format disk.raw stop.img
        env --default-signal=INT "$IMG" sparsify --in-place -f $format --progress=json -r 4M stop.img \
            >out.txt 2>err.txt &
        pid=$!
        for _ in $(seq 100); do
            ! grep -q '"done": [1-9]' err.txt || break
            sleep 0.05
        done
        kill -"${pair%:*}" $pid
        status=0
        wait $pid || status=$?
        [ $status = "${pair#*:}" ] || fail "$format, SIG${pair%:*}: status $status: $(cat err.txt)"
        "$QEMU_IMG" compare -q -f raw -F $format disk.raw stop.img || fail "$format: another disk"
        "$IMG" sparsify --in-place -q -f $format stop.img
        "$QEMU_IMG" compare -q -f raw -F $format disk.raw stop.img || fail "$format: another disk"
    done
done

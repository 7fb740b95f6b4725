#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What zeros and discards leave behind: the same requests to twin images, by us and by qemu-io.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"

seq 1 1000000 | head -c 1M >base.raw

# shape FILE: its map but for the places in the file, which may differ.
shape() {
    "$QEMU_IMG" map --output=json "$1" | sed 's/, "offset": [0-9]*//'
}

# alike: the twins, to both programs.
alike() {
    shape ours >ours.shape
    shape theirs | diff ours.shape - || fail "clusters differ"
    "$QEMU_IMG" compare ours theirs || fail "content differs"
    "$IMG" compare ours theirs || fail "content differs"
    "$QEMU_IMG" check ours || fail "qemu-img check"
    "$IMG" check ours || fail "img check"
}

# request COMMAND...: to both of them.
request() {
    local command args=()
    for command; do
        args+=(-c "$command")
    done
    "$QEMU_IO" -f qcow2 -d unmap "${args[@]}" theirs >theirs.out
    "$IMG" io -f qcow2 -d unmap "${args[@]}" ours >ours.out
}

# twins OPTIONS BASE COMMAND...: try the commands on both.
twins() {
    local options=$1 base=$2
    shift 2
    note "$options $base $*"
    rm -f ours theirs
    "$QEMU_IMG" create -q -f qcow2 -o "$options" ${base:+-b "$base" -F raw} theirs 1M
    cp theirs ours
    request "$@"
    alike
}

# entry N: the N-th entry of the only L2 table, which is the first table behind the L1.
entry() {
    peek ours "0x40000 + $1 * 8" 8
}

zeros=("write 0 1M" "write -z 0 64k" "write -z -u 64k 64k" "write -z 130k 1k" "write -z 200k 100k")
absent=("write -z 0 64k" "write -z -u 64k 64k" "write -z 130k 1k" "write -z 200k 100k" "write -z 1020k 4k")
discards=("write 0 512k" "discard 0 64k" "discard 64k 1k" "discard 130k 200k" "discard 600k 100k"
    "discard 1000k 24k")
for compat in 1.1 0.10; do
    for base in "" base.raw; do
        twins compat=$compat "$base" "${zeros[@]}"
        twins compat=$compat "$base" "${absent[@]}"
        twins compat=$compat "$base" "${discards[@]}"
        twins compat=$compat,cluster_size=4k "$base" "${zeros[@]}" "${discards[@]}" "${absent[@]}"
        twins compat=$compat "$base" "write -c 0 64k" "write -c 64k 64k" "write -c 128k 64k" \
            "write -z 0 64k" "write -z 70k 1k" "discard 128k 64k"
    done
done

note "entries as they must be"
twins compat=1.1 "" "write 0 256k" "write -z 0 64k" "write -z -u 64k 64k" "discard 128k 64k" "discard 512k 64k"
[ "$(entry 0)" = 8000000000050001 ] || fail "zeros that keep their space: $(entry 0)"
[ "$(entry 1)" = 0000000000000001 ] || fail "zeros without: $(entry 1)"
[ "$(entry 2)" = 0000000000000001 ] || fail "discarded: $(entry 2)"
[ "$(entry 8)" = 0000000000000000 ] || fail "discarded before it was written: $(entry 8)"

note "what a snapshot shares"
for compat in 1.1 0.10; do
    twins compat=$compat "" "write -P 5 0 1M"
    "$QEMU_IMG" snapshot -c first theirs
    cp theirs ours
    request "write -z 0 64k" "write -z -u 64k 64k" "discard 128k 64k" "write 192k 1k" "write -z 256k 1k"
    alike
    for image in ours theirs; do
        "$QEMU_IMG" snapshot -a first "$image"
    done
    alike
done

note "compressed again, over what is there"
seq 2000000 3000000 | head -c 1M >other.raw
for options in cluster_size=64k cluster_size=4k,compression_type=zstd extended_l2=on; do
    rm -f ours
    "$IMG" convert -f raw -O qcow2 -o $options base.raw ours
    for source in other.raw base.raw; do
        "$IMG" convert -c -n -f raw -O qcow2 $source ours
        "$QEMU_IMG" compare -f raw -F qcow2 $source ours
        "$QEMU_IMG" check ours
        "$IMG" io -f qcow2 -c "write -P 7 100k 10k" -c "write -c -P 8 64k 64k" ours >io.out
        "$QEMU_IMG" check ours
    done
done

note "discard-no-unref"
# places: how many clusters have a place in the file.
places() {
    "$IMG" check --output=json ours | sed -n 's/.*"allocated-clusters": \([0-9]*\),*/\1/p'
}
for options in cluster_size=64k extended_l2=on; do
    rm -f ours
    "$IMG" create -q -f qcow2 -o $options ours 1M
    "$IMG" io -f qcow2 -c "write -P 5 0 512k" -c "write -c 512k 64k" ours >io.out
    cp --sparse=never ours before
    used=$(stat -c %b ours)
    "$IMG" io -d unmap --image-opts -c "discard 0 256k" -c "write -z -u 256k 64k" -c "discard 512k 64k" \
        driver=qcow2,file.filename=ours,discard-no-unref=on,discard=unmap >io.out
    [ "$(places)" = 8 ] || fail "$(places) places, not 8"
    "$QEMU_IMG" check ours
    "$QEMU_IO" -f qcow2 -c "read -P 0 0 320k" -c "read -P 5 320k 192k" -c "read -P 0 512k 64k" ours >io.out
    ! grep -q failed io.out || { cat io.out; fail "content"; }
    [ "$(stat -c %b ours)" -lt $((used - 500)) ] || fail "the host did not get its space back"
    # A write goes to where the cluster was.
    "$IMG" io -f qcow2 -c "write -P 6 64k 64k" ours >io.out
    cmp -n $((0x50000)) -s before ours && fail "nothing changed"
    [ "$("$QEMU_IMG" map --output=json ours | grep '"start": 65536,' | sed 's/.*offset": //;s/}.*//')" = \
        $((0x60000)) ] || fail "the cluster has moved"
    "$QEMU_IMG" check ours
done
"$IMG" create -q -f qcow2 -o compat=v2 old 1M
expect_fail 1 "discard-no-unref" "$IMG" map --image-opts \
    driver=qcow2,file.filename=old,discard-no-unref=on

note "VDI: what is discarded becomes a hole of the file"
"$IMG" create -q -f vdi image.vdi 8M
"$IMG" io -f vdi -c "write -P 5 0 4M" image.vdi >io.out
before=$(stat -c %b image.vdi)
"$IMG" io -d unmap -f vdi -c "discard 1M 2M" -c "read -P 5 0 1M" -c "read -P 5 3M 1M" image.vdi >io.out ||
    fail "VDI: $(cat io.out)"
[ $((before - $(stat -c %b image.vdi))) -ge 4000 ] || fail "VDI: the file takes as much space as before"

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Extended L2 entries: the same requests to twin images, by us and by qemu-io, leave the same
# subclusters behind, and both programs say the same of both images.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"

seq 1 1000000 | head -c 1M >base.raw

# shape TOOL FILE: what its map is but for the places in the file, which may differ.
shape() {
    "$1" map --output=json "$2" | sed 's/, "offset": [0-9]*//'
}

# twins OPTIONS BASE SIZE COMMAND...: try the commands on both.
twins() {
    local options=extended_l2=on${1:+,$1} base=$2 size=$3 command args=()
    shift 3
    rm -f ours theirs
    "$QEMU_IMG" create -q -f qcow2 -o "$options" ${base:+-b "$base" -F raw} theirs "$size"
    "$IMG" create -q -f qcow2 -o "$options" ${base:+-b "$base" -F raw} ours "$size"
    cmp ours theirs >&2 || fail "create -o $options differs"
    for command; do
        args+=(-c "$command")
    done
    note "$options $*"
    "$QEMU_IO" -f qcow2 -d unmap "${args[@]}" theirs >theirs.out
    "$IMG" io -f qcow2 -d unmap "${args[@]}" ours >ours.out
    "$QEMU_IMG" map --output=json ours >ours.map
    "$IMG" map --output=json ours | diff ours.map - || fail "map of ours"
    "$QEMU_IMG" map --output=json theirs >theirs.map
    "$IMG" map --output=json theirs | diff theirs.map - || fail "map of theirs"
    shape "$QEMU_IMG" ours >ours.shape
    shape "$QEMU_IMG" theirs | diff ours.shape - || fail "subclusters differ"
    "$QEMU_IMG" compare ours theirs || fail "content differs"
    "$IMG" compare ours theirs || fail "content differs"
    "$QEMU_IMG" check ours || fail "qemu-img check"
    "$IMG" check ours || fail "img check"
    "$IMG" check theirs || fail "img check of theirs"
}

# entry N: the N-th entry of our image's only L2 table, which is the first table behind the L1.
entry() {
    peek ours "0x40000 + $1 * 16" 16
}

# is_entry N BITMAP: its subclusters.
is_entry() {
    local found
    found=$(entry "$1")
    [ "${found:16}" = "$2" ] || fail "entry $1 is $found, not $2"
}

twins "" "" 1M "write -P 1 2k 2k"
is_entry 0 0000000000000002
twins "" "" 1M "write -P 1 2k 2k" "write 5k 1k" "write -z 10k 4k"
is_entry 0 0000006000000006
twins "" "" 1M "write 0 64k" "discard 0 64k"
[ "$(entry 0)" = 0000000000000000ffffffff00000000 ] || fail "a discarded cluster: $(entry 0)"
twins "" "" 1M "write 0 64k" "discard 0 64k" "write 0 512"
is_entry 0 fffffffe00000001
twins "" "" 1M "write 0 8k" "discard 2k 2k" "write -z -u 4k 2k" "write -z 6k 1k"
twins "" "" 1M "write -z -u 128k 2k" "write -z 192k 2k" "write -z 256k 512" "write -z 322k 64k" \
    "discard 448k 64k" "write -z -u 512k 64k" "write -z 576k 64k"
twins "" base.raw 1M "write -z 0 512" "write -P 3 64k 512" "discard 128k 2k" "discard 192k 64k" \
    "write -z 256k 2k" "write -z -u 320k 64k" "write 384k 64k" "discard 384k 32k" \
    "write -c 448k 64k" "write 449k 1k" "write -c 512k 64k" "discard 512k 64k" \
    "write -c 576k 64k" "write -z 576k 2k"
twins preallocation=metadata base.raw 1M "write 4k 2k" "write -z 64k 2k" "write -z -u 128k 64k" \
    "write -z 192k 64k" "write 300k 100k"
twins preallocation=metadata "" 1M "write 4k 2k" "write 6k 4k" "write 300k 100k" "write 310k 2k"
twins "" "" 1100k "write 1090k 10k" "write -z 1060k 40k" "write -z 1024k 8k" "write -z -u 1030k 70k"
twins cluster_size=16k base.raw 1100k "write 1090k 10k" "write -z 1060k 40k" "write -z -u 1030k 70k" \
    "write 3333 1234" "write 100000 1"
twins cluster_size=2M,compression_type=zstd "" 9M "write 1M 3M" "write -c 4M 2M" "write 5M 1"

note "a chain of backing images that end one before the other"
head -c 300k base.raw >short.raw
for options in extended_l2=on,preallocation=metadata extended_l2=on compat=0.10; do
    "$QEMU_IMG" create -q -f qcow2 -o $options -b short.raw -F raw one 1M
    "$QEMU_IMG" create -q -f qcow2 -o $options -b one -F qcow2 two 1M
    "$QEMU_IMG" create -q -f qcow2 -o $options -b two -F qcow2 three 2M
    "$QEMU_IO" -f qcow2 -c "write 400k 3k" -c "write -z 500k 4k" one >qemu.out
    "$QEMU_IO" -f qcow2 -c "write 600k 3k" two >qemu.out
    "$QEMU_IO" -f qcow2 -c "write 1500k 3k" three >qemu.out
    for image in one two three; do
        "$QEMU_IMG" map --output=json $image >theirs.map
        "$IMG" map --output=json $image | diff theirs.map - || fail "$options: map of $image"
    done
done

note "a snapshot's clusters"
rm -f ours theirs
"$QEMU_IMG" create -q -f qcow2 -o extended_l2=on theirs 1M
"$QEMU_IO" -f qcow2 -c "write -P 1 4k 2k" -c "write -P 2 20k 2k" -c "write -z 12k 2k" theirs >qemu.out
"$QEMU_IMG" snapshot -c first theirs
cp theirs ours
commands=(-c "write -P 7 30k 1k" -c "write -P 8 70k 1k" -c "write -z 4k 2k")
"$QEMU_IO" -f qcow2 "${commands[@]}" theirs >qemu.out
"$IMG" io -f qcow2 "${commands[@]}" ours >ours.out
shape "$QEMU_IMG" ours >ours.shape
shape "$QEMU_IMG" theirs | diff ours.shape - || fail "subclusters of a copied cluster"
"$QEMU_IMG" compare ours theirs
"$QEMU_IMG" check ours

note "resize, commit, rebase, convert"
"$IMG" create -q -f qcow2 -o extended_l2=on -b base.raw -F raw top.qcow2
"$IMG" io -c "write -P 5 10k 1k" -c "write -z 512k 3k" top.qcow2 >io.out
"$IMG" resize -q top.qcow2 2M
"$QEMU_IMG" convert -O raw top.qcow2 flat.raw
"$IMG" compare -f qcow2 -F raw top.qcow2 flat.raw
head -c 700k base.raw >other.raw
"$IMG" rebase -f qcow2 -b other.raw -F raw top.qcow2
"$QEMU_IMG" compare -f qcow2 -F raw top.qcow2 flat.raw
"$QEMU_IMG" check top.qcow2
# Only the range that differs was copied, in subclusters.
"$QEMU_IMG" map --output=json top.qcow2 >top.map
grep -q '"start": 716800, "length": 331776, "depth": 0' top.map || { cat top.map; fail "rebase"; }
"$IMG" commit -q top.qcow2
"$QEMU_IMG" compare -f raw -F raw other.raw flat.raw
"$QEMU_IMG" check top.qcow2

note "a disk that grows inside a cluster"
for mode in off metadata falloc full; do
    rm -f ours
    "$IMG" create -q -f qcow2 -o extended_l2=on ours 100k
    "$IMG" io -f qcow2 -c "write -P 4 64k 3k" ours >io.out
    "$IMG" resize -q --preallocation=$mode ours 500k
    "$QEMU_IO" -f qcow2 -c "read -P 0 0 64k" -c "read -P 4 64k 3k" -c "read -P 0 67k 433k" ours >io.out
    ! grep -q failed io.out || { cat io.out; fail "resize --preallocation=$mode"; }
    "$QEMU_IMG" check ours
done

note "only subclusters with data are stored"
truncate -s 1M thin.raw
for at in 8 96 100 512; do
    head -c 4096 base.raw | dd of=thin.raw bs=1k seek=$at conv=notrunc status=none
done
"$IMG" convert -f raw -O qcow2 -o extended_l2=on thin.raw ours
"$QEMU_IMG" convert -f raw -O qcow2 -o extended_l2=on thin.raw theirs
shape "$QEMU_IMG" ours >ours.shape
shape "$QEMU_IMG" theirs | diff ours.shape - || fail "a converted disk"
for threads in 1 4; do
    "$IMG" convert -m $threads -f raw -O qcow2 -o extended_l2=on base.raw m$threads
done
same m1 m4

note "measure and info"
for args in "--size 1G" "--size 1T" "--size 10G -o cluster_size=2M" "-f raw base.raw"; do
    "$QEMU_IMG" measure -O qcow2 -o extended_l2=on $args >theirs.out
    "$IMG" measure -O qcow2 -o extended_l2=on $args | diff theirs.out - || fail "measure $args"
done
"$IMG" info ours | grep -q 'extended l2: true' || fail "info"

note "what no entry may be"
for raw in 80000000000500000000000100000001 00000000000000000000000000000001 \
    40000000000500000000000000000001; do
    rm -f bad
    "$QEMU_IMG" create -q -f qcow2 -o extended_l2=on bad 64k
    "$QEMU_IO" -f qcow2 -c "write 0 64k" bad >qemu.out
    poke bad 0x40000 "$raw"
    expect_fail 1 "L2 entry" "$IMG" convert -f qcow2 -O raw bad out.raw
    [ ! -e out.raw ] || fail "a disk was made of a corrupt image"
done

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Random writes to an image and to a raw twin, sourced by random-*.sh. What is done
# follows from the seed alone; SEED=N in the environment repeats a run.

need "$QEMU_IMG" "$QEMU_IO"
write=$builddir/tests/tools/img-write
[ -x "$write" ] || skip "tests/tools/img-write is not built"
seed=${SEED:-1}

# round_by_us FORMAT IMAGE SEED
round_by_us() {
    "$write" -f "$1" -s "$3" -n 60 "$2" twin.raw || fail "img-write -f $1 -s $3"
}

# round_by_qemu FORMAT IMAGE SEED: the same commands for the image and its twin.
round_by_qemu() {
    local n offset length commands=()
    RANDOM=$3
    for n in {1..25}; do
        offset=$(((RANDOM << 15 | RANDOM) % (size / 512) * 512))
        length=$(((RANDOM % 200 + 1) * 512))
        [ $((offset + length)) -le $size ] || length=512
        case $((RANDOM % 8)) in
        0) commands+=(-c "write -z $offset $length") ;;
        1) commands+=(-c "write -z -u $offset $length") ;;
        2) commands+=(-c flush) ;;
        *) commands+=(-c "write -P $((RANDOM % 256)) $offset $length") ;;
        esac
    done
    "$QEMU_IO" -f "$1" "${commands[@]}" "$2" >qemu-io.out 2>&1 || { cat qemu-io.out; fail qemu-io; }
    "$QEMU_IO" -f raw "${commands[@]}" twin.raw >qemu-io.out 2>&1 || { cat qemu-io.out; fail qemu-io; }
}

# verify FORMAT IMAGE: both programs find it sound (or end with $tolerated) and equal to the twin.
verify() {
    local tool status
    for tool in "$QEMU_IMG" "$IMG"; do
        status=0
        "$tool" check -f "$1" "$2" >check.out 2>&1 || status=$?
        [ $status = 0 ] || [ $status = 63 ] || [ $status = "${tolerated:-0}" ] || { cat check.out; fail "$tool check: status $status"; }
        "$tool" compare -f raw -F "$1" twin.raw "$2" || fail "$tool: not equal to the twin"
    done
}

# rounds FORMAT IMAGE: three rounds by each.
rounds() {
    for _ in 1 2 3; do
        seed=$((seed + 1))
        round_by_us "$1" "$2" $seed
        verify "$1" "$2"
        round_by_qemu "$1" "$2" $seed
        verify "$1" "$2"
    done
}

# random_resizes FORMAT OPTIONS: larger, smaller, and written in between. What comes again is zeros.
random_resizes() {
    local to
    note "$1 ${2:-no options} of many sizes, seeds from $((seed + 1))"
    rm -f image* twin.raw
    "$IMG" create -q -f "$1" ${2:+-o "$2"} image $size
    truncate -s $size twin.raw
    RANDOM=$seed
    for _ in 1 2 3 4; do
        to=$(((RANDOM << 15 | RANDOM) % (2 * size / 512) * 512 + 512))
        "$IMG" resize -q --shrink -f "$1" image $to
        truncate -s $to twin.raw
        verify "$1" image
        "$IMG" resize -q --shrink -f "$1" image $size
        truncate -s $size twin.raw
        seed=$((seed + 1))
        round_by_us "$1" image $seed
        round_by_qemu "$1" image $seed
        verify "$1" image
    done
}

# random_chain FORMAT OPTIONS BASE-OPTIONS: an overlay that is written, committed and rebased.
random_chain() {
    note "$1 $2 on $3, committed and rebased, seeds from $((seed + 1))"
    rm -f image* base* other* twin.raw
    "$IMG" create -q -f "$1" -o "$3" base $((size / 2))
    "$IMG" create -q -f "$1" -o "$3" other $size
    "$IMG" create -q -f "$1" -o "$2" -b base -F "$1" image $size
    truncate -s $size twin.raw
    for _ in 1 2 3; do
        seed=$((seed + 1))
        round_by_us "$1" image $seed
        verify "$1" image
        "$IMG" commit -q -f "$1" image
        verify "$1" image
        verify "$1" base
        round_by_us "$1" image $((seed + 1000))
        "$IMG" rebase -f "$1" -b other -F "$1" image
        verify "$1" image
        "$IMG" rebase -f "$1" -b base -F "$1" image
        verify "$1" image
    done
}

# random_rounds FORMAT OPTIONS CREATOR...: a new image, made by the first of the programs.
random_rounds() {
    note "$1 ${2:-no options}, made by $(basename "$3"), seeds from $((seed + 1))"
    rm -f image* twin.raw
    "$3" create -q -f "$1" ${2:+-o "$2"} image $size
    truncate -s $size twin.raw
    rounds "$1" image
}

# random_backed FORMAT OPTIONS: an overlay whose base has other data, and a shorter base.
random_backed() {
    local length
    for length in $size $((size / 2 + 512)); do
        note "$1 $2 over a base of $length bytes, seeds from $((seed + 1))"
        rm -f image* twin.raw base.raw
        seq 1 2000000 | head -c $length >base.raw
        "$IMG" create -q -f "$1" -o "$2" -b base.raw -F raw image $size
        cp base.raw twin.raw
        truncate -s $size twin.raw
        rounds "$1" image
    done
}

# random_compressed FORMAT OPTIONS: writes over clusters that are compressed.
random_compressed() {
    note "$1 $2 compressed, seeds from $((seed + 1))"
    rm -f image* twin.raw
    seq 1 2000000 | head -c $size >twin.raw
    "$IMG" convert -c -f raw -O "$1" -o "$2" twin.raw image
    rounds "$1" image
}

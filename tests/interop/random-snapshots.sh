#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Random writes, discards, sizes and snapshots of qcow2 images, by us and by qemu-img in turn. A
# raw twin is the disk, and a copy of it every snapshot. What is done follows from the seed alone;
# SEED=N in the environment repeats a run, ROUNDS=N makes it longer.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"
seed=${SEED:-1}
rounds=${ROUNDS:-5}

# io COMMAND...: by one of the programs on the image, by qemu-io on the twin.
io() {
    local commands=() command
    for command; do
        commands+=(-c "$command")
    done
    if [ $((RANDOM % 2)) = 0 ]; then
        "$IMG" io -f qcow2 "${commands[@]}" image >io.out 2>&1 || { cat io.out; fail "img io $*"; }
    else
        "$QEMU_IO" -f qcow2 "${commands[@]}" image >io.out 2>&1 ||
            { cat io.out; fail "qemu-io $*"; }
    fi
    ! grep -i fail io.out || fail "$*"
    for command in "${commands[@]}"; do
        [ "$command" = -c ] || twin_io "$command"
    done
}

twin_io() {
    "$QEMU_IO" -f raw -c "$1" twin.raw >io.out 2>&1 || { cat io.out; fail "qemu-io twin: $1"; }
}

# Which program does the next thing.
pick_tool() {
    tool=$IMG
    [ $((RANDOM % 2)) = 0 ] || tool=$QEMU_IMG
}

random_range() {
    size=$(stat -c %s twin.raw)
    offset=$(((RANDOM << 15 | RANDOM) % (size / 512) * 512))
    length=$(((RANDOM % 300 + 1) * 512))
    if [ $((RANDOM % 3)) = 0 ]; then
        offset=$((offset / cluster * cluster))
        length=$((length / cluster * cluster + cluster))
    fi
    [ $((offset + length)) -le "$size" ] || length=$((size - offset))
}

# A compressed cluster. (qemu-io does not write one over another; we do.)
do_packed() {
    local pattern=$((RANDOM % 256))
    random_range
    offset=$((offset / cluster * cluster))
    [ $((offset + cluster)) -le "$size" ] || return 0
    "$IMG" io -f qcow2 -c "write -c -P $pattern $offset $cluster" image >io.out 2>&1 ||
        { cat io.out; fail "img io write -c"; }
    twin_io "write -P $pattern $offset $cluster"
}

# What is discarded may read as anything; the rest stays.
do_discard() {
    local end
    random_range
    end=$((offset + length))
    "$IMG" io -f qcow2 -c "discard $offset $length" image >/dev/null || fail discard
    "$QEMU_IMG" convert -f qcow2 -O raw image after.raw
    cmp -n $offset twin.raw after.raw || fail "a discard changed what is before it"
    cmp -i $end twin.raw after.raw || fail "a discard changed what is behind it"
    mv after.raw twin.raw
}

do_create() {
    local name=s$((++made))
    pick_tool
    if "$tool" snapshot -c $name image 2>snapshot.err; then
        cp --sparse=always twin.raw $name.raw
        names+=("$name")
        return
    fi
    grep -q 'Invalid argument' snapshot.err || { cat snapshot.err; fail "$tool snapshot -c"; }
    case $options in
    *refcount_bits=[124]*) ;;
    *) fail "$tool snapshot -c: $(cat snapshot.err)" ;;
    esac
    # It must have changed nothing; qemu-img loses a cluster.
    [ "$tool" = "$IMG" ] || "$QEMU_IMG" check -q -r leaks image >/dev/null || :
}

do_apply() {
    [ ${#names[@]} -gt 0 ] || return 0
    local name=${names[RANDOM % ${#names[@]}]}
    pick_tool
    if ! "$tool" snapshot -a $name image 2>snapshot.err; then
        # The disk may have too many references for another one.
        case $options in
        *refcount_bits=[124]*) [ "$tool" = "$IMG" ] || "$QEMU_IMG" check -q -r leaks image >/dev/null || : ;;
        *) fail "$tool snapshot -a: $(cat snapshot.err)" ;;
        esac
        return 0
    fi
    cp --sparse=always $name.raw twin.raw
}

do_delete() {
    [ ${#names[@]} -gt 2 ] || return 0
    local n=$((RANDOM % ${#names[@]}))
    pick_tool
    "$tool" snapshot -d ${names[n]} image || fail "$tool snapshot -d"
    rm ${names[n]}.raw
    names=("${names[@]:0:n}" "${names[@]:n+1}")
}

do_resize() {
    local to=$(((RANDOM % 12 + 4) * 131072 + RANDOM % 8 * 512))
    [[ $options != *compat=0.10* ]] || return 0
    "$IMG" resize -q --shrink -f qcow2 image $to || fail "resize to $to"
    truncate -s $to twin.raw
}

do_something() {
    case $((RANDOM % 16)) in
    0 | 1) do_create ;;
    2) do_apply ;;
    3) do_delete ;;
    4) do_discard ;;
    5) do_resize ;;
    6) random_range && io "write -z $offset $length" ;;
    7) random_range && io "write -z -u $offset $length" ;;
    8 | 9) do_packed ;;
    *)
        random_range
        local first=$offset bytes=$length
        random_range
        io "write -P $((RANDOM % 256)) $first $bytes" "write -P $((RANDOM % 256)) $offset $length"
        ;;
    esac
}

verify() {
    local name
    "$QEMU_IMG" check -q image >check.out 2>&1 || { cat check.out; fail "qemu-img check"; }
    "$IMG" check -q image >check.out 2>&1 || { cat check.out; fail "img check"; }
    "$QEMU_IMG" compare -q -f raw -F qcow2 twin.raw image || fail "not equal to the twin"
    for name in "${names[@]}"; do
        for tool in "$QEMU_IMG" "$IMG"; do
            rm -f read.raw
            "$tool" convert -l "snapshot.name=$name" -f qcow2 -O raw image read.raw
            # qemu-img gives the disk the size that it has now.
            [ "$tool" = "$IMG" ] || truncate -s "$(stat -c %s $name.raw)" read.raw
            [ "$tool" = "$IMG" ] || [ "$(stat -c %s twin.raw)" -ge "$(stat -c %s $name.raw)" ] ||
                continue
            cmp read.raw $name.raw || fail "$tool: snapshot $name is not what it was"
        done
    done
}

# random_snapshots OPTIONS [BASE]
random_snapshots() {
    local n
    options=$1 made=0 names=()
    cluster=$(sed -n 's/.*cluster_size=\([0-9]*\).*/\1/p' <<<"$options")
    : "${cluster:=65536}"
    rm -f image ./*.raw
    if [ $# -gt 1 ]; then
        seq 1 400000 | head -c "$2" >base.raw
        "$IMG" create -q -f qcow2 ${options:+-o "$options"} -b base.raw -F raw image 1536k
        cp base.raw twin.raw
    else
        "$IMG" create -q -f qcow2 ${options:+-o "$options"} image 1536k
    fi
    truncate -s 1536k twin.raw
    for ((n = 0; n < rounds; n++)); do
        RANDOM=$((++seed))
        note "${options:-no options}${2:+ over $2 bytes}, seed $seed"
        for _ in {1..12}; do
            do_something
        done
        verify
    done
}

for options in "" compat=0.10 cluster_size=512 cluster_size=4096,refcount_bits=1 refcount_bits=2 \
    cluster_size=512,refcount_bits=4 cluster_size=4096,refcount_bits=8 cluster_size=2097152 \
    cluster_size=1024,refcount_bits=64 compression_type=zstd,refcount_bits=32 \
    extended_l2=on,cluster_size=16384; do
    random_snapshots "$options"
done
random_snapshots cluster_size=4096 1572864
random_snapshots compat=0.10,cluster_size=4096 1572864
random_snapshots "" 700000

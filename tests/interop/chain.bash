#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Random backing chains for the tests that work on them. What is made follows from
# the seed alone; SEED=N in the environment repeats a run. A subshell has random numbers
# of its own, so functions put what they choose into variables.

need "$QEMU_IMG" "$QEMU_IO"
seed=${SEED:-1}
RANDOM=$seed

# scribble FORMAT IMAGE SIZE: random writes, zeros and compressed clusters. The latter come first, and
# may fail: qemu-io does not compress what is stored already.
scribble() {
    local n offset length packed=() commands=()
    for n in {1..12}; do
        offset=$(((RANDOM << 15 | RANDOM) % ($3 / 512) * 512))
        length=$(((RANDOM % 300 + 1) * 512))
        [ $((offset + length)) -le "$3" ] || length=512
        case $((RANDOM % 7)) in
        0) commands+=(-c "write -z $offset $length") ;;
        1) commands+=(-c "write -z -u $offset $length") ;;
        2) # a whole cluster of any size up to 64 KiB
            offset=$((offset / 65536 * 65536))
            if [ "$1" = qcow2 ] && [ $((offset + 65536)) -le "$3" ]; then
                packed+=(-c "write -c -P $((RANDOM % 255 + 1)) $offset 64k")
            fi
            ;;
        *) commands+=(-c "write -P $((RANDOM % 255 + 1)) $offset $length") ;;
        esac
    done
    "$QEMU_IO" -d unmap -f "$1" "${packed[@]}" "${commands[@]}" "$2" >qemu-io.out 2>&1 || grep -q '^write failed' qemu-io.out || {
        cat qemu-io.out
        fail "qemu-io on $2"
    }
}

# choose_options: options = create options for one overlay.
choose_options() {
    local all=(cluster_size=4k cluster_size=64k compat=0.10 cluster_size=512 lazy_refcounts=on
        compression_type=zstd "refcount_bits=8,cluster_size=32k")
    options=${all[RANDOM % ${#all[@]}]}
}

# choose_size [SIZE]: size = that one, or one from 1 to 3 MiB.
choose_size() {
    size=${1:-$((2097152 + (RANDOM % 4096 - 2048) * 512))}
}

# make_bottom NAME SIZE: a base of a random format; sets bottom_format.
make_bottom() {
    local formats=(raw qcow2 vmdk)
    bottom_format=${formats[RANDOM % 3]}
    "$QEMU_IMG" create -q -f $bottom_format "$1" "$2"
    scribble $bottom_format "$1" "$2"
}

# make_chain DEPTH [SIZE]: layer0 (the bottom) to layerDEPTH in the current directory, all of one
# size, or of random ones; formats[n] says what they are.
make_chain() {
    local n size options
    rm -f layer*
    choose_size "${2:-}"
    make_bottom layer0 "$size"
    formats=("$bottom_format")
    for ((n = 1; n <= $1; n++)); do
        choose_size "${2:-}"
        choose_options
        "$QEMU_IMG" create -q -f qcow2 -o "$options" -b layer$((n - 1)) \
            -F "${formats[n - 1]}" layer$n "$size"
        formats[n]=qcow2
        scribble qcow2 layer$n "$size"
    done
}

# sound FORMAT IMAGE: both programs find nothing wrong with it.
sound() {
    local tool status
    for tool in "$QEMU_IMG" "$IMG"; do
        status=0
        "$tool" check -f "$1" "$2" >check.out 2>&1 || status=$?
        [ $status = 0 ] || [ $status = 63 ] || {
            cat check.out
            fail "seed $seed: $tool check $2: status $status"
        }
    done
}

# equal FORMAT IMAGE FORMAT IMAGE: the same disk; a longer one ends in zeros.
equal() {
    "$QEMU_IMG" compare -f "$1" -F "$3" "$2" "$4" >compare.out 2>&1 || {
        cat compare.out
        fail "seed $seed: $2 is not equal to $4"
    }
}

# virtual_size FORMAT IMAGE
virtual_size() {
    "$QEMU_IMG" info -f "$1" --output=json "$2" | sed -n 's/^    "virtual-size": \([0-9]*\),/\1/p'
}

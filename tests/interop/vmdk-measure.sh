#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# measure -O vmdk tells how large the files become: exactly, or, where names or compression have a
# say, no less and hardly more. qemu-img cannot measure VMDK.
. "$(dirname "$0")/../lib.sh"

# Data that deflate cannot make smaller, with holes of whole MiB between it; no whole grain at the end.
truncate -s 2148M disk.raw
for at in 0 1000 2047 2100; do
    perl -e 'srand(7); print pack("L*", map { rand(2**32) } 1 .. 131072) for 1 .. 4' |
        dd of=disk.raw bs=1M seek=$at conv=notrunc status=none
done
truncate -s $(((2148 << 20) + 512 * 77)) disk.raw

# measured FIGURE ARGS...: of measure's JSON
measured() {
    local figure=$1
    shift
    "$IMG" measure --output=json -O vmdk "$@" >measure.json || fail "measure $*: status $?"
    sed -n "s/^ *\"$figure\": \([0-9]*\),*\$/\1/p" measure.json
}

# judge SLACK OPTIONS: of the image in the directory made
judge() {
    local slack=$1 actual required
    actual=$(cat made/* | wc -c)
    required=$(measured required ${2:+-o "$2"} disk.raw)
    [ "$required" -ge "$actual" ] || fail "$2: $required bytes required, the files have $actual"
    [ $((required - actual)) -le "$slack" ] || fail "$2: $required bytes required, the files have only $actual"
    [ "$(measured fully-allocated ${2:+-o "$2"} disk.raw)" -ge "$required" ] || fail "$2: fully allocated"
}

# exact OPTIONS...: each measured as large as it becomes, but for names in a descriptor file.
for options in "" zeroed_grain=on grain_size=4k grain_size=2M subformat=monolithicFlat \
    subformat=twoGbMaxExtentSparse subformat=twoGbMaxExtentFlat subformat=vmfs subformat=vmfsSparse; do
    note "${options:-no options}"
    mkdir made
    "$IMG" convert -O vmdk ${options:+-o "$options"} disk.raw made/disk.vmdk
    slack=600 # two names, which may have 255 bytes
    [ "$(find made -type f | wc -l)" -gt 1 ] || slack=0
    judge $slack "$options"
    rm -r made
done

note "a stream of what cannot be compressed"
for options in subformat=streamOptimized subformat=streamOptimized,grain_size=1M; do
    mkdir made
    "$IMG" convert -O vmdk -o $options disk.raw made/disk.vmdk
    # A sector a grain, and zeros in the last grain of a run.
    judge $((280 * 512 + (4 << 20))) $options
    rm -r made
done

note "an empty disk, and a full one"
for options in subformat=monolithicSparse subformat=twoGbMaxExtentSparse,descriptor_name=disk.vmdk; do
    mkdir made
    "$IMG" create -q -f vmdk -o $options made/disk.vmdk 5G
    [ "$(measured required -o $options --size=5G)" = "$(cat made/* | wc -c)" ] || fail "$options: empty"
    rm -r made
done
truncate -s 3M small.raw
yes data | dd of=small.raw bs=1M count=3 iflag=fullblock conv=notrunc status=none
"$IMG" convert -O vmdk small.raw small.vmdk
[ "$(measured fully-allocated small.raw)" = "$(stat -c %s small.vmdk)" ] || fail "a full disk"
"$IMG" create -q -f vmdk -b small.vmdk -F vmdk child.vmdk
[ "$(measured required -o backing_file=small.vmdk small.raw)" -ge "$(stat -c %s small.vmdk)" ] || fail "a child"
expect_fail 1 "Flat image can't enable zeroed grain" \
    "$IMG" measure -O vmdk -o subformat=monolithicFlat,zeroed_grain=on --size=1M

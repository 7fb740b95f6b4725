#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Random writes by qemu-io to images of formats that we only read, and to overlays of overlays of
# them: what we read, map and check after each round is what qemu-img reads, maps and checks.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/random.bash"

size=$((8 << 20))

# same_map FORMAT IMAGE: both programs know the same clusters to be there.
same_map() {
    "$QEMU_IMG" map -f "$1" --output=json "$2" >theirs.map
    "$IMG" map -f "$1" --output=json "$2" >ours.map
    same theirs.map ours.map
}

# only_by_qemu FORMAT IMAGE: the truth is what qemu-img reads. (It has a fault of its own: of zeros
# in an overlay of QED that are partly written over, the base shows through.)
only_by_qemu() {
    for _ in 1 2 3; do
        seed=$((seed + 1))
        round_by_qemu "$1" "$2" $seed
        "$QEMU_IMG" convert -f "$1" -O raw "$2" twin.raw
        verify "$1" "$2"
        same_map "$1" "$2"
    done
}

# written FORMAT OPTIONS
written() {
    note "$1 ${2:-no options}, seeds from $((seed + 1))"
    rm -f image* twin.raw
    "$QEMU_IMG" create -q -f "$1" ${2:+-o "$2"} image $size
    truncate -s $size twin.raw
    only_by_qemu "$1" image
}

# stacked FORMAT OPTIONS: three images, the lowest shorter than the others.
stacked() {
    note "$1 ${2:-no options} three deep, seeds from $((seed + 1))"
    rm -f image* low middle twin.raw
    "$QEMU_IMG" create -q -f "$1" ${2:+-o "$2"} low $((size / 2 + 512))
    "$QEMU_IO" -f "$1" -c "write -P 9 0 $((size / 2 + 512))" low >/dev/null
    "$QEMU_IMG" create -q -f "$1" ${2:+-o "$2"} -b low -F "$1" middle $size
    "$QEMU_IO" -f "$1" -c "write -P 10 1M 1M" middle >/dev/null
    "$QEMU_IMG" create -q -f "$1" ${2:+-o "$2"} -b middle -F "$1" image $size
    "$QEMU_IMG" convert -f "$1" -O raw image twin.raw
    only_by_qemu "$1" image
}

written qcow ""
stacked qcow ""
written qed ""
written qed cluster_size=4k,table_size=2
stacked qed cluster_size=8k
written parallels ""
written parallels cluster_size=64k

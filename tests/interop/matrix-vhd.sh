#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Interop matrix: VHD, dynamic and fixed. Sizes that are no cylinders are force_size's business:
# without it disks are larger than what they are made of, by as much as qemu-img makes them.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/matrix.bash"

backing=
row vpc force_size=on "" 2097152
row vpc subformat=fixed,force_size=on "" 2097152
row vpc subformat=fixed,force_size=on,preallocation=full "" 2097152

note "sizes by geometry"
for options in subformat=dynamic subformat=fixed force_size=on; do
    for size in 1 511 512 513 34817 1M 10M 100M 536870913 1G 4G 31G 33G 127G 128G 500G 2040G; do
        cells=$((cells + 1))
        "$IMG" create -q -f vpc -o $options us $size
        "$QEMU_IMG" create -q -f vpc -o $options them $size
        for tool in "$QEMU_IMG" "$IMG"; do
            "$tool" info -f vpc us | grep '^virtual size' >us.info
            "$tool" info -f vpc them | grep '^virtual size' >them.info
            cmp us.info them.info || cells_failed=$((cells_failed + 1))
        done
        rm us them
    done
done
matrix_end

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Interop matrix: the disks of Bochs, which we only read. Made by hand and by bximage; what
# qemu-img knows of them, the growing ones, it must read alike.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/matrix.bash"

need perl

# reads CONTENT: `them` is that disk.
reads() {
    identical "$IMG" compare -f raw -F bochs "$1.raw" them || fail "$1: read differently"
    "$IMG" convert -O raw them back # found by probing
    same "$1.raw" back
    expect_fail 63 "does not support checks" "$IMG" check them
}

for kind in growing-1 growing-2 sparse-1 sparse-2; do
    for unit in 512 65536 4194304; do
        for content in empty sparse full odd over; do
            # The size of a sparse disk of version 1 is that of its pages.
            [ $kind != sparse-1 ] || [ $content != odd ] || continue
            [ $kind != sparse-1 ] || [ $unit = 512 ] || continue
            make_content $content 65536
            perl "$srcdir/fixtures/make-bochs.pl" $kind $unit $content.raw them
            reads $content
            case $kind in
            growing-*) identical "$QEMU_IMG" compare -f raw -F bochs $content.raw them ||
                fail "$kind $unit $content: qemu-img reads differently" ;;
            esac
        done
    done
    note "$kind"
done

need bximage
for mode in growing sparse; do
    make_content full 65536
    rm -f them
    bximage -q -func=convert -imgmode=$mode full.raw them >bximage.out || fail "bximage: status $?"
    reads full
    note "$mode by bximage"
done

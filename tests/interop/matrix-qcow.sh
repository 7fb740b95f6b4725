#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Interop matrix: qcow version 1, which we only read.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/matrix.bash"

backing=qcow
row qcow "" "" 4096 written_by_qemu
backing=raw
row qcow "" "" 512 written_by_qemu

# qemu-img 7.2 ends with 1 after compressing into qcow, although nothing went wrong.
for content in sparse full odd over; do
    make_content $content 4096
    rm -f them
    "$QEMU_IMG" convert -c -f raw -O qcow $content.raw them || :
    identical "$QEMU_IMG" compare -f raw -F qcow $content.raw them
    identical "$IMG" compare -f raw -F qcow $content.raw them || fail "compressed, $content"
    "$IMG" convert -f qcow -O raw them back
    same $content.raw back
done
matrix_end

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The header through a repair: the one that the first writer of a dirty image makes, and which
# feature bits are left after one that was asked for.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"

# number OFFSET BYTES: of "image".
number() {
    echo $((16#$(od -An -v -tx1 -j "$1" -N "$2" image | tr -d ' \n')))
}

# put OFFSET BYTES...: the bytes as printf takes them.
put() {
    printf "$2" | dd of=image bs=1 seek="$1" conv=notrunc status=none
}

note "a dirty image with a snapshot record that is too short"
"$QEMU_IMG" create -q -f qcow2 -o lazy_refcounts=on image 4M
"$QEMU_IO" -c 'write -P 3 0 300k' image >/dev/null
"$QEMU_IMG" snapshot -c one image
record=$(number 64 8)
extra=$(number $((record + 36)) 4)
# Id and name follow the fixed part at once.
dd if=image of=names bs=1 skip=$((record + 40 + extra)) count=4 status=none
dd if=names of=image bs=1 seek=$((record + 40)) conv=notrunc status=none
put $((record + 36)) '\0\0\0\0'
put 79 '\1'
"$IMG" io -c 'write -P 4 1M 64k' image >out.txt 2>&1 || fail "the first writer: $(cat out.txt)"
! grep -i failed out.txt || fail "the first write"
[ "$(number 72 8)" = 0 ] || fail "the image is still dirty"
[ "$(number $(($(number 64 8) + 36)) 4)" -ge 16 ] || fail "the record is still short"
"$QEMU_IMG" check -q image || fail "qemu-img check: status $?"
"$IMG" check -q image || fail "img check: status $?"
"$QEMU_IO" -c 'read -P 3 0 300k' -c 'read -P 4 1M 64k' image >out.txt
! grep -i failed out.txt || fail "the disk has changed"

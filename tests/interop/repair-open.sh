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

# put OFFSET BYTES...: the bytes as printf %b takes them.
put() {
    printf '%b' "$2" | dd of=image bs=1 seek="$1" conv=notrunc status=none
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

# Bits 0 and 1 are known: bitmaps, and a raw data file.
promises() { number 88 8; }

# leak: the last cluster of "image" has a refcount, and nobody refers to it.
leak() {
    local cluster=65536 clusters
    clusters=$(($(stat -c %s image) / cluster + 2))
    truncate -s $((clusters * cluster)) image
    put $(($(number "$(number 48 8)" 8) + 2 * (clusters - 1))) '\0\1'
}

# copied: the first L2 entry lacks its flag. unaligned: a cluster of zeros has an impossible place.
copied() { put $(($(number $(($(number 40 8) + 2)) 6))) '\0'; }
unaligned() { put $(($(number $(($(number 40 8) + 2)) 6) + 6)) '\2\1'; }
copied_l1() { put "$(number 40 8)" '\0'; }
dirty() { put 79 '\1'; }
lost_block() { put "$(number 48 8)" '\0\0\0\0\0\0\0\0'; }

for damage in leak copied copied_l1 dirty lost_block unaligned; do
    note "unknown autoclear bits fall before a repair, and not in a check: $damage"
    rm -f image
    "$QEMU_IMG" create -q -f qcow2 image 4M
    "$QEMU_IMG" bitmap --add image one
    "$QEMU_IO" -c 'write -P 3 0 300k' image >/dev/null
    $damage
    put 95 '\201'
    cp image damaged
    "$IMG" check -q image && status=0 || status=$?
    cmp image damaged || fail "a check has written"
    [ $damage = dirty ] || [ "$status" != 0 ] || fail "the damage was not found"
    "$IMG" check -q -r all image || fail "the repair: status $?"
    [ "$(promises)" = 1 ] || fail "bits $(promises)"
    "$QEMU_IMG" check -q image || fail "qemu-img check: status $?"
    "$QEMU_IMG" info image | grep -q 'name: one' || fail "the bitmap is lost"
done

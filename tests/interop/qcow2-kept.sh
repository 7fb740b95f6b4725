#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What a qcow2 image has that we do not make: internal snapshots, bitmaps, unknown header extensions and
# feature bits. Our writes must leave all of it as it was, or say honestly that it is stale.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"
write=$builddir/tests/tools/img-write
[ -x "$write" ] || skip "tests/tools/img-write is not built"
size=$((8 << 20))

for options in "" compat=0.10 cluster_size=512 refcount_bits=2 refcount_bits=64,cluster_size=2M; do
    note "snapshots, ${options:-no options}"
    rm -f image twin.raw
    "$QEMU_IMG" create -q -f qcow2 ${options:+-o "$options"} image $size
    truncate -s $size twin.raw
    for n in 1 2; do
        "$write" -f qcow2 -s $n -n 40 image twin.raw || fail "img-write, round $n"
        cp twin.raw snapshot$n.raw
        "$QEMU_IMG" snapshot -c s$n image
    done
    "$write" -f qcow2 -s 3 -n 80 image twin.raw || fail "img-write, round 3"
    for tool in "$QEMU_IMG" "$IMG"; do
        "$tool" check -q image || fail "$tool check: status $?"
        "$tool" compare -q -F raw image twin.raw || fail "$tool compare: status $?"
    done
    for n in 1 2; do
        rm -f copy.raw
        "$QEMU_IMG" convert -O raw -l s$n image copy.raw
        cmp copy.raw snapshot$n.raw || fail "snapshot s$n is not what it was"
    done
    # Take the snapshots away again: the disk must stand without them.
    "$QEMU_IMG" snapshot -d s1 image
    "$write" -f qcow2 -s 4 -n 40 image twin.raw || fail "img-write, round 4"
    "$QEMU_IMG" snapshot -d s2 image
    "$IMG" check -q image || fail "check without snapshots: status $?"
    "$QEMU_IMG" compare -q -F raw image twin.raw || fail "not equal without snapshots"
done

note "a refcount that cannot be raised is an error that changes nothing"
rm -f image
"$QEMU_IMG" create -q -f qcow2 -o refcount_bits=1 image 1M
seq 1 100000 | head -c 1048576 >full.raw
"$IMG" convert -n -c -O qcow2 full.raw image
"$IMG" check -q image || fail "refcounts of one bit: status $?"
"$IMG" compare -q -F raw image full.raw || fail "refcounts of one bit: not equal"

note "bitmaps stay, unknown autoclear bits do not"
rm -f image twin.raw
"$QEMU_IMG" create -q -f qcow2 image $size
truncate -s $size twin.raw
"$QEMU_IMG" bitmap --add image b0
[ "$(peek image 88 8)" = 0000000000000001 ] || fail "qemu-img set no autoclear bit"
"$IMG" check -q image || fail "an image with a bitmap leaks: status $?"
[ "$(peek image 88 8)" = 0000000000000001 ] || fail "reading cleared the autoclear bit"
poke image 88 8000000000000001
"$write" -f qcow2 -s 5 -n 5 image twin.raw || fail "img-write"
[ "$(peek image 88 8)" = 0000000000000001 ] || fail "the autoclear bits are wrong after writing"
"$QEMU_IMG" compare -q -F raw image twin.raw || fail "not equal"
"$QEMU_IMG" check -q image || fail "check: status $?"
"$QEMU_IMG" info image | grep -q 'name: b0' || fail "the bitmap is gone"

note "bitmaps that somebody did not keep are dropped by a writer"
poke image 95 00
"$write" -f qcow2 -s 6 -n 5 image twin.raw || fail "img-write"
"$QEMU_IMG" compare -q -F raw image twin.raw || fail "not equal"
! "$QEMU_IMG" info image 2>&1 | grep -q bitmap || fail "a stale bitmap is still named"

note "unknown extensions and feature bits"
rm -f image twin.raw
"$QEMU_IMG" create -q -f qcow2 image $size
truncate -s $size twin.raw
poke image 80 8000000000000000  # a compatible bit
poke image 504 12345678000000036162630000000000 # an extension "abc" behind the feature names
"$write" -f qcow2 -s 6 -n 20 image twin.raw || fail "img-write"
[ "$(peek image 80 8)" = 8000000000000000 ] || fail "a compatible bit is gone"
[ "$(peek image 504 11)" = 1234567800000003616263 ] || fail "an extension is gone"
"$QEMU_IMG" check -q image || fail "check: status $?"
poke image 72 0000000000000100
expect_fail 1 "Unsupported qcow2 feature(s)" "$IMG" info image

note "corrupt images are read, and not written; dirty ones are repaired first, read-only ones not"
rm -f image
"$QEMU_IMG" create -q -f qcow2 image $size
"$QEMU_IO" -c 'write -P 3 0 1M' image >/dev/null
poke image 79 02
"$IMG" convert -O raw image copy.raw || fail "the corrupt bit: status $?"
expect_fail 1 "check -r" "$IMG" convert -n -O qcow2 full.raw image
"$IMG" check -q -r all image || fail "check -r all: status $?"
[ "$(peek image 79 1)" = 00 ] || fail "the corrupt bit is still there"
# Refcounts that never reached the disk.
refcounts=$((16#$(peek image $((16#$(peek image 48 8))) 8)))
printf '\0\0\0\0' | dd of=image bs=1 seek=$((refcounts + 2 * 6)) conv=notrunc status=none
poke image 79 01
"$IMG" convert -O raw image copy2.raw || fail "the dirty bit: status $?"
same copy.raw copy2.raw
[ "$(peek image 79 1)" = 01 ] || fail "a read has changed the dirty bit"
"$IMG" io -c 'write -P 4 2M 64k' image >io.out || fail "a write to a dirty image: status $?"
[ "$(peek image 79 1)" = 00 ] || fail "the dirty bit is still there"
"$QEMU_IMG" check -q image || fail "check after the repair: status $?"
"$QEMU_IO" -c 'read -P 3 0 1M' -c 'read -P 4 2M 64k' image >io.out
! grep -q failed io.out || fail "the repair has changed data"

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Snapshots next to what else an image may have: bitmaps, encryption, an external data file, late
# refcounts, a machine's state; and what they cost.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"

# number FILE OFFSET BYTES: what is there, as a number.
number() {
    echo $((16#$(peek "$@")))
}

sound() {
    "$QEMU_IMG" check -q "$@" || fail "qemu-img check $*: status $?"
    "$IMG" check -q "$@" || fail "img check $*: status $?"
}

note "what nothing can be done to"
"$IMG" create -q -f qcow2 -o data_file=outside.raw outside.qcow2 1M
cp outside.qcow2 before
expect_fail 1 "-95 (Operation not supported): an image with an external data file" \
    "$IMG" snapshot -c x outside.qcow2
for subformat in monolithicSparse monolithicFlat twoGbMaxExtentSparse twoGbMaxExtentFlat \
    streamOptimized; do
    "$IMG" create -q -f vmdk -o subformat=$subformat disk.vmdk 1M
    for action in -c -a -d; do
        expect_fail 1 "VMDK snapshots are delta files: use create -b" "$IMG" snapshot $action x disk.vmdk
    done
    [ -z "$("$IMG" snapshot -l disk.vmdk)" ] || fail "$subformat: snapshot -l says something"
done
truncate -s 1M disk.raw
expect_fail 1 "the format 'raw' has no internal snapshots" "$IMG" snapshot -f raw -c x disk.raw
cmp outside.qcow2 before || fail "a refused snapshot changed the image"

note "too narrow refcounts leave the image as it is"
"$QEMU_IMG" create -q -f qcow2 -o refcount_bits=2 narrow.qcow2 1M
"$QEMU_IO" -c 'write -P 1 0 300k' narrow.qcow2 >/dev/null
"$IMG" snapshot -c one narrow.qcow2
"$IMG" snapshot -c two narrow.qcow2
cp narrow.qcow2 before
expect_fail 1 "-22 (Invalid argument)" "$IMG" snapshot -c three narrow.qcow2
cmp narrow.qcow2 before || fail "a refused snapshot changed the image"
expect_fail 1 "more references than 2 refcount bits can count" \
    "$IMG" snapshot -c three narrow.qcow2

note "a conversion into an image that is said to be zeros"
"$QEMU_IMG" create -q -f qcow2 past.qcow2 1M
"$QEMU_IO" -c 'write -P 1 0 1M' past.qcow2 >/dev/null
"$IMG" snapshot -c one past.qcow2
"$QEMU_IMG" convert -O raw past.qcow2 past.raw
yes 'something else' | head -c 1M >else.raw
"$IMG" convert -n --target-is-zero -f raw -O qcow2 else.raw past.qcow2
sound past.qcow2
"$QEMU_IMG" compare -q else.raw past.qcow2 || fail "convert -n --target-is-zero: another disk"
"$QEMU_IMG" convert -l one -O raw past.qcow2 one.raw
same past.raw one.raw

note "bitmaps"
"$QEMU_IMG" create -q -f qcow2 bits.qcow2 4M
"$QEMU_IMG" bitmap --add -g 64k bits.qcow2 b0
"$QEMU_IMG" bitmap --add --disable bits.qcow2 b1
"$QEMU_IO" -c 'write 1M 64k' bits.qcow2 >/dev/null
"$QEMU_IMG" info bits.qcow2 | sed -n '/bitmaps:/,/refcount/p' >bitmaps.before
"$IMG" snapshot -c one bits.qcow2
"$QEMU_IO" -c 'write 2M 64k' bits.qcow2 >/dev/null
"$IMG" snapshot -c two bits.qcow2
"$IMG" snapshot -d one bits.qcow2
sound bits.qcow2
"$QEMU_IMG" info bits.qcow2 | sed -n '/bitmaps:/,/refcount/p' >bitmaps.after
same bitmaps.before bitmaps.after
grep -q b1 bitmaps.after || fail "no bitmaps"
expect_fail 1 "Device has active dirty bitmaps" "$IMG" snapshot -a two bits.qcow2
"$IMG" bitmap --remove bits.qcow2 b0
"$IMG" bitmap --remove bits.qcow2 b1
"$IMG" snapshot -a two bits.qcow2
sound bits.qcow2

note "encryption"
secret=(--object 'secret,id=s,data=letmein')
opened=driver=qcow2,encrypt.key-secret=s,file.filename=luks.qcow2
# By ours: qemu-img cannot measure a short time on a busy machine.
"$IMG" create -q -f qcow2 "${secret[@]}" \
    -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 luks.qcow2 2M
"$QEMU_IO" "${secret[@]}" --image-opts -c 'write -P 1 0 500k' $opened >/dev/null
"$IMG" snapshot "${secret[@]}" --image-opts -c one $opened
"$QEMU_IO" "${secret[@]}" --image-opts -c 'write -P 2 0 2M' $opened >/dev/null
for tool in "$IMG" "$QEMU_IMG"; do
    "$tool" convert "${secret[@]}" --image-opts -l one -O raw $opened out.raw
    "$QEMU_IO" -f raw -c 'read -P 1 0 500k' -c 'read -P 0 500k 1548k' out.raw >read.out
    ! grep -q failed read.out || fail "$tool: an encrypted snapshot is not what it was"
done
"$IMG" snapshot "${secret[@]}" --image-opts -a one $opened
sound "${secret[@]}" --image-opts $opened
"$QEMU_IMG" compare -q "${secret[@]}" --image-opts driver=raw,file.filename=out.raw $opened ||
    fail "an encrypted snapshot was not restored"

note "late refcounts"
"$QEMU_IMG" create -q -f qcow2 -o lazy_refcounts=on,cluster_size=4k lazy.qcow2 1M
("$QEMU_IO" -c "write -P 1 0 500k" -c abort lazy.qcow2 || :) >/dev/null 2>&1
"$IMG" snapshot -c one lazy.qcow2
"$QEMU_IO" -c 'write -P 2 0 500k' lazy.qcow2 >/dev/null
"$IMG" snapshot -a one lazy.qcow2
sound lazy.qcow2
"$QEMU_IO" -r -c 'read -P 1 0 500k' lazy.qcow2 | grep -q failed && fail "lost what was written"

# A machine's state lies behind the disk. Make it from a disk that is larger: the state is what
# its end holds.
note "a machine's state"
"$QEMU_IMG" create -q -f qcow2 -o cluster_size=4k vm.qcow2 8M
"$QEMU_IO" -c 'write -P 1 0 1M' -c 'write -P 2 4M 1000k' vm.qcow2 >/dev/null
"$QEMU_IMG" snapshot -c state vm.qcow2
table=$(number vm.qcow2 64 8)
for at in 24 $((table + 48)); do
    poke vm.qcow2 "$at" 0000000000200000
done
poke vm.qcow2 $((table + 32)) 000fa000
poke vm.qcow2 $((table + 40)) 00000000000fa000
"$QEMU_IO" -c 'write -P 3 0 2M' vm.qcow2 >/dev/null
sound vm.qcow2
"$IMG" snapshot -c none vm.qcow2
"$IMG" snapshot -a state vm.qcow2
sound vm.qcow2
"$IMG" snapshot -c other vm.qcow2
"$IMG" snapshot -d none vm.qcow2
sound vm.qcow2
"$QEMU_IMG" snapshot -a state vm.qcow2
sound vm.qcow2
"$IMG" snapshot -l vm.qcow2 >ours.list
"$QEMU_IMG" snapshot -l vm.qcow2 >theirs.list
same ours.list theirs.list
grep -q '^1  *state  *0.977 MiB' ours.list || fail "the state has no size"
"$IMG" convert -l state -O raw vm.qcow2 out.raw
[ "$(stat -c %s out.raw)" = 2097152 ] || fail "a snapshot with a state has not its disk's size"
cp vm.qcow2 whole.qcow2
poke whole.qcow2 24 0000000000800000
"$QEMU_IO" -r -c 'read -P 1 0 1M' -c 'read -P 0 1M 1M' -c 'read -P 2 4M 1000k' whole.qcow2 >read.out
! grep failed read.out || fail "the state is not what it was"
"$IMG" snapshot -d state vm.qcow2
"$IMG" snapshot -d other vm.qcow2
sound vm.qcow2

note "a hundred snapshots, and none"
"$IMG" create -q -f qcow2 -o cluster_size=4k many.qcow2 4M
"$QEMU_IO" -c 'write -P 1 0 3M' many.qcow2 >/dev/null
before=$(stat -c %s many.qcow2)
for n in {1..50}; do
    "$IMG" snapshot -c "s$n" many.qcow2
    "$IMG" snapshot -c "t$n" many.qcow2
done
sound many.qcow2
for n in {50..1}; do
    "$IMG" snapshot -d "s$n" many.qcow2
done
for n in {1..50}; do
    "$IMG" snapshot -d "t$n" many.qcow2
done
sound many.qcow2
[ "$(number many.qcow2 60 4)" = 0 ] || fail "there are snapshots left"
[ "$(stat -c %s many.qcow2)" -lt $((before * 2)) ] || fail "snapshots that are gone take up space"

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# compact: a qcow2 file that was once large gets as small as what it holds, in place; the disk, its
# snapshots and its bitmaps stay what they were, for qemu-img too, which finds no fault.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"
[ -x "$builddir/tests/tools/bitmap-runs" ] || skip "tests/tools/bitmap-runs is not built"

printf 'abc' >key
secret=(--object "secret,id=k,file=key")
luks=(--image-opts "driver=qcow2,file.filename=disk.qcow2,encrypt.key-secret=k")

# io COMMAND...: on disk.qcow2
io() {
    local args=() command
    for command; do
        args+=(-c "$command")
    done
    "$QEMU_IO" -f qcow2 "${args[@]}" disk.qcow2 >io.log || fail "qemu-io: $(cat io.log)"
}

length() {
    stat -c %s "$1"
}

# judge LIMIT [SNAPSHOT]...: disk.qcow2 is sound, shorter than LIMIT bytes, and holds what it held.
judge() {
    local limit=$1 snapshot
    shift
    "$QEMU_IMG" convert -O raw disk.qcow2 before.raw
    for snapshot; do
        "$QEMU_IMG" convert -l "$snapshot" -O raw disk.qcow2 "before-$snapshot.raw"
    done
    cp disk.qcow2 old.qcow2
    "$IMG" compact disk.qcow2 >out.txt || fail "compact: status $?"
    grep -q '^file size: .* moved$' out.txt || fail "it said: $(cat out.txt)"
    cat out.txt
    "$QEMU_IMG" check -q disk.qcow2 || fail "qemu-img check: status $?"
    "$IMG" check -q disk.qcow2 || fail "img check: status $?"
    "$QEMU_IMG" compare -q before.raw disk.qcow2 || fail "another disk"
    for snapshot; do
        "$QEMU_IMG" convert -l "$snapshot" -O raw disk.qcow2 after.raw
        same "before-$snapshot.raw" after.raw
    done
    [ "$(length disk.qcow2)" -lt "$(numfmt --from=iec "$limit")" ] || fail "still $(length disk.qcow2) bytes"
    # There is nothing left to be done, and it can be written to.
    "$IMG" compact --output=json disk.qcow2 >out.json
    grep -q '"moved": 0' out.json || fail "moved again: $(cat out.json)"
    io 'write -P 77 3M 5M'
    "$QEMU_IMG" check -q disk.qcow2 || fail "qemu-img check after a write: status $?"
}

note "once 500 MB, then little"
"$QEMU_IMG" create -q -f qcow2 disk.qcow2 1G
io 'write -P 1 0 500M' 'discard 10M 480M' 'write -P 2 900M 1M'
judge 23M
[ "$(length old.qcow2)" -gt $((500 << 20)) ] || fail "it was not large"

note "clusters of 4 KiB, version 2, snapshots that share clusters"
"$QEMU_IMG" create -q -f qcow2 -o cluster_size=4k,compat=0.10 disk.qcow2 64M
io 'write -P 1 0 30M' 'write -P 2 40M 10M'
"$QEMU_IMG" snapshot -c one disk.qcow2
io 'write -P 4 20M 5M' 'write -P 5 2M 8M'
"$QEMU_IMG" snapshot -c two disk.qcow2
io 'write -P 6 12M 8M' 'write -P 9 45M 1M'
"$QEMU_IMG" snapshot -c three disk.qcow2
"$QEMU_IMG" snapshot -d one disk.qcow2
judge 56M two three

for type in zlib zstd; do
    note "compressed, $type"
    seq 20000000 | head -c 60M >disk.raw
    "$QEMU_IMG" convert -c -O qcow2 -o compression_type=$type disk.raw disk.qcow2
    old=$(length disk.qcow2)
    io 'discard 5M 25M' 'write -P 3 55M 3M'
    "$QEMU_IMG" snapshot -c one disk.qcow2
    io 'write -P 3 40M 1M'
    judge $((old * 2 / 3 + (6 << 20))) one
done

note "compressed clusters that take more of the file than a cluster"
for part in 1 2 3 4 5 6; do
    head -c 1900000 /dev/urandom
    head -c $((2097152 - 1900000)) /dev/zero
done >parts.raw
"$QEMU_IMG" create -q -f qcow2 -o cluster_size=2M disk.qcow2 64M
io 'write -P 1 0 30M'
io 'write -c -s parts.raw 40M 12M'
io 'discard 0 30M'
# The first of them says that it has as many sectors as can be, 4 MiB.
table=$((0x$(peek disk.qcow2 40 8)))
entry=$(((0x$(peek disk.qcow2 $table 8) & 0x00ffffffffffffff) + 20 * 8))
poke disk.qcow2 $entry 7ffe
"$QEMU_IMG" check -q -r all disk.qcow2 || fail "it cannot be repaired: status $?"
[ "$(peek disk.qcow2 $entry 2)" = 7ffe ] || fail "it has been repaired"
judge 26M

note "extended L2 entries, a backing image, lazy refcounts"
"$QEMU_IMG" create -q -f raw base.raw 64M
"$QEMU_IO" -f raw -c 'write -P 8 0 64M' base.raw >/dev/null
"$QEMU_IMG" create -q -f qcow2 -o extended_l2=on,lazy_refcounts=on,backing_file=base.raw,backing_fmt=raw disk.qcow2
io 'write -P 1 0 30M' 'write -P 2 40002k 6k' 'write -P 3 50M 4M' 'write -z -u 1M 20M' 'discard 22M 2M'
judge 20M

note "bitmaps"
"$QEMU_IMG" create -q -f qcow2 -o cluster_size=512 disk.qcow2 16M
io 'write -P 1 0 10M'
"$QEMU_IMG" bitmap --add -g 512 disk.qcow2 one
io 'write -P 2 11M 1M' 'discard 1M 8M'
"$QEMU_IMG" bitmap --add -g 64k disk.qcow2 two
io 'write -P 3 13M 1M'
"$builddir/tests/tools/bitmap-runs" disk.qcow2 one >before.txt
cp disk.qcow2 copy.qcow2
"$IMG" compact -q copy.qcow2
"$builddir/tests/tools/bitmap-runs" copy.qcow2 one >after.txt
same before.txt after.txt
judge 6M
"$QEMU_IMG" info disk.qcow2 | grep -q 'name: two' || fail "a bitmap is gone"

note "LUKS: what moves is encrypted anew"
"$IMG" create -q "${secret[@]}" -f qcow2 -o encrypt.format=luks,encrypt.key-secret=k,encrypt.iter-time=10 disk.qcow2 64M
"$QEMU_IO" "${secret[@]}" -c 'write -P 1 0 30M' -c 'write -P 2 40M 4M' -c 'discard 4M 20M' "${luks[@]}" >/dev/null
"$QEMU_IMG" convert "${secret[@]}" -O raw "${luks[@]}" before.raw
expect_fail 1 "key-secret" "$IMG" compact disk.qcow2
"$IMG" compact "${secret[@]}" "${luks[@]}"
"$QEMU_IMG" compare -q "${secret[@]}" --image-opts driver=raw,file.filename=before.raw "${luks[1]}" || fail "another disk"
"$QEMU_IMG" check -q "${secret[@]}" "${luks[@]}" || fail "qemu-img check: status $?"
[ "$(length disk.qcow2)" -lt $((18 << 20)) ] || fail "still $(length disk.qcow2) bytes"

note "stopped in the middle, and done again"
"$QEMU_IMG" create -q -f qcow2 disk.qcow2 1G
io 'write -P 1 0 100M' 'write -P 2 100M 100M' 'discard 0 100M'
"$QEMU_IMG" convert -O raw disk.qcow2 before.raw
for signal in KILL TERM KILL; do
    "$IMG" compact -r 20M disk.qcow2 &
    pid=$!
    sleep 0.7
    kill -$signal $pid
    wait $pid && fail "it was to be stopped"
    status=0
    "$QEMU_IMG" check -q disk.qcow2 || status=$?
    [ $status = 0 ] || [ $status = 3 ] || fail "qemu-img check: status $status"
    "$QEMU_IMG" compare -q before.raw disk.qcow2 || fail "another disk"
done
judge 101M

note "what cannot be done"
"$QEMU_IMG" create -q -f vmdk disk.vmdk 1M
expect_fail 1 "cannot be compacted in place" "$IMG" compact disk.vmdk
chmod 400 disk.qcow2
[ "$(id -u)" = 0 ] || expect_fail 1 "Permission denied" "$IMG" compact disk.qcow2
chmod 600 disk.qcow2
"$QEMU_IO" -f qcow2 -c 'sleep 3000' disk.qcow2 >/dev/null &
sleep 0.5
expect_fail 1 'Failed to get' "$IMG" compact disk.qcow2
wait
# Cluster 10 is in use, and its refcount says that it is not.
table=$((0x$(peek disk.qcow2 48 8)))
block=$((0x$(peek disk.qcow2 $table 8)))
poke disk.qcow2 $((block + 20)) 0000
cp disk.qcow2 old.qcow2
expect_fail 1 "refcount structures are damaged" "$IMG" compact disk.qcow2
same old.qcow2 disk.qcow2

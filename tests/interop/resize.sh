#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# resize, next to qemu-img's: smaller and larger again, with every preallocation; with snapshots,
# with a backing image. The disk must read as it should, both checks be clean, and the file no longer
# than qemu-img's.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"

# clean FILE...: both checkers find nothing at all.
clean() {
    for file; do
        "$IMG" check -q "$file" || fail "$file: img check: status $?"
        "$QEMU_IMG" check -q "$file" || fail "$file: qemu-img check: status $?"
    done
}

# zeros FILE FROM TO: the disk reads as zeros there.
zeros() {
    "$QEMU_IO" -r -c "read -P 0 $2 $(($3 - $2))" "$1" >zeros.txt
    ! grep -q failed zeros.txt || fail "$1: no zeros from $2 to $3"
}

length() {
    stat -c %s "$1"
}

layouts='cluster_size=64k cluster_size=512 cluster_size=4k,refcount_bits=1
    cluster_size=4k,refcount_bits=64 compat=0.10 compat=0.10,cluster_size=1k cluster_size=2M'

for options in $layouts; do
    note "smaller: $options"
    rm -f ours theirs
    "$QEMU_IMG" create -q -f qcow2 -o "$options" ours 64M
    "$QEMU_IO" -c 'write -P 1 0 4M' -c 'write -P 2 32M 1M' -c 'write -P 3 60M 100k' \
        -c 'write -z 40M 1M' ours >/dev/null
    cp ours theirs
    for size in 63963136 16777216 4195328 525312 512; do
        "$IMG" resize -q --shrink ours $size
        "$QEMU_IMG" resize -q --shrink theirs $size
        clean ours
        "$IMG" compare -q -s ours theirs || fail "$options: $size bytes hold something else"
        [ "$(length ours)" -le "$(length theirs)" ] ||
            fail "$options, $size: $(length ours) bytes, qemu-img has $(length theirs)"
        # What was lost does not come back. (With qemu-img the rest of a cluster does.)
        cp ours again
        "$IMG" resize -q again 64M
        clean again
        zeros again $size $((64 << 20))
    done
done

note "smaller: compressed clusters, one of which is cut"
seq 1000000 | head -c 4M >seq.raw
for options in cluster_size=64k cluster_size=4k,refcount_bits=2 compat=0.10; do
    rm -f ours
    "$QEMU_IMG" convert -c -f raw -O qcow2 -o "$options" seq.raw ours
    "$IMG" resize -q --shrink ours 1500160
    clean ours
    head -c 1500160 seq.raw >short.raw
    "$QEMU_IMG" compare -q ours -F raw short.raw || fail "the rest has changed"
    "$IMG" resize -q ours 3M
    truncate -s 3M short.raw
    "$QEMU_IMG" compare -q ours -F raw short.raw || fail "the new space is no zeros"
    clean ours
done

note "smaller: what a snapshot holds stays"
for options in cluster_size=64k cluster_size=512,refcount_bits=2; do
    rm -f ours snap.raw
    "$QEMU_IMG" create -q -f qcow2 -o "$options" ours 8M
    "$QEMU_IO" -c 'write -P 1 0 1M' -c 'write -P 2 5M 2M' ours >/dev/null
    "$QEMU_IMG" snapshot -c s1 ours
    "$QEMU_IO" -c 'write -P 3 6M 1M' ours >/dev/null
    "$IMG" resize -q --shrink ours 5308416
    clean ours
    "$QEMU_IMG" snapshot -a s1 ours
    "$IMG" info ours | grep -q '(8388608 bytes)' || fail "the snapshot's size is not what it was"
    "$QEMU_IO" -r -c 'read -P 1 0 1M' -c 'read -P 2 5M 2M' -c 'read -P 0 1M 4M' ours >read.txt
    ! grep failed read.txt || fail "the snapshot has changed"
    "$QEMU_IMG" snapshot -d s1 ours
    clean ours
done

note "larger: the VM state of a snapshot that was applied is no part of the disk"
for options in cluster_size=64k cluster_size=4k; do
    rm -f ours
    "$QEMU_IMG" create -q -f qcow2 -o "$options" ours 1M
    "$QEMU_IO" -c 'write -P 1 0 1M' -c 'write -b -P 2 0 512k' ours >/dev/null
    "$QEMU_IMG" snapshot -c s1 ours
    "$IMG" resize -q ours 2G
    clean ours
    zeros ours $((1 << 20)) $((2 << 30))
    "$QEMU_IO" -r -c 'read -P 1 0 1M' ours >read.txt
    ! grep failed read.txt || fail "the disk has changed"
    "$QEMU_IMG" snapshot -a s1 ours
    "$QEMU_IO" -r -c 'read -b -P 2 0 512k' ours >read.txt
    ! grep failed read.txt || fail "the snapshot's VM state has changed"
    "$IMG" resize -q --preallocation=metadata ours 1G
    clean ours
    zeros ours $((1 << 20)) $((1 << 30))
done

note "a disk of version 2 with snapshots keeps its size"
rm -f ours
"$QEMU_IMG" create -q -f qcow2 -o compat=0.10 ours 1M
"$QEMU_IMG" snapshot -c s1 ours
for size in 2M 512k; do
    expect_fail 1 "Can't resize a v2 image which has snapshots" "$IMG" resize --shrink ours $size
done
clean ours

note "not without being told to"
rm -f ours
"$QEMU_IMG" create -q -f qcow2 ours 1M
cp ours before
expect_fail 1 "Use the --shrink option" "$IMG" resize ours 512k
expect_fail 1 "Use the --shrink option" "$IMG" resize ours -- -512k
same ours before
"$IMG" resize -q --shrink ours -512k
"$IMG" resize -q ours +1M
"$IMG" info ours | grep -q '1572864 bytes' || fail "-512k +1M is not 1.5 MiB"

"$QEMU_IMG" create -q -f qcow2 base 4M
"$QEMU_IO" -c 'write -P 9 0 4M' base >/dev/null
for options in $layouts; do
    for mode in off metadata falloc full; do
        note "larger, $mode: $options"
        rm -f ours theirs
        "$QEMU_IMG" create -q -f qcow2 -o "$options" ours 2100k
        "$QEMU_IO" -c 'write -P 1 0 1M' ours >/dev/null
        cp --sparse=always ours theirs
        "$IMG" resize -q --preallocation=$mode ours 9M
        "$QEMU_IMG" resize -q --preallocation=$mode theirs 9M
        clean ours
        "$QEMU_IMG" compare -q ours theirs || fail "they differ"
        # Where refcount blocks are small, their places differ.
        [ "$(length ours)" -le $(($(length theirs) * 1001 / 1000)) ] ||
            fail "$(length ours) bytes, qemu-img has $(length theirs)"
        "$QEMU_IMG" map --output=json ours | grep '"start": [2-9][0-9]\{6\},' >map.txt || :
        case $mode in
        off) ! grep -q '"data": true' map.txt || fail "allocated: $(cat map.txt)" ;;
        *) ! grep -q '"data": false' map.txt || fail "not allocated: $(cat map.txt)" ;;
        esac
        case $mode in
        falloc | full)
            [ "$(stat -c %b ours)" -ge $((6900 * 2)) ] || fail "no space was set aside"
            ;;
        esac
        rm -f ours
        "$QEMU_IMG" create -q -f qcow2 -o "$options" -b base -F qcow2 ours 2100k
        "$IMG" resize -q --preallocation=$mode ours 9M
        clean ours
        zeros ours $((2100 << 10)) $((9 << 20))
        "$QEMU_IO" -r -c "read -P 9 0 2100k" ours >read.txt
        ! grep failed read.txt || fail "the backing image does not show through"
    done
done

note "raw"
for mode in off falloc full; do
    rm -f ours
    head -c 100000 seq.raw >ours
    "$IMG" resize -q -f raw --preallocation=$mode ours 4M
    [ "$(length ours)" = $((4 << 20)) ] || fail "$mode: $(length ours) bytes"
    [ $mode = off ] || [ "$(stat -c %b ours)" -ge 8192 ] || fail "$mode: no space was set aside"
    cmp -n 100000 ours seq.raw || fail "$mode: changed"
    "$IMG" resize -q -f raw --shrink ours 50000
    cmp ours <(head -c 50000 seq.raw) || fail "$mode: not cut off"
done
expect_fail 1 "Unsupported preallocation mode: metadata" \
    "$IMG" resize -f raw --preallocation=metadata ours 8M

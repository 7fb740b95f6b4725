#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A conversion that dies half-way: the old file of the target's name is
# untouched, and where there was none there is none.
. "$(dirname "$0")/../lib.sh"

size=$((64 << 20))
seq 1 20000000 | head -c $size >disk.raw

# start TARGET ARGUMENT...: a conversion that would take half a minute; sets pid.
start() {
    local target=$1
    shift
    "$IMG" convert -r 2M -f raw "$@" disk.raw "$target" &
    pid=$!
    sleep 0.7
    kill -0 $pid || fail "the conversion ended by itself"
}

for format in raw qcow2 vdi vpc vhdx vmdk "vmdk -o subformat=streamOptimized" "vmdk -o subformat=monolithicFlat"; do
    for signal in KILL TERM; do
        note "$format, SIG$signal"
        echo "the old file" >target
        start target -O $format
        [ "$(cat target)" = "the old file" ] || fail "the target is touched before it is complete"
        kill -$signal $pid
        wait $pid && fail "it was to be killed"
        [ "$(cat target)" = "the old file" ] || fail "the old file is gone"

        rm target
        start target -O $format
        kill -$signal $pid
        wait $pid && fail "it was to be killed"
        [ ! -e target ] || fail "a half-written file has the target's name"
        [ ! -e target-flat.vmdk ] || fail "a half-written extent has its name"
    done
done

note "the first pieces of a target that cannot be finished"
mkdir full
echo "the old file" >full/target
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=8M tmpfs full 2>/dev/null; then
    trap 'cd /; umount "$test_dir/full"; rm -rf "$test_dir"' EXIT
    echo "the old file" >full/target
    expect_fail 1 "No space left" "$IMG" convert -f raw -O qcow2 disk.raw full/target
    [ "$(cat full/target)" = "the old file" ] || fail "the old file is gone"
    [ "$(ls -A full)" = target ] || fail "something was left behind: $(ls -A full)"
fi

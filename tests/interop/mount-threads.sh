#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# imgmount while many use it at once: the files that eight of them read are the
# right ones, and what several write to parts of a disk is there. Built with
# ThreadSanitizer, it must have nothing to say.

. "$(dirname "$0")/../lib.sh"
need_fuse
need sha256sum
export TSAN_OPTIONS="${TSAN_OPTIONS:-} log_path=$test_dir/races"
trap 'fusermount3 -u -q -z "$test_dir/dir" || :; rm -rf "$test_dir"' EXIT
mkdir dir

# show OPTION...: mount, with a process that can be waited for.
show() {
    imgmount --pid-file pid "$@" dir || fail "imgmount $*: status $?"
}

hide() {
    fusermount3 -u dir
    while kill -0 "$(cat pid)" 2>/dev/null; do sleep 0.05; done
    cat races* 2>/dev/null && fail "threads race"
    return 0
}

# digests DIR: of all files in it.
digests() (
    cd "$1"
    find . -type f -print0 | sort -z | xargs -0 sha256sum
)

note "files"
mkdir root
for n in {1..300}; do
    mkdir -p root/$((n % 20))
    seq "$n" $((n * 20)) >root/$((n % 20))/$n
done
head -c 5M /dev/urandom >root/large
truncate -s 3M root/hole
mke2fs -q -t ext4 -d root disk.raw 32M
"$QEMU_IMG" convert -c -O qcow2 disk.raw disk.qcow2
digests root >expected
[ "$(wc -l <expected)" = 302 ] || fail "there are not the files that were made"
show disk.qcow2
for n in {1..8}; do digests dir >"digests.$n" & done
wait
for n in {1..8}; do same expected "digests.$n"; done
hide

# several FORMAT: each writes to its part of the disk while others read it.
several() {
    show --blocks --rw -f "$1" image
    for n in {0..7}; do
        dd if=content of=dir/disk bs=64k skip=$((n * 32)) seek=$((n * 64)) count=32 \
            conv=notrunc status=none &
        writers[n]=$!
        dd if=dir/disk of=/dev/null bs=256k iflag=skip_bytes skip=$((n << 22)) status=none &
        readers[n]=$!
    done
    wait "${writers[@]}" "${readers[@]}"
    for n in {0..7}; do
        cmp -n 2097152 -i "$((n << 22)):$((n << 21))" dir/disk content || fail "part $n differs"
        cmp -n 2097152 -i "$(((n << 22) + 2097152)):0" dir/disk /dev/zero || fail "no hole behind part $n"
    done
    fallocate -p -o 0 -l 2M dir/disk &
    fallocate -p -o 4M -l 2M dir/disk &
    wait
    cmp -n 8388608 dir/disk /dev/zero || fail "a punched hole is not zeros"
    hide
    [ "$1" = raw ] || "$QEMU_IMG" check -q image || fail "qemu-img check: status $?"
}

seq 4000000 | head -c 64M | dd of=content bs=1M iflag=fullblock count=16 status=none
for format in raw qcow2; do
    note "blocks of $format"
    rm -f image
    "$IMG" create -q -f $format image 64M
    several $format
done

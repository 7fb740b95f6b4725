#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# imgmount --blocks: the disk, its partitions and its snapshots are files with the bytes that
# qemu-img sees; with --rw what is written is in the image.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO" sfdisk mke2fs e2fsck fusermount3
MNT=$builddir/fuse/imgmount
[ -x "$MNT" ] || skip "imgmount is not built"
[ -w /dev/fuse ] || skip "there is no /dev/fuse"

mkdir dir
trap 'fusermount3 -u -q -z "$test_dir/dir" || true; rm -rf "$test_dir"' EXIT

# show OPTION...: mount, with a process that can be waited for.
show() {
    "$MNT" --blocks --pid-file pid "$@" dir || fail "imgmount $*: status $?"
    pid=$(cat pid)
}

# gone: it has written everything out and ended.
gone() {
    while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
}

hide() {
    fusermount3 -u dir
    gone
}

# sum FILE [OFFSET SIZE]: its digest, or that of a part in sectors of 512 bytes.
sum() {
    if [ $# = 1 ]; then
        sha256sum <"$1"
    else
        dd if="$1" bs=512 skip="$2" count="$3" status=none | sha256sum
    fi
}

# judge DIRECTORY RAW: the files there are that disk, with p1 and p2.
judge() {
    [ "$(sum "$1/disk")" = "$(sum "$2")" ] || fail "$1/disk differs"
    [ "$(sum "$1/p1")" = "$(sum "$2" 2048 65536)" ] || fail "$1/p1 differs"
    [ "$(sum "$1/p2")" = "$(sum "$2" 67584 40960)" ] || fail "$1/p2 differs"
}

truncate -s 64M disk.raw
sfdisk -q disk.raw <<'TABLE'
label: gpt
start=2048, size=65536
start=67584, size=40960
TABLE
mke2fs -q -t ext4 -E offset=1048576 disk.raw 32M
"$QEMU_IO" -f raw -c 'write -P 5 40M 3M' disk.raw >/dev/null

for format in raw qcow2 vmdk vdi; do
    note "$format"
    "$QEMU_IMG" convert -O $format disk.raw image
    show -f $format image
    [ "$(ls dir | tr '\n' ' ')" = "disk p1 p2 " ] || fail "it shows $(ls dir)"
    judge dir disk.raw
    e2fsck -fn dir/p1 >e2fsck.txt 2>&1 || fail "e2fsck: $(cat e2fsck.txt)"
    # Data at 40 MiB is between holes; what is copied has them.
    cp --sparse=auto dir/disk copy.raw
    same disk.raw copy.raw
    [ "$(du -k copy.raw | cut -f1)" -lt 20000 ] || fail "a copy takes $(du -k copy.raw) KiB"
    [ "$(du -k dir/disk | cut -f1)" -lt 20000 ] || fail "the disk seems to take $(du -k dir/disk)"
    expect_fail 1 "Read-only file system" dd if=/dev/zero of=dir/disk bs=512 count=1 conv=notrunc
    expect_fail 1 "Read-only file system" touch dir/new
    expect_fail 1 "Read-only file system" rm -f dir/disk
    hide
done

note "snapshots"
"$QEMU_IMG" convert -O qcow2 disk.raw image
for name in plain 'a/b' '100%' .. twice twice; do
    "$QEMU_IMG" snapshot -c "$name" image
    "$QEMU_IO" -f qcow2 -c 'write -P 9 45M 64k' image >/dev/null
done
"$QEMU_IMG" convert -O raw image now.raw
show image
printf '%s\n' '%2E%2E' '100%25' 'a%2Fb' plain twice 'twice~6' >names
ls dir/snapshots >found
same names found
judge dir now.raw
judge dir/snapshots/plain disk.raw
judge dir/snapshots/twice~6 now.raw
hide
note "snapshots of one name and one id"
cp image same
for n in 7 8 9; do
    "$QEMU_IMG" snapshot -c same same
done
for place in $(LC_ALL=C grep -abo '[89]same' same | cut -d: -f1); do
    poke same "$place" 37
done
show same
(cd dir/snapshots && ls -d same*) >found
printf '%s\n' same same~7 same~7~1 >names
same names found
hide
show --snapshot plain image
[ ! -e dir/snapshots ] || fail "a snapshot has snapshots"
judge dir disk.raw
hide

note "--rw: what is written is in the image, and not in its snapshots"
show --rw image
mke2fs -q -F -t ext4 -d "$srcdir/formats" dir/p2 2>mke2fs.txt || fail "mke2fs: $(cat mke2fs.txt)"
printf 'both see it' | dd of=dir/p1 bs=1 seek=4096 conv=notrunc status=none
[ "$(dd if=dir/disk bs=1 skip=$((1048576 + 4096)) count=11 status=none)" = "both see it" ] ||
    fail "the disk does not show what was written to p1"
expect_fail 1 "No space left" dd if=/dev/zero of=dir/p2 bs=512 seek=40960 count=1 conv=notrunc
expect_fail 1 "not permitted" truncate -s 1M dir/disk
for directory in dir dir/snapshots dir/snapshots/plain; do
    expect_fail 1 "not permitted" touch $directory/new
    expect_fail 1 "not permitted" mkdir $directory/new
    expect_fail 1 "not permitted" ln -s x $directory/new
done
expect_fail 1 "not permitted" ln dir/disk dir/new
expect_fail 1 "not permitted" rm -f dir/disk
expect_fail 1 "not permitted" rmdir dir/snapshots
expect_fail 1 "not permitted" mv dir/p1 dir/p3
expect_fail 1 "Read-only file system" dd if=/dev/zero of=dir/snapshots/plain/disk count=1 conv=notrunc
fallocate -p -o 45M -l 1M dir/disk
judge dir/snapshots/plain disk.raw
sum dir/disk >before
hide
"$QEMU_IMG" check -q image || fail "qemu-img check: status $?"
"$QEMU_IMG" convert -O raw image after.raw
sum after.raw >after
same before after
"$QEMU_IO" -f raw -c 'read -P 0 45M 1M' after.raw >io.txt
! grep -q 'failed' io.txt || fail "a punched hole is not zeros"
dd if=after.raw of=p2.raw bs=512 skip=67584 count=40960 status=none
e2fsck -fn p2.raw >e2fsck.txt 2>&1 || fail "e2fsck: $(cat e2fsck.txt)"
"$QEMU_IMG" convert -l plain -O raw image old.raw
same disk.raw old.raw

note "ended by a signal while somebody writes: what was synced is there"
show --rw image
seq 1000000 | head -c 1M >text
dd if=text of=dir/p2 bs=64k conv=notrunc,fsync status=none
(while dd if=/dev/urandom of=dir/p2 bs=64k seek=32 count=64 conv=notrunc,nocreat status=none; do :; done) 2>/dev/null &
writer=$!
sleep 0.3
kill -TERM "$pid"
gone
wait $writer || true
"$QEMU_IMG" check -q image || fail "qemu-img check: status $?"
"$QEMU_IMG" convert -O raw image after.raw
dd if=after.raw of=synced bs=512 skip=67584 count=2048 status=none
same text synced

note "what cannot be"
expect_fail 1 "shows one image" "$MNT" --blocks -a image -a disk.raw dir
expect_fail 1 "--rw needs --blocks" "$MNT" --rw image dir

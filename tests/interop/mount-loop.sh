#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# imgmount --blocks below a loop device: the kernel makes a filesystem's home of a partition in an
# image, reads it, writes to it, and gives its space back.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" sfdisk mkfs.ext4 e2fsck losetup fusermount3
MNT=$builddir/fuse/imgmount
[ -x "$MNT" ] || skip "imgmount is not built"
[ "$(id -u)" = 0 ] || skip "only root can use loop devices"
[ -w /dev/fuse ] || skip "there is no /dev/fuse"

mkdir dir kernel
loop=
clean() {
    umount -q kernel || true
    [ -z "$loop" ] || losetup -d "$loop" || true
    fusermount3 -u -q -z dir || true
    cd /
    rm -rf "$test_dir"
}
trap clean EXIT

show() {
    "$MNT" --blocks --pid-file pid "$@" image dir || fail "imgmount $*: status $?"
}

hide() {
    fusermount3 -u dir
    while kill -0 "$(cat pid)" 2>/dev/null; do sleep 0.05; done
}

"$QEMU_IMG" create -q -f qcow2 image 256M
show --rw
printf 'label: gpt\nsize=200M\n' | sfdisk -q dir/disk
hide

show --rw
[ "$(stat -c %s dir/p1)" = $((200 << 20)) ] || fail "p1 is not what sfdisk made"
mkfs.ext4 -q dir/p1
loop=$(losetup -f --show dir/p1) || skip "there are no loop devices"
mount "$loop" kernel || skip "nothing can be mounted here"
cp -r "$srcdir/formats" "$srcdir/libimg" kernel/
head -c 64M /dev/urandom >kernel/large
sync -f kernel
full=$(stat -c %b image)
rm kernel/large
sync -f kernel # what has been removed is free
fstrim kernel 2>fstrim.txt || grep -q 'not supported' fstrim.txt || fail "fstrim: $(cat fstrim.txt)"
umount kernel
losetup -d "$loop"
loop=
e2fsck -fn dir/p1 >e2fsck.txt 2>&1 || fail "e2fsck: $(cat e2fsck.txt)"
hide
"$QEMU_IMG" check -q image || fail "qemu-img check: status $?"
[ -s fstrim.txt ] || [ "$(stat -c %b image)" -lt $((full - 60 * 2048)) ] || fail "no space was given back"

show
e2fsck -fn dir/p1 >e2fsck.txt 2>&1 || fail "e2fsck: $(cat e2fsck.txt)"
loop=$(losetup -r -f --show dir/p1)
mount -o ro,noload "$loop" kernel
diff -r "$srcdir/formats" kernel/formats || fail "the files differ"
diff -r "$srcdir/libimg" kernel/libimg || fail "the files differ"
umount kernel
losetup -d "$loop"
loop=
hide

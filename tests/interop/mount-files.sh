#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What imgmount shows is what a kernel shows that mounts the same filesystem: all
# that stat(2) tells, extended attributes, content and holes, of a filesystem with
# odd files and of a Debian guest. Raw and qcow2, now and in a snapshot.

. "$(dirname "$0")/../lib.sh"
need getfattr setfattr losetup sha256sum xfs_io sfdisk mkfs.vfat
need_fuse
[ "$(id -u)" = 0 ] || skip "only root can let the kernel mount an image"
trap 'umount -l kernel ours 2>/dev/null || :; rm -rf "$test_dir"' EXIT
mkdir kernel ours

# by_kernel FILE OFFSET SIZE: mount that part of a raw image on kernel/.
by_kernel() {
    mount -o "ro,noload,loop,offset=$2,sizelimit=$3" "$1" kernel 2>mount.err ||
        skip "the kernel cannot mount it here: $(cat mount.err)"
}

# describe DIR: all that can be known of its files but their content.
describe() (
    cd "$1"
    find . -printf '%p %y %m %n %U %G %s %b %T@ %C@ %i %l\0' | sort -z | tr '\0' '\n'
    find . \( -type b -o -type c \) -exec stat -c '%n %t %T' {} + | sort
    find . -print0 | sort -z | xargs -0 getfattr -h -d -m - -e hex 2>/dev/null || :
    stat -f -c '%s %S %b %f %a %c %d %l' .
)

# contents DIR: digests of all regular files.
contents() (
    cd "$1"
    find . -type f -print0 | sort -z | xargs -0 sha256sum -z | tr '\0' '\n'
)

# as_kernel: ours/ must show what kernel/ shows.
as_kernel() {
    local what
    for what in describe contents; do
        "$what" kernel >kernel.list
        "$what" ours >ours.list
        [ "$(wc -l <kernel.list)" -gt 5 ] || fail "$what found nothing"
        diff kernel.list ours.list | head -20 >differences
        [ ! -s differences ] || fail "$what: $(cat differences)"
    done
}

note "a filesystem with odd files, behind a partition table"
mkdir -p root/etc root/deep root/many
path=root/deep
for n in {1..60}; do path=$path/d$n; done
mkdir -p "$path" && echo deep >"$path/file"
(cd root/many && seq -f 'a file with a rather long name, number %05g' 3000 | xargs -d '\n' touch)
printf 'odd' >root/$'line\nfeed' && printf 'odd' >root/$'not\xffutf8'
touch "root/$(printf 'x%.0s' {1..255})"
ln root/etc root/hard 2>/dev/null || ln root/$'line\nfeed' root/hard
ln -s /etc/passwd root/absolute && ln -s "$(printf 'y%.0s' {1..200})" root/long
ln -s ../../../.. root/up
mkfifo root/fifo && mknod root/null c 1 3 && mknod root/disk b 8 1
truncate -s 3M root/sparse && printf 'x' | dd of=root/sparse bs=1 seek=1M conv=notrunc status=none
setfattr -n user.comment -v text root/etc && setfattr -n user.big -v "$(seq 300)" root/sparse
head -c 5000000 /dev/urandom >root/random
chmod 4755 root/random && chown 1000:1001 root/random root/etc
touch -d '1969-01-02 03:04:05.123456789' root/etc
mke2fs -q -t ext4 -b 4096 -d root fs.img 64M
truncate -s 80M disk.raw
printf '2048,131072\n133120,16384,U\n' | sfdisk -q --label gpt disk.raw
dd if=fs.img of=disk.raw bs=1M seek=1 conv=notrunc,sparse status=none
truncate -s 8M efi.img && mkfs.vfat efi.img >/dev/null
dd if=efi.img of=disk.raw bs=1M seek=65 conv=notrunc,sparse status=none
by_kernel disk.raw 1048576 67108864
imgmount -m /dev/sda1 disk.raw ours
as_kernel

note "what is open to nobody, and what is not there"
expect_fail 1 "Permission denied" cat ours/null
expect_fail 1 "Permission denied" cat ours/disk
expect_fail 1 "Read-only file system" touch ours/new
expect_fail 1 "Read-only file system" rm ours/random
expect_fail 1 "No such file or directory" cat ours/none
expect_fail 1 "No such attribute" getfattr -n user.none ours/etc
[ ours/hard -ef ours/$'line\nfeed' ] || fail "a hard link is not the same file"

note "holes are where the kernel has them"
for place in 0 1048575 1048576 1048577 1200000 2097152 3145727; do
    for kind in d h; do
        for side in kernel ours; do
            xfs_io -r -c "seek -$kind $place" "$side/sparse" >"$side.seek" 2>&1
        done
        same kernel.seek ours.seek
    done
done
dd if=ours/sparse of=copy bs=1 skip=1048570 count=20 status=none
same <(dd if=kernel/sparse bs=1 skip=1048570 count=20 status=none) copy
umount ours kernel

note "two filesystems, and other formats"
"$QEMU_IMG" convert -O qcow2 disk.raw disk.qcow2
imgmount -m /dev/sda1 -m /dev/sda2:/etc disk.qcow2 ours
[ "$(stat -f -c %T ours)" = fuseblk ] || [ "$(stat -f -c %T ours)" = fuse ] || fail "no FUSE"
[ "$(stat -c %i ours/etc)" != "$(stat -c %i ours)" ] || fail "one number for two files"
cmp ours/random root/random || fail "random"
umount ours

note "a snapshot"
"$QEMU_IMG" snapshot -c before disk.qcow2
imgmount -m /dev/sda1 disk.qcow2 ours && umount ours
"$QEMU_IO" -c 'write -P 0 1M 2M' disk.qcow2 >/dev/null
expect_fail 1 "/dev/sda1" imgmount -m /dev/sda1 disk.qcow2 ours
by_kernel disk.raw 1048576 67108864
imgmount --snapshot before -m /dev/sda1 disk.qcow2 ours
as_kernel
umount ours kernel

note "many readers at once"
imgmount -m /dev/sda1 disk.raw ours
for n in {1..8}; do contents ours >"readers.$n" & done
wait
for n in {2..8}; do same readers.1 "readers.$n"; done
[ "$(wc -l <readers.1)" -gt 3000 ] || fail "files are missing"
"$IMG" umount ours

note "a Debian guest"
guest_image
by_kernel "$guest_image" $((133120 * 512)) $((20836352 * 512))
imgmount "$guest_image" ours
[ -e ours/boot/efi ] && umount ours && imgmount -m /dev/sda2 "$guest_image" ours
as_kernel
umount ours kernel

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# img inspect of what looks like Windows: an NTFS that ntfs-3g has filled, and an EFI system
# partition that mtools have.

. "$(dirname "$0")/../lib.sh"
need sfdisk mkfs.vfat mmd mcopy mkntfs ntfs-3g fusermount3 jq
[ -c /dev/fuse ] && [ -w /dev/fuse ] || skip "there is no /dev/fuse"

# A program as far as it is looked at: the head of PE, a section .rsrc, a version in it.
# Kernel 10.0, build 19041 (0x4a61).
head -c 1024 /dev/zero >kernel
poke kernel 0 4d5a
poke kernel 0x3c 80000000
poke kernel 0x80 5045000064860100
poke kernel 0x94 1000
poke kernel $((0x80 + 24 + 16)) 2e7273726300000000010000001000000001000000020000
poke kernel $((0x200 + 40)) bd04effe0000010000000a000100614a

truncate -s 32M ntfs
mkntfs -F -q -L System ntfs >mkntfs.out 2>&1 || fail "mkntfs: $(cat mkntfs.out)"
mkdir dir
ntfs-3g ntfs dir || skip "ntfs-3g cannot mount here"
mkdir -p dir/WINDOWS/system32/config dir/Users
cp kernel dir/WINDOWS/system32/NTOSKRNL.EXE
echo x >dir/bootmgr
fusermount3 -u dir || umount dir

truncate -s 4M esp
mkfs.vfat esp >/dev/null
mmd -i esp ::/EFI ::/EFI/Microsoft ::/EFI/Microsoft/Boot
mcopy -i esp kernel ::/EFI/Microsoft/Boot/bootmgfw.efi

truncate -s 40M disk.img
printf 'start=2048,size=8192,type=uefi\nstart=10240,size=65536,type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7\n' |
    sfdisk -q -X gpt disk.img
dd if=esp of=disk.img bs=1M seek=1 conv=notrunc status=none
dd if=ntfs of=disk.img bs=1M seek=5 conv=notrunc status=none

"$IMG" inspect --output=json disk.img >json
is() {
    local got
    got=$(jq -r ".operatingsystems[0] | $1" json)
    [ "$got" = "$2" ] || fail "$1 is '$got', not '$2'"
}
is '[.root, .name, .distro, .arch] | join(",")' /dev/sda2,windows,windows,x86_64
is '[.major_version, .minor_version, .build_id] | map(tostring) | join(",")' 10,0,19041
is '[.boot_loaders[] | (.dev // "") + .path] | join(",")' \
    /bootmgr,/dev/sda1/EFI/Microsoft/Boot/bootmgfw.efi

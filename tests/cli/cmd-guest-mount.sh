#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Which filesystems are seen: fstab, -m, -a, --root, --snapshot; what is wrong
# with them is told.

. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/guest.bash"
need mke2fs sfdisk jq

mkdir -p root/etc root/srv root/home root/mnt data/deep
echo 'NAME=Test' >root/etc/os-release
cat >root/etc/fstab <<'END'
# comment
LABEL=root / ext4 defaults 0 1
UUID=AAAAAAAA-2222-3333-4444-555555555555 /srv ext4 defaults 0 2
/dev/vdb /home ext4 defaults 0 2
LABEL=missing /mnt ext4 defaults 0 2
LABEL=removable /media auto noauto 0 0
/dev/sda9 swap swap sw 0 0
END
echo root >root/srv/covered
echo root >root/home/own
echo data >data/deep/file
ext4_of root root.raw -L root
ext4_of data data.raw -L data -U aaaaaaaa-2222-3333-4444-555555555555
truncate -s 140M disk.raw
sfdisk -q disk.raw <<'END'
label: gpt
start=2048, size=131072
start=133120, size=131072
END
dd if=root.raw of=disk.raw bs=1M seek=1 conv=notrunc status=none
dd if=data.raw of=disk.raw bs=1M seek=65 conv=notrunc status=none

# fstab, where a UUID may be written in either case
"$IMG" ls disk.raw / >names.txt 2>warnings.txt
grep -q 'warning: LABEL=missing is not mounted at /mnt: no such device' warnings.txt ||
    fail "no warning: $(cat warnings.txt)"
! grep -q removable warnings.txt || fail "a warning of what need not be there"
[ -z "$("$IMG" ls -q disk.raw / 2>&1 >/dev/null)" ] || fail "-q is not quiet"
[ "$("$IMG" cat -q disk.raw /srv/deep/file)" = data ] || fail "the filesystem of fstab"
expect_fail 1 "/srv/covered: No such file" "$IMG" cat -q disk.raw /srv/covered
[ "$("$IMG" cat -q disk.raw /srv/../home/own)" = root ] || fail ".. out of a mount"
"$IMG" find -q disk.raw / -name file | grep -qx /srv/deep/file || fail "find does not go into it"
! "$IMG" find -q disk.raw / -xdev -name file | grep . || fail "-xdev does"

# A list does not open what is mounted on the directories in it; who says -m has it open.
[ "$("$IMG" ls -q --output=json disk.raw / | jq -r '.[] | select(.path == "/srv").inode')" != 2 ] ||
    fail "a list shows what is mounted there"
[ "$("$IMG" ls --output=json -m /dev/sda1 -m /dev/sda2:/srv disk.raw / |
    jq -r '.[] | select(.path == "/srv").inode')" = 2 ] || fail "a list hides what is mounted"

# Two disks.
cp --sparse=always data.raw second.raw
[ "$("$IMG" cat -q -a disk.raw -a second.raw /home/deep/file)" = data ] || fail "the second disk"
[ "$("$IMG" cat -q -a disk.raw -a second.raw -m /dev/sdb /deep/file)" = data ] || fail "-m /dev/sdb"

# -m
[ "$("$IMG" cat -m /dev/sda1 disk.raw /srv/covered)" = root ] || fail "-m mounts what is in fstab"
[ "$("$IMG" cat -m LABEL=root -m /dev/sda2:/mnt:ro:ext4 disk.raw /mnt/deep/file)" = data ] ||
    fail "-m at a directory"
expect_fail 1 "no such device" "$IMG" ls -m /dev/sdx disk.raw
expect_fail 1 "nothing is mounted at / yet" "$IMG" ls -m /dev/sda2:/mnt disk.raw
expect_fail 1 "/none: No such file" "$IMG" ls -m /dev/sda1 -m /dev/sda2:/none disk.raw
expect_fail 1 "cannot be combined" "$IMG" ls -i -m /dev/sda1 disk.raw

# No operating system, or two.
[ "$("$IMG" cat data.raw /deep/file)" = data ] || fail "the only filesystem"
expect_fail 1 "no operating system" "$IMG" ls -i data.raw
truncate -s 140M plain.raw
sfdisk -q plain.raw <<'END'
label: dos
start=2048, size=131072, type=83
start=133120, size=131072, type=83
END
dd if=data.raw of=plain.raw bs=1M seek=1 conv=notrunc status=none
dd if=data.raw of=plain.raw bs=1M seek=65 conv=notrunc status=none
expect_fail 1 "/dev/sda1 (ext4), /dev/sda2 (ext4)" "$IMG" ls plain.raw
dd if=root.raw of=plain.raw bs=1M seek=1 conv=notrunc status=none
dd if=root.raw of=plain.raw bs=1M seek=65 conv=notrunc status=none
expect_fail 1 "choose one with --root" "$IMG" ls plain.raw
"$IMG" ls -q --root /dev/sda2 plain.raw | grep -qx etc || fail "--root"

# An internal snapshot, another format, and a link that leads out of the mounted tree.
"$IMG" convert -O qcow2 root.raw disk.qcow2
"$IMG" snapshot -c before disk.qcow2
mkdir later
echo later >later/file
ext4_of later later.raw
"$IMG" io -c "write -s later.raw 0 64M" disk.qcow2 >/dev/null
[ "$("$IMG" cat disk.qcow2 /file)" = later ] || fail "the disk as it is"
[ "$("$IMG" cat -q --snapshot=before disk.qcow2 /home/own)" = root ] || fail "--snapshot"
expect_fail 1 "snapshot" "$IMG" ls --snapshot=none disk.qcow2
"$IMG" create -q -f qcow2 -b data.raw -F raw overlay.qcow2
[ "$("$IMG" cat overlay.qcow2 /deep/file)" = data ] || fail "an overlay"
expect_fail 1 "forbids" "$IMG" cat --untrusted overlay.qcow2 /deep/file
[ "$("$IMG" cat --untrusted data.raw /deep/file)" = data ] || fail "--untrusted"

# The disks of an appliance are those of one machine.
cat >machine.ovf <<'OVF'
<Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"><References>
<File ovf:id="a" ovf:href="root.raw"/><File ovf:id="b" ovf:href="data.raw"/></References>
<DiskSection><Disk ovf:diskId="x" ovf:fileRef="a"/><Disk ovf:diskId="y" ovf:fileRef="b"/></DiskSection>
</Envelope>
OVF
tar -cf machine.ova machine.ovf root.raw data.raw
if ! "$IMG" info machine.ovf 2>&1 | grep -q libxml2-dev; then
    [ "$("$IMG" cat -q machine.ova /srv/deep/file)" = data ] || fail "the second disk of an appliance"
    [ "$("$IMG" cat -m /dev/sda --disk=y machine.ova /deep/file)" = data ] || fail "one that is named"
    [ "$("$IMG" cat -m /dev/sdc -a machine.ova -a second.raw /deep/file)" = data ] ||
        fail "a disk behind an appliance"
fi

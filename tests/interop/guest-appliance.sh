#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What only libguestfs's appliance reads: XFS with a journal that is to be replayed, btrfs, LVM over
# two disks, LVM in LUKS, RAID; and files copied into a guest. A start takes 20 seconds without KVM,
# so there are as few as possible.
. "$(dirname "$0")/../lib.sh"
need guestfish mkfs.xfs xfs_logprint mke2fs e2fsck debugfs setfattr
grep -q '^#define HAVE_GUESTFS 1' "$builddir/config.h" || skip "built without libguestfs"
: "${LIBGUESTFS_BACKEND_SETTINGS:=force_tcg}"
export LIBGUESTFS_BACKEND_SETTINGS

note "what is to be found"
mkdir -p files/sub files/many files/btrfs files/lvm files/luks files/raid
echo hello >files/hello
ln files/hello files/hard
ln -s ../hello files/sub/link
mkfifo files/fifo
printf x >"files/$(printf 'new\nline')"
printf y >"files/$(printf 'no\377utf')"
seq 1 500000 >files/sub/big
truncate -s 9M files/sub/sparse
echo end >>files/sub/sparse
(cd files/many && seq 1 1200 | xargs touch)
chmod 4711 files/sub/big
[ "$(id -u)" != 0 ] || {
    chown 1000:50 files/hello
    mknod files/null c 1 3
}
touch -d '2001-02-03 04:05:06 UTC' files/hello
setfattr -n user.comment -v 'some words' files/hello
tar --xattrs --sparse -cf files.tar -C files .

# expected PREFIX: the lines of img ls for all of it but the directories.
expected() {
    local kind mode size uid gid path sum target
    (cd files && find . ! -type d -printf '%y %m %s %U %G %P\0') |
        while IFS=' ' read -r -d '' kind mode size uid gid path; do
            sum='' target=''
            case $kind in
            f)
                kind=-
                sum=$(sha256sum <"files/$path")
                sum=${sum%% *}' '
                ;;
            l) target=" -> $(readlink "files/$path")" ;;
            *) size=0 ;;
            esac
            printf '%s %04d %10s %4s %4s %s%s\n' "$kind" "$mode" "$size" "$uid" "$gid" "$sum" \
                "$1/$path$target"
        done
}
expected '' >one
for prefix in '' /btrfs /lvm /luks /raid; do
    sed "s|^\([^/]* \)/|\1$prefix/|" one
done | sort >expected

note "two disks"
truncate -s 1000M one.raw
truncate -s 200M two.raw
truncate -s 350M xfs.raw
mkfs.xfs -q -L here xfs.raw
guestfish --keys-from-stdin <<'END' || fail "guestfish"
add one.raw format:raw
add two.raw format:raw
add xfs.raw format:raw
run
part-init /dev/sda gpt
part-add /dev/sda p 2048 718847
part-add /dev/sda p 718848 1128447
part-add /dev/sda p 1128448 1333247
part-add /dev/sda p 1333248 1740799
part-add /dev/sda p 1740800 1843199
part-add /dev/sda p 1843200 -2049
mkmountpoint /all
mount /dev/sdc /all
tar-in files.tar /all xattrs:true
sync
copy-device-to-device /dev/sdc /dev/sda1 size:367001600 sparse:true
umount /all
mkfs btrfs /dev/sda2 label:both
pvcreate /dev/sda3
pvcreate /dev/sdb
vgcreate OUTER "/dev/sda3 /dev/sdb"
lvcreate root OUTER 200
mkfs ext4 /dev/OUTER/root label:spans
luks-format /dev/sda4 0
sesame
cryptsetup-open /dev/sda4 opened
sesame
pvcreate /dev/mapper/opened
vgcreate INNER /dev/mapper/opened
lvcreate home INNER 100
mkfs ext4 /dev/INNER/home label:secret
md-create stripes "/dev/sda5 /dev/sda6" level:raid0
mkfs ext4 /dev/md/stripes label:striped
mount /dev/sda2 /all
tar-in files.tar /all xattrs:true
btrfs-subvolume-create /all/@
btrfs-subvolume-create /all/@home
mkdir /all/@/etc
mkdir /all/@/home
mkdir /all/@/secret
write /all/@/etc/fstab "LABEL=both /home btrfs noatime,subvol=@home 0 0\n/dev/INNER/home /secret ext4\n"
write /all/@/etc/os-release "NAME=there\n"
write /all/@home/me "at home\n"
umount /all
mount /dev/OUTER/root /all
tar-in files.tar /all xattrs:true
umount /all
mount /dev/INNER/home /all
tar-in files.tar /all xattrs:true
umount /all
mount /dev/md/stripes /all
tar-in files.tar /all xattrs:true
umount /all
END
dd if=one.raw of=xfs.raw bs=1M skip=1 count=350 conv=sparse status=none
xfs_logprint -t xfs.raw >log.out 2>&1
grep -q DIRTY log.out || fail "nothing is to be replayed: $(cat log.out)"
rm xfs.raw
"$IMG" convert -q -O qcow2 -c one.raw one.qcow2
rm one.raw

note "is read as it is"
echo sesame >key
"$IMG" ls --key all:file:key -a one.qcow2 -a two.raw -m /dev/sda1 -m /dev/sda2:/btrfs \
    -m btrfsvol:/dev/sda2/@home:/btrfs/@/home -m /dev/OUTER/root:/lvm -m /dev/INNER/home:/luks \
    -m /dev/md127:/raid -lR --uids --checksum=sha256 / >all 2>said || fail "ls: $(cat said)"
grep -aq ' /btrfs/@/home/me$' all || fail "the subvolume is not there"
grep -av -e '^d' -e '/lost+found$' -e ' /btrfs/@' all | sort >found
cmp expected found || {
    diff -a expected found | head -20 >&2
    fail "the files are not the same: $(cat said)"
}
grep -q "starting libguestfs's appliance to read xfs on /dev/sda1" said ||
    grep -q "starting libguestfs's appliance to find volumes" said || fail "no notice: $(cat said)"
[ "$(grep -c 'starting' said)" = 1 ] || fail "more than one start: $(cat said)"

note "copying into what is encrypted"
"$IMG" cp --key /dev/sda4:key:sesame -a one.qcow2 -a two.raw -m /dev/INNER/home key :/new 2>said ||
    fail "cp: $(cat said)"

note "a root in a subvolume, and its fstab"
"$IMG" cat --key all:key:sesame -a one.qcow2 -a two.raw /etc/os-release /home/me /secret/new \
    >found 2>said || fail "cat: $(cat said)"
printf 'NAME=there\nat home\nsesame\n' | cmp - found || fail "found: $(cat found said)"

note "copying into it"
truncate -s 300M ext4.raw
mke2fs -q -t ext4 -L target ext4.raw
"$IMG" convert -q -O qcow2 ext4.raw ext4.qcow2
mv files data
expect_fail 1 'none: No such file' "$IMG" cp -m /dev/sda data none ext4.qcow2:/
expect_fail 1 'ro forbids' "$IMG" cp --ro -m /dev/sda data ext4.qcow2:/
expect_fail 1 'snapshot is not to be changed' "$IMG" cp --snapshot s -m /dev/sda data ext4.qcow2:/
expect_fail 1 'from one image into another' "$IMG" cp one.qcow2:/data ext4.qcow2:/
expect_fail 1 'read-only' "$IMG" cp -U -m /dev/sda data ext4.qcow2:/
"$IMG" cp --untrusted -m /dev/sda data one ext4.qcow2:/ 2>said || fail "cp: $(cat said)"
grep -q "starting libguestfs's appliance to copy files into the guest" said ||
    fail "no notice: $(cat said)"
mv data files
"$QEMU_IMG" check -q ext4.qcow2
"$IMG" convert -q -O raw ext4.qcow2 ext4.raw
e2fsck -fn ext4.raw >e2fsck.out 2>&1 || fail "e2fsck: $(cat e2fsck.out)"
"$IMG" ls -m /dev/sda -lR --uids --checksum=sha256 ext4.qcow2 /data | grep -av '^d' | sort >found
sed "s|^\([^/]* \)/|\1/data/|" one | sort >expected
cmp expected found || {
    diff -a expected found | head -20 >&2
    fail "the copied files are not the same"
}
"$IMG" cat -m /dev/sda ext4.qcow2 /one | cmp - one || fail "the copied file is not the same"
debugfs -R 'ea_get /data/hello user.comment' ext4.raw 2>/dev/null | grep -q 'some words' ||
    fail "the extended attribute was not copied"
"$IMG" ls -m /dev/sda -lR --times --time-t ext4.qcow2 /data | grep -a '/data/hello$' |
    grep -q ' 981173106 ' || fail "the time was not copied"

note "no appliance to be had"
mkdir empty
LIBGUESTFS_PATH=$PWD/empty expect_fail 1 'linux-image-amd64' \
    "$IMG" ls -a one.qcow2 -a two.raw -m /dev/sda1 /

note "its files are not for everybody"
(umask 027 && LIBGUESTFS_DEBUG=1 LIBGUESTFS_PATH=$PWD/empty \
    "$IMG" cp -a one.qcow2 -a two.raw -m /dev/sda1 :/hello copied >said 2>&1) || :
grep -q 'launch: umask=0027' said || fail "the umask: $(grep -a umask said)"

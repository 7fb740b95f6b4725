#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What img cp and img tar do to the host: no file is lost that was there, nothing comes with rights.

. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/guest.bash"
need mke2fs debugfs setfattr getfattr getfacl setfacl tar

mkdir -p tree/dir
echo first >tree/dir/a-broken
ln tree/dir/a-broken tree/dir/b-broken
echo good >tree/dir/good
ln tree/dir/good tree/dir/link
echo program >tree/dir/program
chmod 6755 tree/dir/program
mkdir -m 2755 tree/dir/group
mkfifo -m 666 tree/dir/pipe
setfattr -n user.comment -v words tree/dir/program
setfacl -m u:1234:rw tree/dir/good
ext4_of tree disk.raw
# cap_net_raw=ep; and an extent tree that is none.
printf '\1\0\0\2\0\40\0\0\0\0\0\0\0\0\0\0\0\0\0\0' >capability
debugfs -w disk.raw >debugfs.out 2>&1 <<'END'
ea_set -f capability /dir/program security.capability
cd /dir
mknod zero c 1 5
sif a-broken block[0] 0
END

# leftover DIRECTORY: nothing but what has a proper name is in it.
leftover() {
    ! find "$1" -name '.img-*' | grep . || fail "a temporary file was left: $1"
}

note "tar: an archive that is there is replaced by a complete one only"
echo precious >home.tar
expect_fail 1 "/typo: No such file" "$IMG" tar disk.raw /typo home.tar
[ "$(cat home.tar)" = precious ] || fail "an archive was lost to a path that does not exist"
expect_fail 1 "a file of the image" "$IMG" tar disk.raw / disk.raw
"$IMG" convert -O qcow2 disk.raw base.qcow2
"$IMG" create -q -f qcow2 -b base.qcow2 -F qcow2 over.qcow2
ln -s base.qcow2 name.tar
expect_fail 1 "a file of the image" "$IMG" tar over.qcow2 / name.tar
expect_fail 1 "a file of the image" bash -c "$IMG tar disk.raw /dir - >>disk.raw"
"$IMG" ls disk.raw /dir >/dev/null || fail "the image was damaged"
rm name.tar

chmod 640 home.tar
ln -s home.tar link.tar
"$IMG" tar -q disk.raw /dir/good link.tar
[ -L link.tar ] && [ "$(stat -c %a home.tar)" = 640 ] || fail "a link or permissions were lost"
tar -xOf home.tar | cmp - tree/dir/good || fail "the archive"
(umask 027 && "$IMG" tar -q disk.raw /dir/good new.tar)
[ "$(stat -c %a new.tar)" = 640 ] || fail "the permissions of an archive"
ln -s nowhere dangling.tar
expect_fail 1 "Could not create 'dangling.tar'" "$IMG" tar disk.raw /dir/good dangling.tar

mkfifo out.fifo
(tar -tf out.fifo >fifo.list) &
"$IMG" tar -q disk.raw /dir/good out.fifo || fail "a FIFO"
wait
[ "$(cat fifo.list)" = good ] && [ -p out.fifo ] || fail "an archive to a FIFO"
[ ! -w /dev/full ] || {
    expect_fail 1 "error writing the archive" "$IMG" tar disk.raw /dir/good /dev/full
    [ -c /dev/full ] || fail "the device is gone"
}
leftover .

note "tar: no link to what is not in the archive"
! "$IMG" tar -q disk.raw /dir broken.tar 2>said || fail "nothing is said of a broken file"
tar -tf broken.tar >names
! grep broken names || fail "a member without content"
grep -qx ./good names || fail "a file is missing"
mkdir unpacked
tar -xf broken.tar -C unpacked --exclude=./zero
[ unpacked/good -ef unpacked/link ] || fail "a hard link"

note "cp: a file that is there stays until the new one is complete"
mkdir target
echo old-a >target/a-broken
echo old-b >target/b-broken
echo old >target/good
! "$IMG" cp -q disk.raw:/dir/. target 2>said || fail "nothing is said of a broken file"
[ "$(cat target/a-broken target/b-broken)" = "$(printf 'old-a\nold-b')" ] ||
    fail "a file was lost to one that could not be read"
[ ! target/a-broken -ef target/b-broken ] || fail "a link to what has not been copied"
same target/good tree/dir/good
[ target/good -ef target/link ] || fail "a hard link became a copy"
"$IMG" cp -q disk.raw:/dir/good disk.raw:/dir/link target
leftover target

note "cp: the image is no target"
mkdir images
cp --sparse=always disk.raw images/good
expect_fail 1 "a file of the image" "$IMG" cp images/good:/dir/good images
cmp disk.raw images/good || fail "the image was replaced"
expect_fail 1 "a file of the image" "$IMG" cp disk.raw:/dir/good disk.raw
leftover images

note "cp: rights"
[ ! -e target/zero ] || fail "a device node was made"
"$IMG" cp disk.raw:/dir/zero . 2>said
grep -q "zero: a character-device is not copied without --privileged" said || fail "no warning: $(cat said)"
[ "$(stat -c %a target/program target/group)" = "$(printf '755\n755')" ] || fail "a set-ID bit"
getfattr -d -m - --absolute-names target/program >attributes 2>&1
grep -q user.comment attributes || fail "an attribute is missing"
! grep security.capability attributes || fail "a capability arrived"
getfacl -n target/good 2>/dev/null | grep -q user:1234:rw || fail "an ACL is missing"
[ "$(umask 077 && "$IMG" cp disk.raw:/dir/pipe . && stat -c %a pipe)" = 666 ] || fail "of a pipe"
if [ "$(id -u)" != 0 ]; then
    expect_fail 1 "--privileged is for root" "$IMG" cp --privileged disk.raw:/dir/program all
else
    mkdir all
    "$IMG" cp -q --privileged disk.raw:/dir/program disk.raw:/dir/group all
    [ "$(stat -c %a all/program all/group)" = "$(printf '6755\n2755')" ] || fail "--privileged: set-ID"
    ! setfattr -n security.capability -v "0s$(base64 -w0 capability)" target/good 2>/dev/null ||
        getfattr -d -m - --absolute-names all/program | grep -q security.capability ||
        fail "--privileged: a capability"
    "$IMG" cp -q --privileged disk.raw:/dir/zero all
    ! mknod other c 1 5 2>/dev/null || [ -c all/zero ] || fail "--privileged: a device node"
fi

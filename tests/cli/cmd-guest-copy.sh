#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# img cat, img cp, img tar: what comes out of a guest is what was put into it.

. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/guest.bash"
need mke2fs debugfs setfattr getfattr tar

awkward_tree tree
ext4_of tree disk.raw
nanoseconds tree disk.raw dir/sub/deep/hello.txt
"$IMG" convert -c -O qcow2 disk.raw disk.qcow2
manifest tree >expected.txt

# check DIR WHAT: it is like the tree, holes too.
check() {
    manifest "$1" >found.txt
    diff expected.txt found.txt >diff.txt || {
        head -20 diff.txt >&2
        fail "$2 is not what was put in"
    }
    [ "$(stat -c %b "$1/dir/sparse")" -lt 1000 ] || fail "$2: the holes are filled"
    [ "$1/dir/numbers" -ef "$1/dir/sub/hard" ] || fail "$2: a hard link became a copy"
}

note "cat"
"$IMG" cat disk.qcow2 /dir/numbers /absolute '/dir/sub/deep/h*' >cat.txt
cat tree/dir/numbers tree/dir/numbers tree/dir/sub/deep/hello.txt >cat.expected
same cat.txt cat.expected
"$IMG" cat disk.qcow2 /dir/sparse | cmp - tree/dir/sparse || fail "cat of a sparse file"
"$IMG" cat disk.raw /outside | cmp - tree/etc/os-release || fail "a link leads out of the tree"
expect_fail 1 "/empty: Is a directory" "$IMG" cat disk.raw /empty /etc/os-release
same expect_fail.out tree/etc/os-release
expect_fail 1 "/dir/pipe: it is no regular file" "$IMG" cat disk.raw /dir/pipe
expect_fail 1 "Expecting the path" "$IMG" cat disk.raw
[ ! -w /dev/full ] || expect_fail 1 "error writing the output" \
    bash -c "$IMG cat disk.raw /dir/numbers >/dev/full"

note "cp"
privileged=()
[ "$(id -u)" != 0 ] || privileged=(--privileged)
"$IMG" cp -q "${privileged[@]}" disk.qcow2:/ whole
[ "$(stat -c %a whole/dir/nothing)" = 4755 ] || chmod 4755 whole/dir/nothing # not for others than root
rmdir whole/lost+found
check whole "a copy"
mkdir into
"$IMG" cp disk.raw:/etc disk.raw:/dir/sub/deep into
same into/etc/os-release tree/etc/os-release
same into/deep/hello.txt tree/dir/sub/deep/hello.txt
"$IMG" cp disk.raw:/dir/numbers into/renamed
same into/renamed tree/dir/numbers
"$IMG" cp -a disk.raw :/dir/sub/deep/. into
same into/hello.txt tree/dir/sub/deep/hello.txt
"$IMG" cp 'disk.raw:/many/file00?' into
[ "$(echo into/file00*)" = "$(echo into/file00{1..9})" ] || fail "a pattern"
"$IMG" cp disk.raw:/absolute into
[ ! -L into/absolute ] && same into/absolute tree/dir/numbers
"$IMG" cp -P disk.raw:/absolute into
[ "$(readlink into/absolute)" = /dir/numbers ] || fail "-P"
expect_fail 1 "No such file" "$IMG" cp disk.raw:/none disk.raw:/etc/fstab into
[ -f into/fstab ] || fail "the second file was not copied"
expect_fail 1 "nowhere/x: No such file" "$IMG" cp disk.raw:/etc nowhere/x
expect_fail 1 "Not a directory" "$IMG" cp disk.raw:/etc disk.raw:/dir none
expect_fail 1 "Expecting IMAGE:/PATH" "$IMG" cp disk.raw /etc
expect_fail 1 "All sources must be in one image" "$IMG" cp disk.raw:/etc disk.qcow2:/dir into

note "what is in the way is not followed"
mkdir way way/etc elsewhere
ln -s ../../elsewhere/os-release way/etc/os-release
ln -s ../elsewhere way/dir
"$IMG" cp disk.raw:/etc/. way/etc
[ ! -L way/etc/os-release ] || fail "a link was left where a file was to be"
expect_fail 1 "/dir cannot be copied" "$IMG" cp disk.raw:/dir way
[ -z "$(ls elsewhere)" ] || fail "something was written elsewhere"
mkdir way/hole
expect_fail 1 "/dir/hole cannot be copied" "$IMG" cp disk.raw:/dir/hole way

note "tar"
"$IMG" tar disk.qcow2 / whole.tar 2>tar.err
mkdir unpacked
tar -C unpacked --xattrs --xattrs-include='*' --numeric-owner -xpf whole.tar --delay-directory-restore
rmdir unpacked/lost+found
check unpacked "an archive"
[ "$(stat -c %s whole.tar)" -lt 4000000 ] || fail "the holes are in the archive"
"$IMG" tar disk.raw / - 2>/dev/null | cmp - whole.tar || fail "standard output has another archive"
"$IMG" tar disk.raw / 2>/dev/null | cmp - whole.tar || fail "and so without a name"
tar -tf <("$IMG" tar disk.raw /dir/sub) | head -2 | tr '\n' ' ' | grep -qx './ ./deep/ ' ||
    fail "the names in an archive"
[ "$(tar -tf <("$IMG" tar disk.raw /etc/fstab))" = fstab ] || fail "an archive of one file"
expect_fail 1 "/none: No such file" "$IMG" tar disk.raw /none none.tar
[ ! -e none.tar ] || fail "an archive of nothing was left"
expect_fail 1 "Could not create" "$IMG" tar disk.raw /etc nowhere/x.tar
[ ! -w /dev/full ] || expect_fail 1 "error writing the archive" \
    bash -c "$IMG tar disk.raw /dir >/dev/full"

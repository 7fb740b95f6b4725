#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A disk that something uses without a lock: it is not sparsified in place, and no copy is made that
# leaves out what looked free a moment ago.
. "$(dirname "$0")/../lib.sh"
need mkntfs ntfs-3g

mkdir "a dir" "a mount"
image="a dir/disk.raw"

# refused WHAT: neither in place nor into a copy; a copy as it is can be made
refused() {
    expect_fail 1 "$1" "$IMG" sparsify -q --in-place "$image"
    expect_fail 1 "$1" "$IMG" sparsify -q --in-place --zero-only "$image"
    expect_fail 1 "$1" "$IMG" sparsify -q "$image" out.raw
    expect_fail 1 "--zero-only" "$IMG" sparsify -q "$image" out.raw
    expect_fail 1 "without --skip-free" "$IMG" convert -q --skip-free "$image" out.raw
    expect_fail 1 "$1" "$IMG" convert -q --skip-free -O qcow2 over.qcow2 out.raw
    [ ! -e out.raw ] || fail "there is a copy"
    "$IMG" sparsify -q --zero-only "$image" out.raw
    same out.raw "$image"
    "$IMG" convert -q "$image" out.raw
    same out.raw "$image"
    rm out.raw
}

allowed() {
    "$IMG" sparsify -q "$image" out.raw
    "$IMG" convert -q --skip-free over.qcow2 out.raw
    "$IMG" sparsify -q --in-place "$image"
    rm out.raw
}

truncate -s 16M "$image"
mkntfs -q -F "$image" 2>/dev/null
"$IMG" create -q -f qcow2 -b "$PWD/$image" -F raw over.qcow2

note "a filesystem in user space"
if ntfs-3g "$image" "a mount" 2>err.txt; then
    trap 'umount "$test_dir/a mount" || :; rm -rf "$test_dir"' EXIT
    head -c 4M /dev/urandom >content
    cp content "a mount/content"
    refused "mounted at $PWD/a mount"
    same "a mount/content" content
    umount "a mount"
    trap 'rm -rf "$test_dir"' EXIT
else
    note "not tried: $(cat err.txt)"
fi
allowed

note "a loop device"
if loop=$(losetup -f --show "$image" 2>/dev/null); then
    trap 'losetup -d "$loop"; rm -rf "$test_dir"' EXIT
    refused "attached to $loop"
    losetup -d "$loop"
    trap 'rm -rf "$test_dir"' EXIT
else
    note "not tried: there are no loop devices here"
fi
allowed

note "our own mount, which has a lock"
need_fuse
mke2fs -q -F "$image" 16M
"$IMGMOUNT" "$image" "a mount"
"$IMG" sparsify -q "$image" out.raw
expect_fail 1 'lock' "$IMG" sparsify -q --in-place "$image"
"$IMG" umount "a mount"
allowed

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Images described by options instead of named: what they read as, and what is
# written through them, is what qemu-img makes of the same description.

. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"

seq 100000 | head -c 512k >data.raw
truncate -s 2M data.raw
head -c 1M /dev/zero | tr '\0' z >other.raw
truncate -s 2M other.raw
$QEMU_IMG create -q -f qcow2 -b data.raw -F raw over.qcow2
$QEMU_IO -c 'write -P 7 1M 64k' over.qcow2 >/dev/null
$QEMU_IMG create -q -f qcow2 alone.qcow2 2M
$QEMU_IO -c 'write -P 9 64k 64k' alone.qcow2 >/dev/null

# Both make the same disk of it.
same_disk() {
    "$IMG" convert "$@" ours.raw
    $QEMU_IMG convert "$@" theirs.raw
    cmp ours.raw theirs.raw || fail "another disk: $*"
}
file='"file": {"driver": "file", "filename": "over.qcow2"}'
same_disk --image-opts driver=qcow2,file.filename=over.qcow2
same_disk --image-opts file.filename=over.qcow2
same_disk --image-opts driver=raw,file.filename=over.qcow2
same_disk --image-opts driver=raw,file.filename=data.raw,offset=64k,size=128k
same_disk --image-opts driver=raw,file.filename=data.raw,offset=512
same_disk --image-opts driver=qcow2,file.filename=over.qcow2,backing.driver=raw,backing.file.filename=other.raw
same_disk --image-opts driver=qcow2,file.filename=over.qcow2,backing.file.filename=alone.qcow2
same_disk --image-opts driver=qcow2,file.filename=alone.qcow2,backing.driver=raw,backing.file.filename=other.raw
same_disk --image-opts driver=qcow2,file.filename=over.qcow2,backing.driver=raw,backing.file.filename=other.raw,backing.offset=64k,backing.size=1M
same_disk "json:{\"driver\": \"qcow2\", $file}"
same_disk "json:{\"driver\": \"qcow2\", $file, \"backing\": null}"
same_disk "json:{\"driver\": \"qcow2\", \"cache.direct\": false, \"cache\": {\"no-flush\": true}, $file}"
same_disk "json:{\"driver\": \"qcow2\", \"file.filename\": \"alone.qcow2\", \"backing\": {\"driver\": \"qcow2\", $file}}"
same_disk file:over.qcow2
same_disk -T none --image-opts driver=qcow2,file.filename=over.qcow2,cache.direct=off

# A zero written over the overridden backing image hides it, also where the file names none.
"$IMG" io --image-opts -c 'write -z 0 64k' -c 'write -z -u 64k 64k' -c 'discard 128k 64k' \
    driver=qcow2,file.filename=alone.qcow2,backing.driver=raw,backing.file.filename=other.raw >/dev/null
same_disk --image-opts driver=qcow2,file.filename=alone.qcow2,backing.driver=raw,backing.file.filename=other.raw
"$IMG" io -r --image-opts -c 'read -P 0 0 192k' -c 'read -P 122 192k 64k' \
    driver=qcow2,file.filename=alone.qcow2,backing.driver=raw,backing.file.filename=other.raw >/dev/null

# Into a target that is described.
$QEMU_IMG create -q -f qcow2 target.qcow2 2M
"$IMG" convert -n --target-image-opts data.raw \
    driver=qcow2,file.filename=target.qcow2,file.locking=off
$QEMU_IMG compare data.raw target.qcow2 >/dev/null || fail "--target-image-opts"
cp other.raw part.raw
"$IMG" convert -n --image-opts --target-image-opts driver=raw,file.filename=data.raw,size=64k \
    driver=raw,file.filename=part.raw,offset=128k,size=64k
cmp -n 65536 data.raw part.raw 0 131072 || fail "the window was not written"
cmp -n 131072 other.raw part.raw || fail "something before the window was written"
cmp other.raw part.raw 196608 196608 || fail "something behind the window was written"

# Zeros are found, and kept off the disk.
allocated() {
    $QEMU_IMG map --output=json "$1" | grep -c '"data": true' || :
}
for mode in off on unmap; do
    $QEMU_IMG create -q -f qcow2 zeros.qcow2 1M
    "$IMG" io --image-opts -c 'write -P 0 0 128k' -c 'write -P 1 512k 64k' -c 'write -P 0 512k 64k' \
        "driver=qcow2,file.filename=zeros.qcow2,discard=unmap,detect-zeroes=$mode" >/dev/null
    "$IMG" io -r -c 'read -P 0 0 1M' zeros.qcow2 >/dev/null
    $QEMU_IMG check -q zeros.qcow2
    case $mode in
    off) [ "$(allocated zeros.qcow2)" = 2 ] || fail "detect-zeroes=off" ;;
    *) [ "$(allocated zeros.qcow2)" = 0 ] || fail "detect-zeroes=$mode" ;;
    esac
    eval "size_$mode=$(stat -c %b zeros.qcow2)"
done
[ "$size_unmap" -lt "$size_on" ] || fail "detect-zeroes=unmap keeps the space: $size_unmap"

# Late refcounts although the image does not say so: its writer dies with the image dirty.
$QEMU_IMG create -q -f qcow2 lazy.qcow2 1M
"$IMG" io --image-opts -c 'write -P 3 0 64k' -c flush -c 'sigraise 9' \
    driver=qcow2,file.filename=lazy.qcow2,lazy-refcounts=on >/dev/null || :
"$IMG" info lazy.qcow2 | grep -q 'cleanly shut down: no' || fail "lazy-refcounts=on is not lazy"
$QEMU_IO -c 'read -P 3 0 64k' lazy.qcow2 >/dev/null
$QEMU_IMG check -q -r all lazy.qcow2
"$IMG" amend -q -o lazy_refcounts=on lazy.qcow2
"$IMG" io --image-opts -c 'write -P 3 64k 64k' -c flush -c 'sigraise 9' \
    driver=qcow2,file.filename=lazy.qcow2,lazy-refcounts=off >/dev/null || :
! "$IMG" info lazy.qcow2 | grep -q 'cleanly shut down: no' || fail "lazy-refcounts=off is lazy"

# discard=ignore keeps what is there.
for mode in ignore unmap; do
    cp target.qcow2 discard.qcow2
    "$IMG" io --image-opts -c 'discard 0 256k' \
        "driver=qcow2,file.filename=discard.qcow2,discard=$mode" >/dev/null
    status=0
    $QEMU_IMG compare data.raw discard.qcow2 >/dev/null || status=$?
    [ "$mode/$status" = ignore/0 ] || [ "$mode/$status" = unmap/1 ] || fail "discard=$mode: $status"
done

# What an image names is never more than a file's name.
for name in "json:{$file}" nbd:localhost:1 'json:{"file.filename": "data.raw"}'; do
    $QEMU_IMG create -q -f qcow2 -u -b "$name" -F raw evil.qcow2 2M
    expect_fail 1 'plain file name' "$IMG" convert evil.qcow2 out.raw
    expect_fail 1 'plain file name' "$IMG" info --backing-chain evil.qcow2
    expect_fail 1 'plain file name' "$IMG" map --image-opts driver=qcow2,file.filename=evil.qcow2
done
expect_fail 1 "Unknown protocol 'foo'" "$IMG" info foo:bar
expect_fail 1 "'nbd' is not supported" "$IMG" info nbd:localhost:1
expect_fail 1 "'http' is not supported" "$IMG" convert http://localhost/x out.raw
expect_fail 1 "'rbd' is not supported" "$IMG" create rbd:a/b 1M

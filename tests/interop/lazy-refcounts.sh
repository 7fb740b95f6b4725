#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# lazy_refcounts: an image that was closed is clean; one whose writer was killed is dirty, reads as
# it was written, and is repaired by whoever opens it for writing, by us as by qemu-io.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"

# incompatible FILE: the feature word of the header, in hex
incompatible() {
    od -An -v -tx1 -j 72 -N 8 "$1" | tr -d ' \n'
}

# clean FILE: closed properly, and without fault.
clean() {
    [ "$(incompatible "$1")" = 0000000000000000 ] || fail "$1: features $(incompatible "$1")"
    "$IMG" check -q "$1" || fail "$1: img check: status $?"
    "$QEMU_IMG" check -q "$1" || fail "$1: qemu-img check: status $?"
}

# reads FILE: it holds what both writers write below.
reads() {
    "$IMG" io -r -c 'read -P 5 0 300k' -c 'read -P 6 1M 200k' "$1" >read.txt
    ! grep -i failed read.txt || fail "$1 does not hold what was flushed"
    "$QEMU_IO" -r -c 'read -P 5 0 300k' -c 'read -P 6 1M 200k' "$1" >read.txt
    ! grep -i failed read.txt || fail "$1 does not hold for qemu-io what was flushed"
}

# killed_writer: ours writes to image and is killed when it is on disk.
killed_writer() {
    "$IMG" io -c 'write -P 5 0 300k' -c 'write -P 6 1M 200k' -c flush -c 'read 0 1' \
        -c 'sleep 100000' image >writer.txt &
    local writer=$! tries=0
    while [ "$(incompatible image)" != 0000000000000001 ] || ! "$IMG" io -r -U \
        -c 'read -P 6 1M 200k' image 2>/dev/null | grep -q 'read 204800/204800'; do
        tries=$((tries + 1))
        [ $tries -lt 500 ] || fail "the image does not become dirty: $(incompatible image)"
        sleep 0.05
    done
    sleep 0.1
    kill -9 $writer
    wait $writer 2>/dev/null || :
}

for cluster in 512 64k; do
    note "clusters of $cluster: closed"
    rm -f image
    "$IMG" create -q -f qcow2 -o cluster_size=$cluster,lazy_refcounts=on image 4M
    clean image
    "$IMG" io -c 'write -P 5 0 300k' -c flush -c 'write -P 6 1M 200k' -c 'discard 2M 1M' image \
        >/dev/null
    clean image
    reads image

    note "clusters of $cluster: our writer is killed, a reader leaves it alone"
    rm -f image
    "$IMG" create -q -f qcow2 -o cluster_size=$cluster,lazy_refcounts=on image 4M
    killed_writer
    [ "$(incompatible image)" = 0000000000000001 ] || fail "features $(incompatible image)"
    cp image dirty
    reads image
    same image dirty
    "$QEMU_IMG" info --output=json image | grep -q '"dirty-flag": true' || fail "not dirty"
    "$IMG" info --output=json image | grep -q '"dirty-flag": true' || fail "not dirty for us"

    note "clusters of $cluster: and repaired"
    cp dirty image
    "$QEMU_IO" -c 'write -P 7 3M 64k' image >/dev/null 2>&1
    clean image
    reads image
    cp dirty image
    "$IMG" io -c 'write -P 7 3M 64k' image >/dev/null
    clean image
    reads image
    cp dirty image
    "$IMG" amend -o lazy_refcounts=off image
    clean image
    reads image
    cp dirty image
    "$IMG" check -q -r all image
    clean image
    reads image

    note "clusters of $cluster: qemu-io is killed"
    rm -f image
    "$QEMU_IMG" create -q -f qcow2 -o cluster_size=$cluster,lazy_refcounts=on image 4M
    "$QEMU_IO" -c 'write -P 5 0 300k' -c 'write -P 6 1M 200k' -c flush -c 'sigraise 9' image \
        >/dev/null 2>&1 || :
    [ "$(incompatible image)" = 0000000000000001 ] || fail "features $(incompatible image)"
    reads image
    "$IMG" io -c 'write -P 7 3M 64k' image >/dev/null
    clean image
    reads image
done

note "an image that is corrupt is not written"
printf '\2' | dd of=image bs=1 seek=79 conv=notrunc status=none
cp image before
expect_fail 1 "Image is corrupt; cannot be opened read/write" "$IMG" amend -o refcount_bits=8 image
expect_fail 1 "Image is corrupt; cannot be opened read/write" "$IMG" resize image 8M
same image before
"$IMG" check -q -r all image || :
clean image

note "a conversion leaves a clean image"
seq 300000 >seq.raw
truncate -s 4M seq.raw
"$IMG" convert -f raw -O qcow2 -o lazy_refcounts=on seq.raw lazy
clean lazy
"$IMG" convert -c -f raw -O qcow2 -o lazy_refcounts=on seq.raw lazy
clean lazy
"$QEMU_IMG" compare -q -f raw seq.raw lazy || fail "the conversion is not equal"

note "so does a commit into one"
"$IMG" create -q -f qcow2 -b lazy -F qcow2 top
"$IMG" io -c 'write -P 9 3M 300k' top >/dev/null
"$IMG" commit -q top
clean lazy
clean top

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# amend: every change of an image, there and back, over cluster sizes, with a backing image and with
# snapshots. What the disk and the snapshots read as must not change, both checks must be clean, and
# what is refused must leave the file as it was, to the byte.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"

# clean FILE...: both checkers find nothing at all.
clean() {
    for file; do
        "$IMG" check -q "$file" || fail "$file: img check: status $?"
        "$QEMU_IMG" check -q "$file" || fail "$file: qemu-img check: status $?"
    done
}

# amended IMAGE OPTIONS TEXT...: amend it; info must say each TEXT, and the disk be what it was.
amended() {
    local image=$1 options=$2 text
    shift 2
    "$IMG" amend -f qcow2 -o "$options" "$image"
    clean "$image"
    "$QEMU_IMG" compare -q "$image" -F raw before.raw || fail "$options: the disk has changed"
    "$IMG" compare -q "$image" -F raw before.raw || fail "$options: the disk has changed for us"
    "$QEMU_IMG" info "$image" >info.txt
    for text; do
        grep -q -- "$text\$" info.txt || fail "$options: no '$text' in $(cat info.txt)"
    done
}

# refused TEXT OPTIONS: with that text, and nothing is written.
refused() {
    cp image refused
    expect_fail 1 "$1" "$IMG" amend -f qcow2 -o "$2" image
    same image refused
}

# snapshots_same IMAGE: each reads as it did.
snapshots_same() {
    local name
    for name in s1 s2 s3; do
        "$QEMU_IMG" convert -O raw -l $name "$1" $name.now
        cmp -s $name.now $name.raw || fail "snapshot $name has changed"
    done
}

changes() {
    "$QEMU_IO" -c "write -P $1 0 1M" -c "write -z $((512 + $1 * 64))k 1M" \
        -c "write -zu $((3 << 20))  $(($1 * 65536))" -c "write -P 3 5M 100k" image >/dev/null
}

"$QEMU_IMG" create -q -f qcow2 base 6M
"$QEMU_IO" -c 'write -P 9 0 6M' base >/dev/null

for cluster in 512 64k 2M; do
    for backing in '' '-b base -F qcow2'; do
        note "clusters of $cluster, ${backing:-no backing image}"
        rm -f image
        # shellcheck disable=SC2086
        "$QEMU_IMG" create -q -f qcow2 -o cluster_size=$cluster $backing image 8M
        changes 2
        "$QEMU_IMG" convert -O raw image before.raw
        for bits in 1 64 8 32 2 4 16; do
            amended image refcount_bits=$bits "refcount bits: $bits"
        done
        amended image compat=0.10 'compat: 0.10'
        amended image compat=1.1,lazy_refcounts=on,refcount_bits=64 'compat: 1.1' \
            'lazy refcounts: true' 'refcount bits: 64'
        amended image compat=v2,refcount_bits=16 'compat: 0.10' 'refcount bits: 16'
        amended image compat=v3 'lazy refcounts: false'
        truncate -s 9M before.raw
        amended image size=9M 'virtual size: 9 MiB (9437184 bytes)'
        truncate -s 5M before.raw
        amended image compat=0.10,size=5M 'virtual size: 5 MiB (5242880 bytes)'
        # It can be written to like any other.
        "$IMG" io -c 'write -P 7 100k 3M' image >/dev/null
        clean image
    done
done

for cluster in 512 64k; do
    for backing in '' '-b base -F qcow2'; do
        note "snapshots, clusters of $cluster, ${backing:-no backing image}"
        rm -f image
        # shellcheck disable=SC2086
        "$QEMU_IMG" create -q -f qcow2 -o cluster_size=$cluster $backing image 8M
        "$QEMU_IO" -c 'write -P 8 7M 200k' -c 'write -z 7500k 100k' image >/dev/null
        for n in 1 2 3; do
            changes $n
            "$QEMU_IMG" snapshot -c s$n image
            "$QEMU_IMG" convert -O raw -l s$n image s$n.raw
        done
        changes 4
        "$QEMU_IMG" convert -O raw image before.raw
        refused 'Cannot decrease refcount entry width to 1 bits: Cluster at offset' refcount_bits=1
        for bits in 64 4 16; do
            amended image refcount_bits=$bits "refcount bits: $bits"
            snapshots_same image
        done
        amended image compat=0.10 'compat: 0.10'
        snapshots_same image
        refused "Can't resize a v2 image which has snapshots" size=9M
        amended image compat=1.1 'compat: 1.1'
        snapshots_same image
        "$IMG" resize -q image 9M
        refused 'Internal snapshots prevent downgrade of image' compat=0.10
        for n in 2 1 3; do
            "$QEMU_IMG" snapshot -a s$n image
            "$QEMU_IMG" compare -q image -F raw s$n.raw || fail "s$n cannot be gone back to"
            "$QEMU_IMG" snapshot -d s$n image
            clean image
        done
    done
done

# number AT BYTES: of the image. put AT HEX: overwrite it.
number() {
    echo $((0x$(od -An -v -tx1 -j "$1" -N "$2" image | tr -d ' \n')))
}
put() {
    printf '%b' "$(sed 's/../\\x&/g' <<<"$2")" | dd of=image bs=1 seek="$1" conv=notrunc status=none
}

note "data whose zeros a snapshot has are the disk's alone afterwards"
rm -f image
"$QEMU_IMG" create -q -f qcow2 image 1M
"$QEMU_IO" -c 'write -P 1 0 64k' image >/dev/null
"$QEMU_IMG" snapshot -c s0 image
"$QEMU_IO" -c 'write -z 0 64k' image >/dev/null
"$QEMU_IMG" snapshot -c s1 image
"$QEMU_IMG" snapshot -a s0 image
"$QEMU_IMG" snapshot -d s0 image
clean image
"$QEMU_IMG" convert -O raw image before.raw
amended image compat=0.10 'compat: 0.10'

for count in 0002 ffff 0000; do
    note "the refcount of an L2 table is $count"
    rm -f image
    "$QEMU_IMG" create -q -f qcow2 image 1M
    "$QEMU_IO" -c 'write -P 1 0 128k' -c 'write -z 64k 512k' image >/dev/null
    "$QEMU_IMG" convert -O raw image before.raw
    l1=$(number 40 8)
    table=$(($(number $((l1 + 1)) 7)))
    block=$(number "$(number 48 8)" 8)
    put $((block + 2 * (table >> 16))) $count
    put "$l1" 00
    if [ $count = 0000 ]; then
        refused 'has more references than its refcount of 0 says' compat=0.10
    else
        "$IMG" amend -o compat=0.10 image
        "$QEMU_IMG" compare -q image -F raw before.raw || fail "the disk has changed"
        # Space is lost as it was, and nothing else is wrong.
        status=0
        "$QEMU_IMG" check -q image >check.txt 2>&1 || status=$?
        [ $status = 3 ] || fail "qemu-img check: status $status: $(cat check.txt)"
    fi
done

note "what version 2 cannot have"
rm -f image
"$QEMU_IMG" create -q -f qcow2 image 1M
"$QEMU_IMG" bitmap --add image b
expect_fail 1 'Cannot downgrade an image with bitmaps' "$IMG" amend -o compat=0.10 image
rm -f image
"$QEMU_IMG" create -q -f qcow2 -o compression_type=zstd image 1M
refused 'Cannot downgrade an image with incompatible features 0x8 set' compat=0.10
rm -f image
"$QEMU_IMG" create -q -f qcow2 -o refcount_bits=8 image 1M
refused 'compat=0.10 requires refcount_bits=16' compat=0.10
refused 'The new size must be a multiple of 512' compat=0.10,refcount_bits=16,size=1000

note "what is refused is refused before what could be done"
refused 'Cannot amend the backing file' size=2M,refcount_bits=64,backing_file=x
refused 'Refcount width must be' size=2M,refcount_bits=65

note "compressed clusters stay"
rm -f image
seq 500000 | head -c 3M >before.raw
"$QEMU_IMG" convert -c -f raw -O qcow2 before.raw image
for options in refcount_bits=64 refcount_bits=4 refcount_bits=16,compat=0.10 compat=1.1; do
    amended image $options
    "$QEMU_IMG" check image | grep -q '100.00% compressed clusters' || fail "no longer compressed"
done

secret='--object secret,id=s,data=geheim'
for backing in '' '-b base -F qcow2'; do
    note "encrypted, ${backing:-no backing image}"
    rm -f image
    options=driver=qcow2,encrypt.key-secret=s,file.filename=image
    # shellcheck disable=SC2086
    {
        "$IMG" create -q -f qcow2 $secret \
            -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 $backing image 4M
        "$QEMU_IO" $secret --image-opts $options -c 'write -P 1 0 1M' -c 'write -z 512k 1M' \
            -c 'write -zu 3M 512k' >/dev/null
        "$QEMU_IMG" convert $secret --image-opts -O raw $options before.raw
        for change in compat=0.10 compat=1.1,refcount_bits=8 size=6M; do
            "$IMG" amend $secret --image-opts -o $change $options
            "$QEMU_IMG" check -q $secret --image-opts $options || fail "$change: check: status $?"
            [ $change != size=6M ] || truncate -s 6M before.raw
            "$QEMU_IMG" convert $secret --image-opts -O raw $options after.raw
            cmp before.raw after.raw || fail "$change: the disk has changed"
        done
        "$IMG" resize -q $secret --image-opts --preallocation=falloc $options 8M
        truncate -s 8M before.raw
        "$QEMU_IMG" convert $secret --image-opts -O raw $options after.raw
        cmp before.raw after.raw || fail "what was preallocated is no zeros"
    }
done

note "snapshots without the disk's size"
rm -f image
"$QEMU_IMG" create -q -f qcow2 -o compat=0.10 image 1M
"$QEMU_IO" -c 'write -P 1 0 200k' image >/dev/null
for n in 1 2 3; do
    "$QEMU_IMG" snapshot -c s$n image
    "$QEMU_IO" -c "write -P 2 $((n * 50))k 100k" image >/dev/null
    "$QEMU_IMG" convert -O raw -l s$n image s$n.raw
done
"$QEMU_IMG" snapshot -d s2 image
"$QEMU_IMG" snapshot -d s3 image
for n in 2 3; do cp s1.raw s$n.raw; done
table=$((0x$(od -An -v -tx1 -j 64 -N 8 image | tr -d ' \n')))
printf '\0\0\0\0001s1' | dd of=image bs=1 seek=$((table + 36)) conv=notrunc status=none
[ "$("$QEMU_IMG" snapshot -l image | grep -c s1)" = 1 ] || fail "the short record is not read"
"$QEMU_IMG" convert -O raw image before.raw
amended image compat=1.1 'compat: 1.1'
"$QEMU_IMG" snapshot -l image | grep -q s1 || fail "the snapshot is lost"
"$QEMU_IMG" convert -O raw -l s1 image s1.now
cmp s1.now s1.raw || fail "the snapshot has changed"
"$IMG" resize -q image 2M
"$QEMU_IMG" snapshot -a s1 image
"$IMG" info image | grep -q '(1048576 bytes)' || fail "the snapshot does not know the disk's size"
clean image

note "external data files"
rm -f image data other
"$QEMU_IMG" create -q -f qcow2 -o data_file=data,data_file_raw=on image 1M
"$QEMU_IO" -c 'write -P 4 0 300k' image >/dev/null
cp data other
refused 'Cannot downgrade an image with a data file' compat=0.10
"$IMG" amend -o data_file=other,data_file_raw=off,refcount_bits=64 image
clean image
"$QEMU_IMG" info image >info.txt
grep -q 'data file: other' info.txt && grep -q 'data file raw: false' info.txt ||
    fail "not amended: $(cat info.txt)"
rm data
"$QEMU_IO" -r -c 'read -P 4 0 300k' image >read.txt
! grep failed read.txt || fail "the disk has changed"
refused 'data-file-raw cannot be set on existing images' data_file_raw=on
"$IMG" amend -o data_file= image
expect_fail 1 "'data-file' is required for this image" "$IMG" map image
expect_fail 1 "'data-file' is required for this image" "$QEMU_IMG" map image

note "progress"
rm -f image
"$QEMU_IMG" create -q -f qcow2 image 1M
"$IMG" amend -p -o refcount_bits=8 image >progress.txt
grep -q '(100.00/100%)' progress.txt || fail "no progress: $(cat progress.txt)"
"$IMG" amend --output=json -o refcount_bits=16 image | grep -q '"filename": "image"' || fail "json"

note "what a writer that knows more has put there"
rm -f image
"$QEMU_IMG" create -q -f qcow2 -o compat=0.10 -b before.raw -F raw image 1M
"$IMG" amend -o compat=1.1 image
"$IMG" info image | grep -q 'backing file: before.raw' || fail "the backing image's name is lost"
"$IMG" amend -o compat=0.10 image
"$IMG" info image | grep -q 'backing file: before.raw' || fail "the backing image's name is lost"
"$IMG" info image | grep -q 'backing file format: raw' || fail "its format is lost"

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What is typed of the images below the top holds as long as the top is open:
# also when commit opens the base again to write to it. The files are what
# qemu-img makes of a copy.

. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"

secrets=(--object 'secret,id=s,data=abc' --object 'secret,id=w,data=wrong')
quick=encrypt.format=luks,encrypt.key-secret=s,encrypt.cipher-alg=aes-128,encrypt.iter-time=10

# Clusters of the base are larger than what the top brings: the rest of them is
# copied from what is typed to be below the base, not from what its file names.
mkdir ours
cd ours
head -c 1M /dev/zero | tr '\0' r >r.raw
head -c 1M /dev/zero | tr '\0' b >b.raw
head -c 1M /dev/zero | tr '\0' B >b2.raw
$QEMU_IMG create -q -f qcow2 -o cluster_size=64k -b b.raw -F raw base.qcow2
$QEMU_IMG create -q -f qcow2 -o data_file=data.1 data.qcow2 1M
$QEMU_IO -c 'write -P 1 0 1M' data.qcow2 >/dev/null
cp data.1 data.2
"$IMG" convert -q "${secrets[@]}" -f raw -O qcow2 \
    -o "$quick" b.raw luks.qcow2
$QEMU_IMG create -q -u -f qcow2 -b luks.qcow2 -F qcow2 over-luks.qcow2 1M
for base in r.raw base.qcow2 data.qcow2 luks.qcow2 over-luks.qcow2; do
    $QEMU_IMG create -q -u -f qcow2 -o cluster_size=4k -b $base -F ${base#*.} top-$base 1M
    $QEMU_IO -c 'write -P 7 12k 4k' -c 'write -P 8 256k 64k' "json:{\"driver\": \"qcow2\",
        \"file.filename\": \"top-$base\", \"backing\": null}" >/dev/null
done
$QEMU_IMG create -q -f qcow2 -b r.raw -F raw -o cluster_size=4k window.qcow2 512k
$QEMU_IO -c 'write -P 7 12k 4k' -c 'write -P 8 256k 64k' window.qcow2 >/dev/null
$QEMU_IMG create -q -f qcow2 -b top-base.qcow2 -F qcow2 -o cluster_size=4k high.qcow2
$QEMU_IO -c 'write -P 9 100k 4k' high.qcow2 >/dev/null
cd ..

# commit TOP OPTIONS [ARGS...]: the same files as qemu-img's, or the same refusal.
commit() {
    local top=$1 options=driver=qcow2,file.filename=$1,$2 status=0 wanted=0 file
    shift 2
    rm -rf a b
    cp -a ours a
    cp -a ours b
    (cd a && "$IMG" commit -q "${secrets[@]}" "$@" --image-opts "$options") >out 2>&1 || status=$?
    (cd b && "$QEMU_IMG" commit -q "${secrets[@]}" "$@" --image-opts "$options") >qemu.out 2>&1 ||
        wanted=$?
    [ $status = $wanted ] || fail "$options: status $status, not $wanted: $(cat out qemu.out)"
    for file in a/*; do
        case $file in
        *luks.qcow2) ;;
        *.qcow2)
            (cd a && $QEMU_IMG convert -O raw "json:{\"driver\": \"qcow2\",
                \"file.filename\": \"${file#*/}\", \"backing\": null}" ../one.raw)
            (cd b && $QEMU_IMG convert -O raw "json:{\"driver\": \"qcow2\",
                \"file.filename\": \"${file#*/}\", \"backing\": null}" ../two.raw)
            cmp one.raw two.raw || fail "$options: ${file#*/} differs"
            (cd a && $QEMU_IMG check -q "${file#*/}") || fail "$options: check of ${file#*/}"
            ;;
        *) cmp "$file" "b/${file#*/}" || fail "$options: ${file#*/} differs" ;;
        esac
    done
}

raw=backing.driver=raw,backing.file.filename=r.raw
for size in 524288 1048576; do
    commit window.qcow2 $raw,backing.offset=524288,backing.size=524288
    commit window.qcow2 $raw,backing.offset=$((1048576 - size)),backing.size=$size -d
done
cmp -s ours/r.raw a/r.raw && fail "nothing was committed"
commit top-r.raw backing.read-only=on
commit top-r.raw backing.force-share=on
commit top-r.raw backing.file.locking=off
commit top-r.raw backing.file.read-only=on
cmp -s ours/r.raw a/r.raw || fail "a base that is not to be written was"
commit top-r.raw backing.driver=file
commit top-r.raw backing.driver=raw,backing.file.filename=b2.raw
commit top-r.raw backing.discard=unmap,backing.detect-zeroes=unmap

commit top-data.qcow2 backing.data-file.filename=data.2
cmp -s ours/data.2 a/data.2 && fail "nothing came into the typed data file"
cmp ours/data.1 a/data.1 || fail "the data file was written that was not meant"

for clusters in '' ,backing.driver=qcow2,backing.file.filename=base.qcow2; do
    commit top-base.qcow2 backing.backing.driver=raw,backing.backing.file.filename=b2.raw$clusters
    commit top-base.qcow2 backing.backing.file.filename=b2.raw,backing.backing.offset=4096$clusters
    commit top-base.qcow2 backing.backing=$clusters
done
commit high.qcow2 backing.backing.backing.file.filename=b2.raw
commit high.qcow2 backing.force-share=on -b base.qcow2
# qemu-img does not find an image by its name when something was typed of what is below it.
rm -rf a
cp -a ours a
(cd a && "$IMG" commit -q -b base.qcow2 --image-opts \
    driver=qcow2,file.filename=high.qcow2,backing.backing.backing.file.filename=b2.raw)
"$IMG" io -r -c 'read -P 66 0 12k' -c 'read -P 7 12k 4k' -c 'read -P 66 64k 36k' \
    -c 'read -P 9 100k 4k' -c 'read -P 98 128k 64k' a/base.qcow2 >/dev/null

note "encrypted below"
commit top-over-luks.qcow2 backing.backing.encrypt.key-secret=s
commit top-over-luks.qcow2 backing.backing.encrypt.key-secret=w
commit top-over-luks.qcow2 cache.direct=off
commit top-luks.qcow2 backing.encrypt.key-secret=s
for name in a b; do
    $QEMU_IMG convert "${secrets[@]}" --image-opts -O raw \
        driver=qcow2,file.filename=$name/luks.qcow2,encrypt.key-secret=s $name.raw
done
cmp a.raw b.raw || fail "what was committed into an encrypted base differs"
commit top-luks.qcow2 backing.encrypt.key-secret=w

for program in "$QEMU_IO" "$IMG io"; do
    # shellcheck disable=SC2086
    $program "${secrets[@]}" -s --image-opts -c 'read -P 98 64k 64k' -c 'write -P 1 0 1M' \
        -c 'read -P 1 0 1M' driver=qcow2,file.filename=ours/luks.qcow2,encrypt.key-secret=s >io.out ||
        fail "$program -s on an encrypted image: $(cat io.out)"
done
"$IMG" io "${secrets[@]}" -s -c 'read -P 98 0 1M' "json:{\"driver\": \"qcow2\",
    \"file\": {\"filename\": \"ours/luks.qcow2\"}, \"encrypt.key-secret\": \"s\"}" >io.out ||
    fail "a temporary overlay was written through: $(cat io.out)"

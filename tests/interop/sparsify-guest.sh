#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# sparsify of a Debian guest in which 200 MB were deleted: they are gone afterwards, every file is
# what it was, and a kill half-way harms nothing.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" debugfs e2fsck sfdisk openssl
guest_image

cp --sparse=always --reflink=auto "$guest_image" disk.raw
chmod u+w disk.raw
start=$(sfdisk -d disk.raw | sed -n 's/^disk.raw2 : start= *\([0-9]*\),.*/\1/p')
start=$((start * 512))

# listing FILE: type, mode, owner, size and checksum of every file of the root filesystem
listing() {
    mkdir -p tree
    debugfs -R "rdump / tree" "$1?offset=$start" >/dev/null 2>&1
    (cd tree && find . -type f -print0 | sort -z | xargs -0 sha256sum &&
        find . -printf '%p %y %m %U %G %l\n' | sort)
    rm -rf tree
}

usage() {
    sync "$1"
    echo $(($(stat -c %b "$1") / 2048)) # MiB
}

check() {
    e2fsck -fn "$1?offset=$start" >e2fsck.txt 2>&1 || fail "$1: e2fsck: $(tail -5 e2fsck.txt)"
}

"$IMG" sparsify -q disk.raw least.raw
least=$(usage least.raw)
rm least.raw

note "200 MB come and go"
openssl enc -aes-128-ctr -nosalt -pass pass:x </dev/zero 2>/dev/null | head -c 200M >big
debugfs -w -R "write big /big" "disk.raw?offset=$start" >/dev/null 2>&1
debugfs -w -R "rm /big" "disk.raw?offset=$start" >/dev/null 2>&1
rm big
check disk.raw
listing disk.raw >before.txt
[ "$(wc -l <before.txt)" -gt 10000 ] || fail "the guest has $(wc -l <before.txt) files only"
[ $(($(usage disk.raw) - least)) -gt 195 ] || fail "the 200 MB were never there"

# judge FILE: a raw one
judge() {
    check "$1"
    listing "$1" | cmp -s - before.txt || fail "$1: files have changed"
}

note "into a copy"
"$IMG" sparsify -q -O qcow2 disk.raw out.qcow2
[ "$(usage out.qcow2)" -le $((least + 8)) ] || fail "the copy takes $(usage out.qcow2) MiB, not $least"
"$QEMU_IMG" convert -O raw out.qcow2 out.raw
judge out.raw
rm out.raw out.qcow2

for format in raw qcow2; do
    note "in place, $format, killed and begun again"
    "$QEMU_IMG" convert -O $format disk.raw in.img
    before=$(usage in.img)
    "$IMG" sparsify --in-place -f $format --progress=json -r 20M in.img >out.txt 2>err.txt &
    pid=$!
    for _ in $(seq 200); do
        ! grep -q '"done": [1-9]' err.txt || break
        sleep 0.05
    done
    kill -KILL $pid
    wait $pid && fail "it was over before it was killed"
    "$QEMU_IMG" convert -f $format -O raw in.img out.raw
    judge out.raw
    rm out.raw
    "$IMG" sparsify -q --in-place -f $format in.img
    [ $((before - $(usage in.img))) -ge 190 ] || fail "$format: $before MiB before, $(usage in.img) now"
    [ $format = raw ] || "$QEMU_IMG" check -q in.img || fail "qemu-img check: status $?"
    "$QEMU_IMG" convert -f $format -O raw in.img out.raw
    judge out.raw
    rm out.raw in.img
done

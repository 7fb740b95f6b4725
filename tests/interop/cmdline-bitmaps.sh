#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Command lines that have to do with persistent bitmaps.
# Given to qemu-img and to img, see sidebyside.bash.

. "$(dirname "$0")/sidebyside.bash"

# -------------------------------------------------------------------- bitmaps

# What the images list, as the other program sees it too.
bitmaps() {
    local file side
    for file; do
        run_both info --output=json "$file"
        for side in theirs ours; do
            sed '/actual-size/d; s/^ *//; s/,$//' $side.out | sort >$side.sorted
            mv $side.sorted $side.out
        done
        compare_sides info --output=json "$file"
        cmp <("$QEMU_IMG" info "ours/$file") <("$OURS" info "ours/$file") ||
            report "info of our $file" theirs.out ours.out
    done
}
same_err bitmap
same_err bitmap small.qcow2 b
same_err bitmap --add
same_err bitmap --add small.qcow2
same_err bitmap --add small.qcow2 b more
same_err bitmap --nonsense small.qcow2 b
same_err bitmap --enable -g 512 small.qcow2 b
same_err bitmap --add -g nonsense small.qcow2 b
same_err bitmap -F qcow2 --merge b small.qcow2 b
same_err bitmap -b large.qcow2 --add small.qcow2 b
same_err bitmap --add missing.qcow2 b
same bitmap --add -f vmdk small.qcow2 b
same_err bitmap --add -f nonsense small.qcow2 b
same_err bitmap --add small.qcow2 ''
same_err bitmap --add -g 1000 small.qcow2 b
same_err bitmap --add -g 256 small.qcow2 b
same_err bitmap --add -g 4G small.qcow2 b
for action in --remove --clear --enable --disable '--merge none'; do
    # shellcheck disable=SC2086 # two words
    same_err bitmap $action small.qcow2 none
done
same_err bitmap --remove monolithicSparse.vmdk none
same_err bitmap --remove -f raw data.raw none
same bitmap --add -f raw data.raw b
same bitmap --add monolithicSparse.vmdk b
same bitmap --add v2.qcow2 b
same bitmap --add small.qcow2 "$(printf 'n%.0s' {1..1024})"
same_err bitmap --add small.qcow2 one
same_err bitmap --add small.qcow2 one
same_err bitmap --add --disable small.qcow2 two
same_err bitmap --add -g 512 small.qcow2 three
same_err bitmap --add -g 2G small.qcow2 four
same_err bitmap --add -g 0 small.qcow2 five
same_err bitmap --add small.qcow2 "$(printf 'n%.0s' {1..1023})"
bitmaps small.qcow2
same_err bitmap --add orphan.qcow2 one
same_err bitmap --merge one small.qcow2 two
same_err bitmap --merge one small.qcow2 one
same_err bitmap --merge three small.qcow2 none
same_err bitmap --merge none small.qcow2 one
same_err bitmap --enable --disable --clear small.qcow2 one
same_err bitmap --disable --enable small.qcow2 two
same_err bitmap --remove --add small.qcow2 three
same_err bitmap --add --remove small.qcow2 gone
same_err bitmap --add --merge none small.qcow2 half
bitmaps small.qcow2
same_err bitmap --add large.qcow2 one
same_err bitmap --merge one -b large.qcow2 -F qcow2 small.qcow2 one
same_err bitmap --merge one -b missing.qcow2 -F qcow2 small.qcow2 one
same_err bitmap --merge one -b large.qcow2 -F raw small.qcow2 one
same bitmap --add --merge one -b large.qcow2 large.qcow2 two
same_err convert --skip-broken-bitmaps -O qcow2 small.qcow2 out.qcow2
same_err convert --bitmaps -O raw data.raw out.raw
same_err convert --bitmaps -O qcow2 data.raw out.qcow2
same_err convert --bitmaps -O qcow2 v2.qcow2 out.qcow2
same_err convert --bitmaps -O raw small.qcow2 out.raw
same_err convert --bitmaps -O qcow2 -o compat=0.10 small.qcow2 out.qcow2
same_err convert --bitmaps -O qcow2 small.qcow2 large.qcow2 out.qcow2
same_err convert --bitmaps -O qcow2 small.qcow2 out.qcow2
bitmaps out.qcow2
same_err convert --bitmaps -O qcow2 -c -o cluster_size=4k small.qcow2 out.qcow2
bitmaps out.qcow2
same_err convert --bitmaps -n -O qcow2 large.qcow2 empty.qcow2
same convert --bitmaps -n -O qcow2 large.qcow2 large.qcow2
$QEMU_IMG create -q -f qcow2 theirs/other.qcow2 10M
cp theirs/other.qcow2 ours/other.qcow2
same_err convert --bitmaps -n -O qcow2 large.qcow2 other.qcow2
bitmaps other.qcow2
same_err convert --bitmaps -n -O qcow2 large.qcow2 other.qcow2
same measure -O qcow2 small.qcow2
same measure -O qcow2 -o cluster_size=512 small.qcow2
same measure -O qcow2 -o compat=0.10 small.qcow2
same measure -O raw small.qcow2
same_err resize small.qcow2 3M
same_err resize --shrink small.qcow2 512k
bitmaps small.qcow2
same check -q small.qcow2
# What a writer left that died: the flag "in use" in the records of b1 and b2.
for side in theirs ours; do
    $QEMU_IMG create -q -f qcow2 $side/dead.qcow2 1M
    for name in b1 b2; do
        $QEMU_IMG bitmap --add $side/dead.qcow2 $name
    done
    directory=$(grep -oba b1 $side/dead.qcow2 | tail -1 | cut -d: -f1)
    printf '\3' | dd of=$side/dead.qcow2 bs=1 seek=$((directory - 9)) conv=notrunc status=none
done
bitmaps dead.qcow2
same_err bitmap --add dead.qcow2 b1
for action in --clear --enable --disable '--merge b2'; do
    # shellcheck disable=SC2086 # two words
    same_err bitmap $action dead.qcow2 b1
done
same_err bitmap --merge b1 dead.qcow2 b2
same convert --bitmaps -O qcow2 dead.qcow2 out.qcow2
same_err convert --bitmaps --skip-broken-bitmaps -O qcow2 dead.qcow2 out.qcow2
bitmaps out.qcow2
same resize dead.qcow2 2M
same_err measure -O qcow2 dead.qcow2
same_err bitmap --remove dead.qcow2 b1
bitmaps dead.qcow2
same_err resize dead.qcow2 2M
same_err bitmap --remove dead.qcow2 b2
bitmaps dead.qcow2
same check -q dead.qcow2

finish

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Snapshots whose L1 tables are the same, or overlap: a check takes no longer than the file's size
# allows, and a repair that cannot know what may be freed changes nothing.
. "$(dirname "$0")/../lib.sh"

# A guard against hours, not a measure of speed.
LIMIT=120

# record L1_OFFSET L1_ENTRIES: a snapshot's, of 64 bytes, without id and name.
record() {
    local text bytes=
    text=$(printf '%016x%08x%048x%08x%048x' "$1" "$2" 0 24 0)
    while [ -n "$text" ]; do
        bytes+="\\x${text:0:2}"
        text=${text:2}
    done
    printf '%b' "$bytes"
}

put() {
    printf '%b' "$2" | dd of=image bs=1 seek="$1" conv=notrunc status=none
}

# number OFFSET BYTES: of "image".
number() {
    echo $((16#$(od -An -v -tx1 -j "$1" -N "$2" image | tr -d ' \n')))
}

# An image with so many snapshots, whose table is in the file "table".
image() {
    local count
    count=$(printf %08x "$1")
    rm -f image
    "$IMG" create -q -f qcow2 image 4M
    "$IMG" io -c 'write -P 3 0 300k' image >/dev/null
    truncate -s 64M image
    put 60 "\\x${count:0:2}\\x${count:2:2}\\x${count:4:2}\\x${count:6:2}"
    put 64 '\0\0\0\0\x00\x80\0\0'
    dd if=table of=image bs=1M seek=8 conv=notrunc status=none
}

note "65536 snapshots of one L1 table of 32 MiB"
record $((16 << 20)) 4194304 >table
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
    cat table table >twice
    mv twice table
done
image 65536
timeout $LIMIT "$IMG" check image >out.txt 2>&1 && status=0 || status=$?
[ "$status" = 2 ] || fail "status $status: $(tail -n 3 out.txt)"
grep -q "cluster 256 refcount=0 reference=65536" out.txt || fail "the table's uses: $(head out.txt)"

note "512 tables that overlap"
for ((i = 0; i < 512; i++)); do
    record $((16 << 20)) $((4194304 - i))
done >table
image 512
cp image before
for repair in "" "-r leaks" "-r all"; do
    # shellcheck disable=SC2086 # no word or two
    timeout $LIMIT "$IMG" check $repair image >out.txt 2>&1 && status=0 || status=$?
    [ "$status" = 2 ] || fail "$repair: status $status: $(tail -n 3 out.txt)"
    grep -q "L1 table overlaps others" out.txt || fail "$repair: not told: $(head out.txt)"
    cmp image before || fail "$repair: the image has changed"
done

note "two references that a refcount of 1 bit cannot say"
rm -f image
"$IMG" create -q -f qcow2 -o refcount_bits=1 image 4M
"$IMG" io -c 'write -P 3 0 128k' image >/dev/null
l2=$(number $(($(number 40 8) + 2)) 6)
dd if=image of=entry bs=1 skip="$l2" count=8 status=none
dd if=entry of=image bs=1 seek=$((l2 + 8)) conv=notrunc status=none
put "$l2" '\0'
put $((l2 + 8)) '\0'
"$IMG" check -r all image >out.txt 2>&1 && status=0 || status=$?
[ "$status" = 2 ] || fail "status $status: $(tail -n 3 out.txt)"
[ "$(number "$l2" 1)" = 0 ] || fail "COPIED is set of a cluster that is not alone"

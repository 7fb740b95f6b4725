#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A chain of twenty delta links of mixed subformats, read by both programs as a plain twin is, while
# links are committed, rebased and resized in its middle; and what a parent that was changed behind
# its child's back makes of it.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"

size=$((40 << 20))
truncate -s $size twin.raw

# put IMAGE PATTERN OFFSET LENGTH: to the image and to the twin.
put() {
    "$QEMU_IO" -f vmdk -c "write -P $2 $3 $4" "$1" >/dev/null
    "$QEMU_IO" -f raw -c "write -P $2 $3 $4" twin.raw >/dev/null
}

# equal IMAGE: both find the twin's bytes in it.
equal() {
    "$IMG" compare -q -f raw -F vmdk twin.raw "$1" || fail "$1 is not the twin for img"
    "$QEMU_IMG" compare -q -f raw -F vmdk twin.raw "$1" || fail "$1 is not the twin for qemu-img"
}

# no_next: no commit is left half way.
no_next() {
    ! grep -aq nextParentCID ./*.vmdk || fail "a link still waits for a CID"
}

note "twenty links"
kinds=(subformat=twoGbMaxExtentSparse zeroed_grain=on subformat=monolithicSparse grain_size=4k
    "subformat=twoGbMaxExtentSparse,zeroed_grain=on")
"$IMG" create -q -f vmdk -o subformat=monolithicFlat link0.vmdk $size
put link0.vmdk 200 0 20M
for i in $(seq 20); do
    kind=${kinds[i % 5]}
    "$IMG" create -q -f vmdk -o "$kind" -b link$((i - 1)).vmdk -F vmdk link$i.vmdk
    put link$i.vmdk "$i" $((i * 1500000 / 512 * 512)) 1M
    put link$i.vmdk $((i + 20)) $((i * 4096)) 5000
done
equal link20.vmdk
"$QEMU_IO" -f vmdk -c 'write -z 3M 1M' link20.vmdk >/dev/null
"$QEMU_IO" -f raw -c 'write -z 3M 1M' twin.raw >/dev/null
equal link20.vmdk

note "a commit in the middle: the links above still stand on what they stood on"
"$IMG" commit -q link5.vmdk
# Link 4 holds what 5 did, and 5 is empty, so 6 needs both to be what they were.
equal link20.vmdk
no_next
"$IMG" commit -q -d link9.vmdk
equal link20.vmdk
"$IMG" commit -q -b link0.vmdk link2.vmdk
equal link20.vmdk
no_next

note "rebase: over a link, to the bottom, by name alone"
"$IMG" rebase -q -b link8.vmdk -F vmdk link10.vmdk
rm link9.vmdk
equal link20.vmdk
cp link10.vmdk moved.vmdk
"$IMG" rebase -q -u -b moved.vmdk -F vmdk link11.vmdk
rm link10.vmdk
equal link20.vmdk
"$IMG" rebase -q -b '' link15.vmdk
rm link14.vmdk
equal link20.vmdk
"$IMG" info link15.vmdk >info.txt
! grep -q 'backing file' info.txt || fail "link 15 still has a parent"
expect_fail 1 'backing_file must be a vmdk image' "$IMG" rebase -b twin.raw -F raw link15.vmdk

note "resize, of a link and of the top"
"$IMG" resize -q link20.vmdk 60M
truncate -s 60M twin.raw
put link20.vmdk 99 50M 1M
equal link20.vmdk
"$IMG" resize -q --shrink link20.vmdk 30M
truncate -s 30M twin.raw
equal link20.vmdk
"$IMG" resize -q link20.vmdk 41M
truncate -s 41M twin.raw
# The parent is longer than the child was: nothing of it may come back.
equal link20.vmdk

note "all of it down to the bottom"
for i in 20 19 18 17 16; do
    "$IMG" commit -q link$i.vmdk
    equal link$i.vmdk
    equal link$((i - 1)).vmdk
done
no_next

note "a parent that was changed"
"$IMG" create -q -f vmdk parent.vmdk 1M
"$IMG" create -q -f vmdk -b parent.vmdk -F vmdk child.vmdk
"$IMG" create -q -f vmdk -b parent.vmdk -F vmdk sibling.vmdk
"$QEMU_IO" -c 'write -P 1 0 64k' sibling.vmdk >/dev/null
"$IMG" commit -q sibling.vmdk
"$QEMU_IO" -r -c 'read -P 1 0 64k' sibling.vmdk | grep -q failed && fail "the sibling is lost"
expect_fail 1 "img rebase -u -F vmdk -b 'parent.vmdk' 'child.vmdk'" \
    "$IMG" convert -O raw child.vmdk out.raw
"$IMG" rebase -q -u -F vmdk -b 'parent.vmdk' 'child.vmdk'
"$IMG" convert -O raw child.vmdk out.raw
"$QEMU_IMG" compare -q out.raw child.vmdk

note "uncleanShutdown"
"$IMG" create -q -f vmdk open.vmdk 1M
[ "$(peek open.vmdk 72 1)" = 00 ] || fail "a new image is unclean"
mkfifo commands
"$IMG" io -f vmdk open.vmdk <commands >io.txt 2>&1 &
holder=$!
exec 9>commands
printf 'write -P 1 0 4k\nflush\n' >&9
for _ in $(seq 200); do
    [ "$(peek open.vmdk 72 1)" != 01 ] || break
    sleep 0.05
done
[ "$(peek open.vmdk 72 1)" = 01 ] || fail "an image that is being written is not marked"
kill -KILL $holder
exec 9>&-
wait $holder || :
[ "$(peek open.vmdk 72 1)" = 01 ] || fail "the mark is gone although the writer was killed"
# Who writes it next has not checked it, either.
"$IMG" io -c 'write -P 2 0 4k' open.vmdk >/dev/null
[ "$(peek open.vmdk 72 1)" = 01 ] || fail "a mark was taken away without a check"
poke open.vmdk 72 00
"$IMG" io -c 'write -P 3 0 4k' open.vmdk >/dev/null
[ "$(peek open.vmdk 72 1)" = 00 ] || fail "the mark stays after a close"

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Rebase of random chains: the disk stays what it is, and the image is what qemu-img makes
# of a copy.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/chain.bash"

# chain DEPTH: a chain, and other0 over which it may be put; flat.raw is what the top reads as.
chain() {
    local last size
    make_chain "$@"
    last=layer$1
    "$QEMU_IMG" convert -f qcow2 -O raw "$last" flat.raw
    choose_size
    rm -f other0
    # Alike for the most part, so that there is something to leave out.
    "$QEMU_IMG" convert -f "${formats[0]}" -O qcow2 layer0 other0
    "$QEMU_IMG" resize -q -f qcow2 --shrink other0 "$size"
    scribble qcow2 other0 "$size"
}

# by_both IMAGE ARGS...: IMAGE becomes what we make of it, theirs what qemu-img does.
by_both() {
    local image=$1 status=0
    shift
    cp "$image" theirs
    "$QEMU_IMG" rebase -f qcow2 "$@" theirs || fail "seed $seed: qemu-img rebase $*"
    "$IMG" rebase -f qcow2 "$@" "$image" >out 2>err || status=$?
    [ $status = 0 ] || { cat err; fail "seed $seed: img rebase $*: status $status"; }
    [ ! -s out ] || fail "rebase says something"
    sound qcow2 "$image"
    equal raw flat.raw qcow2 "$image"
    for key in backing-filename backing-filename-format virtual-size; do
        [ "$("$QEMU_IMG" info --output=json "$image" | grep "\"$key\"")" = \
            "$("$QEMU_IMG" info --output=json theirs | grep "\"$key\"")" ] ||
            fail "seed $seed: rebase $*: $key"
    done
}

# clusters IMAGE: how many it holds itself.
clusters() {
    "$QEMU_IMG" check -f qcow2 "$1" | sed -n 's,^\([0-9]*\)/[0-9]* = .*allocated.*,\1,p' || :
}

for round in 1 2 3 4 5 6 7 8; do
    depth=$((RANDOM % 4 + 1))
    top=layer$depth
    note "round $round: depth $depth"
    chain $depth
    cp $top start
    by_both $top -b other0 -F qcow2
    # We keep what differs, and no more.
    [ "$(clusters $top)" -le "$(clusters theirs)" ] ||
        fail "seed $seed: $(clusters $top) clusters, not $(clusters theirs)"
    by_both $top -b ''
    by_both $top -b layer0 -F "${formats[0]}"
    cp start $top
    by_both $top -b layer0 -F "${formats[0]}"
    cp start $top
    by_both $top -b ''
    cp start $top
    "$IMG" rebase -c -f qcow2 -b other0 -F qcow2 $top || fail "rebase -c"
    equal raw flat.raw qcow2 $top
    sound qcow2 $top
done

note "the same chain by other names: nothing is copied"
chain 3
before=$(stat -c %s layer3)
"$IMG" rebase -b "$PWD/layer2" -F qcow2 layer3
equal raw flat.raw qcow2 layer3
[ "$(stat -c %s layer3)" = "$before" ] || fail "layer3 has grown"

note "what is compressed"
seq 1000000 | head -c 2M >layer0
"$QEMU_IMG" create -q -f qcow2 -b layer0 -F raw over.qcow2
"$IMG" rebase -c -b '' over.qcow2
"$IMG" check over.qcow2 | grep -q '32/32 = 100.00% allocated, .*100.00% compressed' ||
    fail "over.qcow2 is not compressed"
equal raw layer0 qcow2 over.qcow2

note "only the name"
"$QEMU_IMG" create -q -f qcow2 -b layer0 -F raw over.qcow2
for name in gone.qcow2 ../x/y.raw ''; do
    "$IMG" rebase -u -b "$name" -F raw over.qcow2
    cp over.qcow2 ours.qcow2
    "$QEMU_IMG" rebase -u -b "$name" -F raw over.qcow2
    same over.qcow2 ours.qcow2
done

note "unknown extensions and a longer header stay"
"$QEMU_IMG" create -q -f qcow2 -u -b layer0 -F raw ext.qcow2 1M
# Behind the header comes the backing format (8 + 3, padded to 8): make it an extension unknown to all.
printf '\x12\x34\x56\x78' | dd of=ext.qcow2 bs=1 seek=112 conv=notrunc status=none
"$IMG" rebase -u -b layer0 -F raw ext.qcow2
grep -q "$(printf '\x12\x34\x56\x78')" ext.qcow2 || fail "the extension is gone"
"$QEMU_IMG" info ext.qcow2 | grep -q 'backing file format: raw' || fail "no backing format"
sound qcow2 ext.qcow2

note "what cannot be done"
"$QEMU_IMG" create -q -f qcow2 -o cluster_size=512 -b layer0 -F raw small.qcow2
cp small.qcow2 before.qcow2
expect_fail 1 'No space left in the file header' \
    "$IMG" rebase -u -b "$(printf '%0500d' 1)" -F raw small.qcow2
same small.qcow2 before.qcow2
expect_fail 1 'Could not change the backing file to' \
    "$IMG" rebase -u -b "$(printf '%01100d' 1)" -F raw small.qcow2
expect_fail 1 "Could not change the backing file to 'layer0': backing format must be specified" \
    "$IMG" rebase -b layer0 small.qcow2
expect_fail 1 "Invalid format name: 'nonsense'" "$IMG" rebase -b layer0 -F nonsense small.qcow2
expect_fail 1 "Could not open new backing file 'gone': Could not open 'gone': No such file" \
    "$IMG" rebase -b gone -F raw small.qcow2
expect_fail 1 "Could not change the backing file to 'layer0': Operation not supported" \
    "$IMG" rebase -f raw -b layer0 -F raw flat.raw
expect_fail 1 'lock' "$IMG" rebase -b small.qcow2 -F qcow2 small.qcow2
expect_fail 1 'Must specify backing file (-b) or use unsafe mode (-u)' "$IMG" rebase small.qcow2
same small.qcow2 before.qcow2

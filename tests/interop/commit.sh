#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Commit of random chains: the same disks as qemu-img makes of a copy, equal to what
# was read through the chain before.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/chain.bash"

# twice ARGS...: the same command by us in ours/ and by qemu-img in theirs/.
twice() {
    local status=0 wanted=0
    (cd ours && "$IMG" "$@") >ours.out 2>ours.err || status=$?
    (cd theirs && "$QEMU_IMG" "$@") >theirs.out 2>theirs.err || wanted=$?
    if grep -q 'Operation not supported' theirs.err; then
        note "qemu-img cannot do that; our status is $status"
    elif [ $status != $wanted ] || ! cmp -s ours.out theirs.out; then
        cat ours.out ours.err theirs.out theirs.err
        fail "seed $seed: $*: status $status, not $wanted"
    fi
}

# chain DEPTH: a chain, in ours and theirs; flat.raw is what the top reads as.
chain() {
    rm -rf ours theirs flat.raw
    mkdir ours
    cd ours
    make_chain "$@"
    "$QEMU_IMG" convert -f qcow2 -O raw "layer$1" ../flat.raw
    cd ..
    cp -a ours theirs
}

# same_disks LAST: every layer reads the same on both sides and is sound with us.
same_disks() {
    local n
    for ((n = 0; n <= $1; n++)); do
        equal "${formats[n]}" ours/layer$n "${formats[n]}" theirs/layer$n
        [ "$(virtual_size "${formats[n]}" ours/layer$n)" = \
            "$(virtual_size "${formats[n]}" theirs/layer$n)" ] || fail "size of layer$n"
        sound "${formats[n]}" ours/layer$n
    done
}

# is_empty IMAGE: the image itself holds nothing.
is_empty() {
    if "$QEMU_IMG" map -f qcow2 --output=json "$1" | grep '"depth": 0' | grep 'present": true' >&2; then
        fail "seed $seed: $1 is not empty"
    fi
}

for round in 1 2 3 4 5 6 7 8; do
    depth=$((RANDOM % 4 + 1))
    # A VMDK image cannot grow: then all disks have one size.
    [ $((round % 2)) = 0 ] && size=2M || size=
    note "round $round: depth $depth ${size:-random sizes}"
    chain $depth ${size:+$((2 << 20))}
    twice commit -f qcow2 layer$depth
    # The disk is what it was, whatever became of it.
    equal raw flat.raw qcow2 ours/layer$depth
    # Where qemu-img cannot grow the base (version 2 over a longer image), we may.
    cmp -s ours.out theirs.out && same_disks $depth
    if [ "$(cat ours.out)" = "Image committed." ]; then
        # What a longer backing image has behind the end of the top stays.
        [ -z "$size" ] || equal raw flat.raw "${formats[depth - 1]}" ours/layer$((depth - 1))
        is_empty ours/layer$depth
        limit=$((16 * 65536)) # a few clusters: tables, but no data
        [ "$(stat -c %s ours/layer$depth)" -le $limit ] || fail "layer$depth is still large"
    fi

    note "round $round: to the bottom"
    chain $depth $((2 << 20))
    twice commit -f qcow2 -b layer0 layer$depth
    equal raw flat.raw "${formats[0]}" ours/layer0
    sound qcow2 ours/layer$depth
    same_disks 0

    chain $depth $((2 << 20))
    twice commit -f qcow2 -d -q layer$depth
    equal raw flat.raw "${formats[depth - 1]}" ours/layer$((depth - 1))
    same_disks $depth
done

note "a shorter image between"
rm -rf ours theirs
mkdir ours
cd ours
seq 1000000 | head -c 3M >layer0
"$QEMU_IMG" create -q -f qcow2 -b layer0 -F raw layer1 1M
"$QEMU_IMG" create -q -f qcow2 -b layer1 -F qcow2 layer2 4M
"$QEMU_IO" -c 'write -P 1 512k 64k' layer2 >/dev/null
"$QEMU_IMG" convert -O raw layer2 ../flat.raw
cd ..
cp -a ours theirs
formats=(raw qcow2 qcow2)
twice commit -b layer0 layer2
equal raw flat.raw raw ours/layer0
same_disks 0

note "with snapshots"
chain 1 $((2 << 20))
for side in ours theirs; do
    "$QEMU_IMG" create -q -f qcow2 -b layer0 -F "${formats[0]}" $side/layer1
    "$QEMU_IO" -c 'write -P 1 0 1M' $side/layer1 >/dev/null
    "$QEMU_IMG" snapshot -c one $side/layer1
    "$QEMU_IO" -c 'write -P 2 512k 1M' $side/layer1 >/dev/null
done
twice commit layer1
same_disks 1
is_empty ours/layer1
"$QEMU_IMG" snapshot -a one ours/layer1
"$QEMU_IO" -c 'read -P 1 0 1M' ours/layer1 | grep -q 'verification failed' && fail "snapshot lost"
sound qcow2 ours/layer1

note "what cannot be done"
expect_fail 1 'Image does not have a backing file' "$IMG" commit -f raw flat.raw
expect_fail 1 "Did not find 'nonsense' in the backing chain of 'ours/layer1'" \
    "$IMG" commit -b nonsense ours/layer1
expect_fail 1 'Did not find' "$IMG" commit -b ours/layer1 ours/layer1
expect_fail 1 'Expecting one image file name' "$IMG" commit
# An image of which nobody knows how it should grow.
truncate -s 512k part
cat >small.vmdk <<'TEXT'
# Disk DescriptorFile
version=1
CID=00000012
parentCID=ffffffff
createType="custom"
RW 1024 FLAT "part" 0
RW 1024 ZERO
TEXT
"$IMG" create -q -f qcow2 -b small.vmdk -F vmdk over.qcow2 2M
"$IMG" io -c 'write -P 1 0 64k' over.qcow2 >/dev/null
cp over.qcow2 before.qcow2
expect_fail 1 'cannot be resized' "$IMG" commit over.qcow2
same over.qcow2 before.qcow2
"$QEMU_IMG" convert -f raw -O vmdk -o subformat=streamOptimized flat.raw stream.vmdk
"$QEMU_IMG" create -q -f qcow2 -b stream.vmdk -F vmdk over.qcow2
"$QEMU_IO" -c 'write -P 1 0 64k' over.qcow2 >/dev/null
expect_fail 1 'stream.vmdk' "$IMG" commit over.qcow2
equal raw flat.raw vmdk stream.vmdk

note "a base that another process uses"
mkfifo holder
"$QEMU_IMG" create -q -f qcow2 base.qcow2 1M
"$QEMU_IMG" create -q -f qcow2 -b base.qcow2 -F qcow2 over.qcow2
"$QEMU_IMG" create -q -f qcow2 -b base.qcow2 -F qcow2 other.qcow2
"$QEMU_IO" -r other.qcow2 <holder >held 2>&1 &
exec 9>holder
echo length >&9
for _ in {1..100}; do
    [ ! -s held ] || break
    sleep 0.05
done
grep -q '1 MiB' held || fail "qemu-io does not open the image"
expect_fail 1 'lock' "$IMG" commit over.qcow2
exec 9>&-
wait
"$IMG" commit -q over.qcow2 >silent 2>&1
[ ! -s silent ] || fail "-q is not quiet"
"$IMG" commit -p -r 100M over.qcow2 | tr '\r' '\n' | grep -q '(100.00/100%)' || fail "no progress"

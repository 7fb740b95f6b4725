#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# create -o preallocation=...: a file of the same length as qemu-img's, with the same map, in which
# both checkers find nothing; falloc and full take their space from the filesystem; measure knows it.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"

# runs FILE: the map without host addresses, whose order is each program's own
runs() {
    "$QEMU_IMG" map --output=json "$1" | sed 's/, "offset": [0-9]*//'
}

"$QEMU_IMG" create -q -f qcow2 base 4M
"$QEMU_IO" -c 'write -P 9 0 4M' base >/dev/null

for options in cluster_size=64k cluster_size=2M cluster_size=4k compat=0.10 refcount_bits=1 \
    lazy_refcounts=on extended_l2=on extended_l2=on,cluster_size=16k \
    'extended_l2=on,backing_file=base,backing_fmt=qcow2'; do
    for mode in off metadata falloc full; do
        for size in 64M 10M; do
            note "$mode: $options, $size"
            rm -f ours theirs
            "$IMG" create -q -f qcow2 -o preallocation=$mode,"$options" ours $size
            "$QEMU_IMG" create -q -f qcow2 -o preallocation=$mode,"$options" theirs $size
            [ "$(stat -c %s ours)" = "$(stat -c %s theirs)" ] ||
                fail "$(stat -c %s ours) bytes, qemu-img has $(stat -c %s theirs)"
            "$IMG" check -q ours || fail "img check: status $?"
            diff <("$QEMU_IMG" check ours) <("$QEMU_IMG" check theirs) >&2 ||
                fail "the checks differ"
            # Where L2 tables lie between the clusters, runs begin and end at other places.
            if [ "$options" != cluster_size=4k ] && [ "$options" != extended_l2=on,cluster_size=16k ]; then
                diff <(runs ours) <(runs theirs) >&2 || fail "the maps differ"
            fi
            "$QEMU_IMG" compare -q ours theirs || fail "they read differently"
            case $mode in
            falloc | full)
                [ "$(stat -c %b ours)" -ge $(($(numfmt --from=iec $size) / 512)) ] ||
                    fail "no space was set aside"
                ;;
            esac
        done
    done
done

note "an empty disk"
for mode in metadata falloc full; do
    "$IMG" create -q -f qcow2 -o preallocation=$mode ours 0
    "$QEMU_IMG" check -q ours || fail "qemu-img check: status $?"
done

note "what hides the backing image is refused"
for mode in metadata falloc full; do
    expect_fail 1 "Backing file and preallocation can only be used at the same time" \
        "$IMG" create -f qcow2 -o preallocation=$mode -b base -F qcow2 new
    [ ! -e new ] || fail "a file was made"
done
expect_fail 1 "Unsupported preallocation mode: metadata" \
    "$IMG" create -f raw -o preallocation=metadata new 1M

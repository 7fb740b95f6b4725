#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Images with a parent: made by either program, read by both, refused when the parent was changed.
. "$(dirname "$0")/../lib.sh"

need "$QEMU_IMG" "$QEMU_IO"

# same_disk IMAGE: both programs read the same.
same_disk() {
    "$IMG" convert -O raw "$1" ours.raw
    "$QEMU_IMG" convert -O raw "$1" theirs.raw
    cmp ours.raw theirs.raw || fail "$1 reads differently"
    "$IMG" map --output=json "$1" >ours.map
    "$QEMU_IMG" map --output=json "$1" >theirs.map
    cmp ours.map theirs.map || fail "$1 is mapped differently"
}

for creator in "$IMG" "$QEMU_IMG"; do
    for options in zeroed_grain=off zeroed_grain=on; do
        note "children made by $creator, $options"
        rm -f -- *.vmdk
        "$creator" create -q -f vmdk parent.vmdk 8M
        "$QEMU_IO" -f vmdk -c "write -P 1 0 3M" -c "write -P 2 5M 100k" parent.vmdk >/dev/null
        "$creator" create -q -f vmdk -o $options -b parent.vmdk -F vmdk child.vmdk
        same_disk child.vmdk
        "$QEMU_IO" -f vmdk -c "write -P 3 1M 70k" -c "write -z 2M 512k" child.vmdk >/dev/null
        same_disk child.vmdk
        "$creator" create -q -f vmdk -b child.vmdk -F vmdk grandchild.vmdk
        "$QEMU_IO" -f vmdk -c "write -P 4 6M 1M" grandchild.vmdk >/dev/null
        same_disk grandchild.vmdk
        "$IMG" check -q grandchild.vmdk
        "$QEMU_IO" -f vmdk -c "write -P 5 0 512" parent.vmdk >/dev/null
        expect_fail 1 parentCID "$IMG" convert -O raw grandchild.vmdk ours.raw
        expect_fail 1 parentCID "$IMG" convert -O raw child.vmdk ours.raw
        "$IMG" info child.vmdk >/dev/null
    done
done

expect_fail 1 "Flat image can't have backing file" \
    "$IMG" create -f vmdk -o subformat=monolithicFlat -b parent.vmdk -F vmdk flat.vmdk
truncate -s 1M disk.raw
expect_fail 1 "backing_file must be a vmdk image" \
    "$IMG" create -f vmdk -b disk.raw -F raw child.vmdk

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Descriptors of VMDK images that contradict their files, or lack what readers need: check finds it, check
# -r mends it, and qemu-img reads what was there. Without check nothing opens what it cannot trust.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"

# edit FILE SCRIPT: change the descriptor, embedded (sector 1, 20 sectors) or a file, by sed.
edit() {
    if [ "$(peek "$1" 0 4)" != 4b444d56 ]; then
        sed -i "$2" "$1"
        return
    fi
    dd if="$1" bs=512 skip=1 count=20 status=none | tr -d '\0' | sed "$2" >text
    truncate -s 10240 text
    dd if=text of="$1" bs=512 seek=1 conv=notrunc status=none
}

# The kind of image, the edit, and what check says of it.
cases=0
while IFS='|' read -r options script said; do
    note "$options: $script"
    rm -f -- *.vmdk
    "$IMG" create -q -f vmdk -o "$options" disk.vmdk 10M
    "$IMG" io -c 'write -P 7 1M 64k' disk.vmdk >/dev/null
    edit disk.vmdk "$script"
    [ "$said" = 'an image can have' ] || expect_fail 1 '' "$IMG" info disk.vmdk
    status=0
    "$IMG" check disk.vmdk >out 2>&1 || status=$?
    [ $status = 2 ] || fail "check: status $status"
    grep -q "descriptor: .*$said" out || { cat out >&2; fail "check does not say '$said'"; }
    status=0
    "$IMG" check -q -r leaks disk.vmdk >/dev/null 2>&1 || status=$?
    [ $status = 2 ] || fail "check -r leaks: status $status"
    "$IMG" check -q -r all disk.vmdk >/dev/null 2>&1 || fail "check -r all"
    "$IMG" check -q disk.vmdk || fail "not sound after the repair"
    "$QEMU_IO" -r -f vmdk -c 'read -P 7 1M 64k' -c 'read -P 0 0 1M' -c 'read -P 0 9M 1M' disk.vmdk >out
    ! grep -q failed out || { cat out >&2; fail "qemu-io reads something else"; }
    "$QEMU_IMG" info disk.vmdk | grep -q "create type: ${options#subformat=}" || fail "another type"
    cases=$((cases + 1))
done <<'CASES'
subformat=monolithicSparse|/^createType/d|no createType
subformat=monolithicSparse|s/^CID=.*/CID=zzzz/|an image can have
subformat=monolithicSparse|s/^CID=.*/CID=ffffffff/|an image can have
subformat=monolithicSparse|s/^RW 20480/RW 99999/|line 7 has 99999 sectors, the header 20480
subformat=monolithicSparse|s/^RW 20480/RW 1/|line 7 has 1 sectors, the header 20480
subformat=twoGbMaxExtentSparse|/^createType/d|no createType
subformat=monolithicFlat|/^createType/d|no createType
subformat=vmfs|/^createType/d|no createType
CASES
[ $cases = 8 ] || fail "$cases cases"

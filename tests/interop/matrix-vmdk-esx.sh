#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Interop matrix: what ESX keeps disks in, a flat file on VMFS or a redo log. qemu-img reads both and
# makes neither; the other names of flat files it does not know, so they are read by us alone.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/matrix.bash"

cell_ours_alone() {
    "$IMG" convert -f raw -O "$1" -o "$2" "$4.raw" us.vmdk &&
        sound "$IMG" "$1" us.vmdk &&
        identical "$IMG" compare -f raw -F "$1" "$4.raw" us.vmdk &&
        cmp "$4.raw" us-flat.vmdk
}

backing=
row vmdk subformat=vmfs "" 65536 written_by_us
for kind in vmfsThin vmfsThick vmfsPreallocated vmfsEagerZeroedThick; do
    row vmdk subformat=$kind "" 65536 ours_alone
done
backing=vmdk
row vmdk subformat=vmfsSparse "" 65536 written_by_us

note "what is set aside, and what the descriptor says of it"
for kind in vmfs:0 vmfsThin:0 vmfsThick:1 vmfsPreallocated:1 vmfsEagerZeroedThick:1; do
    "$IMG" create -q -f vmdk -o "subformat=${kind%:*}" a.vmdk 4M
    [ $(($(stat -c %b a-flat.vmdk) >= 8192)) = "${kind#*:}" ] || fail "$kind: $(stat -c %b a-flat.vmdk) blocks"
    grep -q "^RW 8192 VMFS \"a-flat.vmdk\"$" a.vmdk || fail "$kind: $(cat a.vmdk)"
    [ "$(grep -c thinProvisioned a.vmdk)" = "$([ $kind = vmfsThin:0 ] && echo 1 || echo 0)" ] ||
        fail "$kind: $(cat a.vmdk)"
done

note "a redo log on a disk on VMFS, as a snapshot in ESX makes them"
make_content sparse 65536
"$IMG" convert -f raw -O vmdk -o subformat=vmfs sparse.raw base.vmdk
"$IMG" create -q -f vmdk -o subformat=vmfsSparse -b base.vmdk -F vmdk base-000001.vmdk
empty=$(stat -c %s base-000001-delta.vmdk)
grep -q 'VMFSSPARSE "base-000001-delta.vmdk"' base-000001.vmdk || fail "$(cat base-000001.vmdk)"
cp sparse.raw want.raw
"$builddir/tests/tools/img-write" -f vmdk -s 8 -n 80 base-000001.vmdk want.raw >/dev/null
identical "$IMG" compare -f raw -F vmdk want.raw base-000001.vmdk || fail "not what was written"
identical "$QEMU_IMG" compare -f raw -F vmdk want.raw base-000001.vmdk || fail "qemu-img reads something else"
sound "$IMG" vmdk base-000001.vmdk || fail "unsound"
note "the redo log on another base, then committed to it"
"$IMG" convert -f raw -O vmdk -o subformat=vmfs want.raw other.vmdk
"$IMG" rebase -f vmdk -b other.vmdk -F vmdk base-000001.vmdk
identical "$IMG" compare -f raw -F vmdk want.raw base-000001.vmdk || fail "rebased: something else"
identical "$QEMU_IMG" compare -f raw -F vmdk want.raw base-000001.vmdk || fail "rebased, qemu-img"
"$builddir/tests/tools/img-write" -f vmdk -s 9 -n 40 base-000001.vmdk want.raw >/dev/null
"$IMG" commit -f vmdk base-000001.vmdk
identical "$IMG" compare -f raw -F vmdk want.raw other.vmdk || fail "the base has not got it"
identical "$IMG" compare -f raw -F vmdk want.raw base-000001.vmdk || fail "the redo log is broken"
same want.raw other-flat.vmdk
sound "$IMG" vmdk base-000001.vmdk || fail "unsound after the commit"
[ "$(stat -c %s base-000001-delta.vmdk)" = "$empty" ] || fail "tables or grains are left: $(stat -c %s base-000001-delta.vmdk) bytes"
! "$IMG" map -f vmdk --output=json base-000001.vmdk | grep '"depth": 0' || fail "the redo log is not empty"
expect_fail 1 "Flat image can't have backing file" \
    "$IMG" create -f vmdk -o subformat=vmfs -b base.vmdk -F vmdk flat.vmdk
matrix_end

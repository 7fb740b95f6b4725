#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The NBD server that the library has inside, used by QEMU's client and by libnbd's.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO" nbdinfo nbdcopy
serve=$builddir/tests/tools/serve-image

note "writing"
"$IMG" create -q -f qcow2 disk.qcow2 64M
"$serve" disk.qcow2 sh -ec '
    "$QEMU_IO" -f raw -c "write -P 7 1M 1M" -c "write -z 5M 2M" -c "write -f -P 8 70000 3" \
        -c "discard 1M 64k" -c flush -c "read -P 8 70000 3" "nbd:unix:$SOCKET"
    nbdinfo "$URI" >info
    nbdinfo --list "$URI" >list
    nbdinfo --map "$URI" | tr -s " " >map
    nbdcopy "$URI" copy.raw
' >io.out
! grep -i 'fail' io.out || fail "qemu-io: $(cat io.out)"
grep -q 'export-size: 67108864' info || fail "nbdinfo: $(cat info)"
grep -q 'can_multi_conn: true' info || fail "nbdinfo: $(cat info)"
grep -q 'export="":' list || fail "nbdinfo --list: $(cat list)"
cat >expected <<'END'
 0 65536 3 hole,zero
 65536 65536 0 data
 131072 983040 3 hole,zero
 1114112 983040 0 data
 2097152 65011712 3 hole,zero
END
diff expected map >&2 || fail "block status"
"$QEMU_IMG" check -q disk.qcow2
"$QEMU_IMG" compare -q -f qcow2 -F raw disk.qcow2 copy.raw

note "copying in, with several connections"
"$QEMU_IMG" create -q -f raw random.raw 64M
"$QEMU_IO" -f raw -c 'write -P 1 3M 5M' -c 'write -P 2 33000000 70001' random.raw >/dev/null
"$serve" disk.qcow2 sh -ec 'nbdcopy --connections=4 random.raw "$URI"'
"$QEMU_IMG" check -q disk.qcow2
"$QEMU_IMG" compare -q -f qcow2 -F raw disk.qcow2 random.raw

note "reading only"
"$serve" --read-only disk.qcow2 sh -ec '
    "$QEMU_IMG" compare -q -f raw -F raw random.raw "nbd:unix:$SOCKET"
    nbdinfo "$URI" | grep -q "is_read_only: true"
    ! "$QEMU_IO" -f raw -c "write 0 512" "nbd:unix:$SOCKET"
' >/dev/null 2>&1 || fail "a client of an image that is served for reading only"

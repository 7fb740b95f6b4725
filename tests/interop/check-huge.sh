#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The check of a disk of 16 TiB of which 10 million clusters are allocated, all over a file of 14
# TiB: it stays below 256 MiB of memory, and far below what qemu-img takes for it. The figures are
# printed.

. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG"
timer=$builddir/tests/tools/timer
huge=$builddir/tests/tools/huge-qcow2
[ -x "$timer" ] && [ -x "$huge" ] || skip "tests/tools/timer or huge-qcow2 is not built"

"$huge" image 32768 306 7000 2>huge.err || {
    cat huge.err >&2
    grep -q "File too large" huge.err && skip "the filesystem takes no file of 14 TiB"
    fail "huge-qcow2"
}

# check_with NAME COMMAND...: its peak memory in KiB goes to memory.
check_with() {
    local name=$1
    shift
    "$timer" "$name.took" "$@" check --output=json image >"$name.out" || fail "$*: status $?"
    grep -q '"allocated-clusters": 10027008' "$name.out" || fail "$name: $(cat "$name.out")"
    memory=$(cut -d' ' -f2 "$name.took")
    note "$name: $((memory / 1024)) MiB, $(cut -d' ' -f1 "$name.took") s"
}

check_with img "$IMG"
ours=$memory
[ "$ours" -lt 262144 ] || fail "$ours KiB"
check_with qemu-img "$QEMU_IMG"
note "qemu-img takes $((memory * 10 / ours))/10 times as much memory"
[ $((ours * 4)) -lt "$memory" ] || fail "$ours KiB, qemu-img $memory KiB"

# number OFFSET: the 8 bytes there, without the flags in the first of them.
number() {
    echo $((16#$(od -An -tx1 -j $(($1 + 1)) -N 7 image | tr -d ' ')))
}

note "a leak and a lost refcount in the middle of it"
l1=$(number 40)
l2=$(number $((l1 + 8 * 16384)))
cluster=$(($(number "$l2") / 65536))
block=$(number $((65536 + 8 * (cluster / 32768))))
printf '\0\3\0\0' | dd of=image bs=1 seek=$((block + 2 * (cluster % 32768))) conv=notrunc status=none
status=0
"$IMG" check -q image 2>err || status=$?
[ "$status" = 2 ] || fail "status $status"
for line in "Leaked cluster $cluster refcount=3 reference=1" \
    "ERROR cluster $((cluster + 1)) refcount=0 reference=1"; do
    grep -qxF "$line" err || fail "no line '$line' in: $(cat err)"
done

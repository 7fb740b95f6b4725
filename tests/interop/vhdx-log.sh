#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# VHDX images whose writer died: what qemu-io leaves, img reads without changing the file, and
# mends; what img leaves, qemu-img mends.
. "$(dirname "$0")/../lib.sh"

need "$QEMU_IMG" "$QEMU_IO" strace

# killed FILE PROGRAM ARGS...: kill it at one flush after the other, until it leaves a log that
# qemu-img asks to replay. Threads count their flushes each for itself, so there may be none.
killed() {
    local file=$1 flush try
    shift
    for try in 1 2 3 4 5; do
        for flush in 2 3 4 5 6 7; do
            "$QEMU_IMG" create -q -f vhdx -o block_size=1M "$file" 20M
            strace -f -o strace.out -e trace=fdatasync,fsync \
                -e inject=fdatasync,fsync:signal=KILL:when=$flush "$@" >killed.out 2>&1 && continue
            "$QEMU_IMG" info "$file" >info.out 2>&1 && continue
            grep -q 'log that needs to be replayed' info.out || { cat info.out; fail "$file"; }
            return
        done
    done
    strace -o strace.out true 2>/dev/null || skip "strace cannot trace here"
    fail "no log was left by $*"
}

note "left by qemu-io"
killed theirs.vhdx "$QEMU_IO" -f vhdx -c 'write -P 7 3M 64k' -c flush -c 'write -P 8 9M 64k' \
    -c flush theirs.vhdx
before=$(cksum <theirs.vhdx)
"$IMG" info theirs.vhdx | grep -q 'cleanly shut down: no' || fail "info does not tell of the log"
"$IMG" check theirs.vhdx
"$IMG" convert -O raw theirs.vhdx theirs.raw
"$IMG" map theirs.vhdx >map.out
[ "$(cksum <theirs.vhdx)" = "$before" ] || fail "reading has changed the file"
cp theirs.vhdx copy.vhdx
"$IMG" check -r all theirs.vhdx >check.out
grep -q '1 corruptions' check.out || fail "the repair says nothing of the log"
"$QEMU_IMG" check -q -r all copy.vhdx
"$QEMU_IMG" compare theirs.vhdx copy.vhdx
"$QEMU_IMG" compare -f vhdx -F raw theirs.vhdx theirs.raw
"$IMG" check theirs.vhdx

note "left by img"
killed ours.vhdx "$IMG" io -f vhdx -c 'write -P 7 3M 64k' -c flush -c 'write -P 8 9M 64k' -c flush \
    ours.vhdx
"$IMG" convert -O raw ours.vhdx ours.raw
"$QEMU_IMG" check -q -r all ours.vhdx
"$QEMU_IMG" check ours.vhdx
"$QEMU_IMG" compare -f vhdx -F raw ours.vhdx ours.raw
"$QEMU_IO" -f vhdx -c 'read -P 7 3M 64k' ours.vhdx | grep -q 'read 65536/65536' || fail "data is lost"

note "written by both in turn"
for n in 1 2 3 4 5 6; do
    "$IMG" io -f vhdx -c "write -P $n ${n}M 100k" ours.vhdx >/dev/null
    "$QEMU_IO" -f vhdx -c "write -P $n $((n + 10))M 100k" ours.vhdx >/dev/null
done
for n in 1 2 3 4 5 6; do
    for tool in "$QEMU_IO" "$IMG io"; do
        $tool -r -f vhdx -c "read -P $n ${n}M 100k" -c "read -P $n $((n + 10))M 100k" ours.vhdx >io.out
        grep -q 'Pattern verification failed' io.out && fail "$tool reads something else"
    done
done
"$IMG" check ours.vhdx

note "resized"
"$IMG" resize ours.vhdx 3G
"$QEMU_IMG" info ours.vhdx | grep -q '(3221225472 bytes)' || fail "the size is not what it was to be"
"$QEMU_IO" -f vhdx -c 'write -P 9 2G 1M' -c 'read -P 0 1G 1M' ours.vhdx >/dev/null
"$IMG" io -r -f vhdx -c 'read -P 9 2G 1M' ours.vhdx | grep -q 'read 1048576/1048576' || fail "2 GiB"
"$IMG" check ours.vhdx
expect_fail 1 'the BAT has room for' "$IMG" resize ours.vhdx 1T
expect_fail 1 'can only be made larger' "$IMG" resize --shrink ours.vhdx 1M

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# img dd and img bench next to qemu-img's: the same words, the same exit status, and the
# same images.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"
mkdir ours theirs bin
ln -s "$IMG" bin/qemu-img
ours=$PWD/bin/qemu-img
cases=0

for side in ours theirs; do
    seq 200000 | head -c 1000000 >$side/a.raw
    "$QEMU_IMG" convert -f raw -O qcow2 $side/a.raw $side/a.qcow2
    "$QEMU_IMG" create -q -f qcow2 $side/b.qcow2 64M
done

# Errors are one line with us, without the hint at the help; times differ.
plain() {
    grep -v "^Try 'qemu-img" "$1" | sed "s/ (try 'qemu-img [^)]*')\$//; s/[0-9.]* seconds/N seconds/" |
        tr '\n' ' ' | sed 's/\([^ ]\) qemu-img: /\1 /g; s/ *$//'
}

# twins ARGS...: status, stdout and stderr.
twins() {
    local status=0 wanted=0
    cases=$((cases + 1))
    (cd ours && "$ours" "$@") >ours.out 2>ours.err </dev/null || status=$?
    (cd theirs && "$QEMU_IMG" "$@") >theirs.out 2>theirs.err </dev/null || wanted=$?
    diff -u <(plain theirs.out) <(plain ours.out) >&2 || fail "img $*"
    diff -u <(plain theirs.err) <(plain ours.err) >&2 || fail "img $* (stderr)"
    [ $status = $wanted ] || fail "img $*: status $status, not $wanted"
}

# dd FILE ARGS...: both make the same FILE.
dd_twins() {
    local file=$1
    shift
    rm -f ours/o.* theirs/o.*
    twins dd "$@" of="$file"
    [ "$("$QEMU_IMG" info "ours/$file" | grep 'virtual size')" = \
        "$("$QEMU_IMG" info "theirs/$file" | grep 'virtual size')" ] || fail "dd $*: size"
    "$QEMU_IMG" compare -q "ours/$file" "theirs/$file" || fail "dd $*: content"
}

for source in a.raw a.qcow2; do
    dd_twins o.raw if=$source
    dd_twins o.raw -O raw if=$source bs=1000 count=3 skip=1
    dd_twins o.raw if=$source bs=1M count=10
    dd_twins o.raw if=$source bs=1M skip=10
    dd_twins o.raw if=$source bs=100k skip=3 count=7
    dd_twins o.raw if=$source count=0
    dd_twins o.qcow2 -O qcow2 bs=4096 count=10 skip=3 if=$source
    dd_twins o.vmdk -O vmdk if=$source
done
dd_twins o.raw -f raw if=a.raw
dd_twins o.raw if=a.raw if=a.qcow2
dd_twins o.raw -U if=a.qcow2
for value in 0 x -1 4G 2G ''; do
    twins dd bs=$value if=a.raw of=o.raw
done
twins dd count=x if=a.raw of=o.raw
twins dd skip=x if=a.raw of=o.raw
twins dd if=a.raw
twins dd of=o.raw
twins dd
twins dd seek=1 if=a.raw of=o.raw
twins dd foo if=a.raw of=o.raw
twins dd if=a.raw of=o.raw conv=x
twins dd if=missing of=o.raw
twins dd -f nonsense if=a.raw of=o.raw
twins dd -O nonsense if=a.raw of=o.raw
twins dd -f qcow2 if=a.raw of=o.raw
twins dd if=a.raw of=missing/o.raw
twins dd -n if=a.raw of=o.raw

twins bench -c 1000 b.qcow2
twins bench -w -c 200 -d 8 -s 64k -S 64k -o 1M b.qcow2
twins bench -w --pattern=0x55 -c 100 -q b.qcow2
twins bench -w -c 200 --flush-interval=64 b.qcow2
twins bench -w -c 200 --flush-interval=64 --no-drain b.qcow2
twins bench -w -c 100 --flush-interval=10 -d 20 b.qcow2
twins bench --flush-interval=10 -c 100 b.qcow2
twins bench --no-drain -c 100 b.qcow2
twins bench -c 5000 -S 1M b.qcow2
twins bench -c 0 b.qcow2
twins bench -i threads -U -f raw -c 10 b.qcow2
for option in -c -d -s -S -o --pattern --flush-interval; do
    twins bench $option x b.qcow2
done
twins bench --pattern=300 -w b.qcow2
twins bench -t nonsense b.qcow2
twins bench -i nonsense b.qcow2
twins bench
twins bench a b
twins bench missing
"$QEMU_IMG" check -q ours/b.qcow2
"$QEMU_IMG" compare -q ours/b.qcow2 theirs/b.qcow2 || fail "bench -w wrote something else"
expect_fail 1 'Failed request' "$IMG" bench -o 64M -c 10 ours/b.qcow2
expect_fail 1 'Invalid queue depth' "$IMG" bench -d 0 -c 10 ours/b.qcow2
note "$cases command lines"

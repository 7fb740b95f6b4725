#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# An image that a running QEMU program has open for writing is refused, and the reverse; -U reads all the same.
. "$(dirname "$0")/../lib.sh"

need "$QEMU_IMG" "$QEMU_IO"
"$QEMU_IMG" create -q -f qcow2 disk.qcow2 64M
"$QEMU_IO" -f qcow2 -c 'write -P 1 0 4M' disk.qcow2 >/dev/null
"$QEMU_IMG" create -q -f qcow2 source.qcow2 64M
"$QEMU_IO" -f qcow2 -c 'write -P 2 0 64M' source.qcow2 >/dev/null

# hold ARGUMENT...: qemu-io has disk.qcow2 open until release.
hold() {
    mkfifo commands
    "$QEMU_IO" -f qcow2 "$@" disk.qcow2 <commands >holder.out 2>&1 &
    holder=$!
    exec 8>commands
    echo length >&8
    for _ in {1..100}; do
        grep -q '64 MiB' holder.out && return
        sleep 0.05
    done
    cat holder.out
    fail "qemu-io does not open the image"
}

release() {
    exec 8>&-
    wait $holder
    rm commands
}

note "qemu-io writes"
hold
expect_fail 1 'lock' "$IMG" convert -n -f qcow2 -O qcow2 source.qcow2 disk.qcow2
expect_fail 1 'lock' "$IMG" convert -f qcow2 -O qcow2 source.qcow2 disk.qcow2
expect_fail 1 'lock' "$IMG" convert -f qcow2 -O raw disk.qcow2 out.raw
expect_fail 1 'lock' "$IMG" info disk.qcow2
expect_fail 1 'lock' "$IMG" map disk.qcow2
"$IMG" info -U disk.qcow2 >/dev/null
"$IMG" map -U disk.qcow2 >/dev/null
"$IMG" convert -U -f qcow2 -O raw disk.qcow2 out.raw
release
"$IMG" compare -f raw -F qcow2 out.raw disk.qcow2

note "qemu-io reads"
hold -r
"$IMG" info disk.qcow2 >/dev/null
"$IMG" convert -f qcow2 -O raw disk.qcow2 out.raw
expect_fail 1 'lock' "$IMG" convert -n -f qcow2 -O qcow2 source.qcow2 disk.qcow2
release

note "a backing file is locked too"
"$QEMU_IMG" create -q -f qcow2 -b disk.qcow2 -F qcow2 over.qcow2
hold
expect_fail 1 'lock' "$IMG" convert -f qcow2 -O raw over.qcow2 out.raw
for img in "$IMG" "$QEMU_IMG"; do # file.locking is said of one file
    over=driver=qcow2,file.filename=over.qcow2
    expect_fail 1 'lock' "$img" map --image-opts $over,file.locking=off
    "$img" map --image-opts $over,backing.file.locking=off >/dev/null
done
release

# under_way: the conversion in the background has its images open. To try their locks instead would now and
# then be in its way.
under_way() {
    for _ in {1..200}; do
        [ ! -s progress ] || return 0
        sleep 0.05
    done
    fail "the conversion does not begin"
}

note "img writes"
"$IMG" convert --progress=json -n -r 4M -f qcow2 -O qcow2 source.qcow2 disk.qcow2 2>progress &
writer=$!
under_way
expect_fail 1 'lock' "$QEMU_IMG" info disk.qcow2
expect_fail 1 'lock' "$QEMU_IO" -f qcow2 -c 'write 0 512' disk.qcow2
expect_fail 1 'lock' "$IMG" info disk.qcow2
expect_fail 1 'lock' "$IMG" convert -n -f qcow2 -O qcow2 source.qcow2 disk.qcow2
"$QEMU_IMG" info -U disk.qcow2 >/dev/null
kill $writer
wait $writer || true
"$QEMU_IMG" info disk.qcow2 >/dev/null

note "img reads"
rm progress
"$IMG" convert --progress=json -r 4M -f qcow2 -O raw source.qcow2 slow.raw 2>progress &
reader=$!
under_way
expect_fail 1 'lock' "$QEMU_IO" -f qcow2 -c 'write 0 512' source.qcow2
"$QEMU_IMG" info source.qcow2 >/dev/null
kill $reader
wait $reader || true

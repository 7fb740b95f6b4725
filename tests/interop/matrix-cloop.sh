#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Interop matrix: compressed loop devices, which we only read. Made by hand and by cloop's own
# create_compressed_fs; qemu-img must read them alike.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/matrix.bash"

need perl

# reads DISK: `them` is that disk for both programs.
reads() {
    identical "$QEMU_IMG" compare -f raw -F cloop "$1" them || fail "$1: qemu-img reads another disk"
    identical "$IMG" compare -f raw -F cloop "$1" them || fail "$1: read differently"
    "$IMG" convert -O raw them back # found by probing
    same "$1" back
    expect_fail 63 "does not support checks" "$IMG" check them
}

# padded DISK BLOCK: to whole blocks, as the format has it.
padded() {
    local size
    size=$(stat -c %s "$1")
    truncate -s $(((size + $2 - 1) / $2 * $2)) "$1"
}

# Blocks of a power of two, and of none.
for block in 512 65536 64000 1048576; do
    note "blocks of $block bytes"
    for content in empty sparse full odd; do
        make_content $content 65536
        padded $content.raw $block
        perl "$srcdir/fixtures/make-cloop.pl" $block $content.raw them
        reads $content.raw
    done
done

need create_compressed_fs
for level in 9 0 -1; do
    note "create_compressed_fs, level $level"
    make_content full 65536
    create_compressed_fs -q -B 65536 -L $level full.raw them >create.out 2>&1 || fail "status $?"
    reads full.raw
done

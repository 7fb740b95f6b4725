#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Interop matrix: Parallels, which we only read.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/matrix.bash"

backing=
row parallels "" "" 1048576 written_by_qemu
row parallels cluster_size=64k "" 65536 written_by_qemu

# The older magic counts places in sectors. qemu-img does not write it: turn its images into such.
# to_sectors FILE: entries are clusters of 64 KiB.
to_sectors() {
    perl -e 'open my $f, "+<:raw", $ARGV[0] or die; read $f, my $head, 64;
        my $entries = unpack "x32 V", $head;
        read $f, my $bat, 4 * $entries;
        substr($head, 0, 16) = "WithoutFreeSpace";
        seek $f, 0, 0;
        print $f $head, pack "V*", map { $_ * 128 } unpack "V*", $bat;' "$1"
}
for content in sparse full odd; do
    make_content $content 65536
    rm -f them
    "$QEMU_IMG" convert -f raw -O parallels -o cluster_size=64k $content.raw them
    to_sectors them
    identical "$QEMU_IMG" compare -f raw -F parallels $content.raw them
    identical "$IMG" compare -f raw -F parallels $content.raw them || fail "in sectors, $content"
    "$IMG" convert -O raw them back # found by probing
    same $content.raw back
    sound "$IMG" parallels them
done
matrix_end

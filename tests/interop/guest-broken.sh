#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Filesystems with broken bytes in what says where files are: an error or
# fewer files, never a crash or a hang.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/guest-tree.bash"

need mkfs.fat mkntfs ntfscp mcopy xorrisofs
flip() {
    "$builddir/tests/tools/guest-flip" "$@" || fail "$1: status $?"
}
make_tree tree
ln -s dir/sub tree/link

export LC_ALL=C.UTF-8 MTOOLS_SKIP_CHECK=1
rm -r tree/dir/random.bin
for bits in 12 16 32; do
    truncate -s $((bits * bits / 3))M fat$bits.img
    mkfs.fat -F "$bits" fat$bits.img >/dev/null
    mcopy -Q -i fat$bits.img -s -m tree/[a-zA-L]* :: >/dev/null 2>&1 || true
    flip fat$bits.img 8000000 150
done

xorrisofs -quiet -R -J -o rock.iso tree 2>/dev/null
flip rock.iso 500000 150

truncate -s 40M ntfs.img
mkntfs -F -q ntfs.img >/dev/null 2>&1
for file in tree/big/*1*.txt tree/dir/sub/b.bin; do
    ntfscp -q ntfs.img "$file" "$(basename "$file")" >/dev/null 2>&1
done
flip ntfs.img 40000000 200

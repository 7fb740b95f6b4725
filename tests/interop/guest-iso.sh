#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# ISO 9660 as xorriso and genisoimage make it: with Rock Ridge everything is
# as it was put in; with Joliet names and content.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/guest-tree.bash"

need xorrisofs genisoimage
make_tree tree
ln -s ../x/../y/z tree/relative
ln -s /absolute/path tree/absolute
ln -s . tree/dot
chmod 600 tree/empty
ln tree/lower.txt tree/hard
touch -h -d '2021-03-04 05:06:08 UTC' tree/*

compare() {
    guest_list -k "$1" -l tree | awk '!/mode=040/' | sort >wanted
    guest_list -k "$1" "$2" | awk '!/mode=040/' | sort >found
    cmp -s wanted found || { diff wanted found | head; fail "$2: not what was put in"; }
}

xorrisofs -quiet -R -J -o rock.iso tree 2>/dev/null
compare mode,owner,size,mtime,target,sha256 rock.iso
genisoimage -quiet -R -J -joliet-long -o rock2.iso tree 2>/dev/null
compare mode,owner,size,mtime,target,sha256 rock2.iso

rm tree/relative tree/absolute tree/dot tree/nnn*
rm -r tree/dir/level/level/level/level # plain ISO 9660 has eight levels
genisoimage -quiet -input-charset utf-8 -J -joliet-long -o joliet.iso tree 2>/dev/null
guest_list -k size,mtime,sha256 -l tree | without_directories >wanted
guest_list -k size,mtime,sha256 joliet.iso | without_directories >found
cmp -s wanted found || { diff wanted found | head; fail "joliet.iso: not what was put in"; }

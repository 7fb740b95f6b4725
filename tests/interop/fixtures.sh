#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Every fixture is what its manifest says, and reads as the disk that all of them hold.
. "$(dirname "$0")/../lib.sh"

manifest=$srcdir/fixtures/README.md
disk=$(sed -n 's/^    \([0-9a-f]\{64\}\)$/\1/p' "$manifest")
[ -n "$disk" ] || fail "no sum of the disk in the manifest"

# | file | how | shows | sha256 |
grep '| [0-9a-f]\{64\} |$' "$manifest" | while IFS='|' read -r _ file _ _ sum _; do
    file=${file// /} sum=${sum// /}
    [ "$(sha256sum <"$srcdir/fixtures/$file")" = "$sum  -" ] || fail "$file is not as in the manifest"
    case $file in
    *-flat.vmdk | *-[sf]001.vmdk | *-delta.vmdk | *-sesparse.vmdk | noise.bin) continue ;;
    *.vhd) format=vpc ;;
    *.*) format=${file##*.} ;;
    esac
    case $file in */base.*) continue ;; esac
    note "$file"
    probe=() # but for what nobody can tell from raw
    [ "$file" != vhd/fixed.vhd ] || probe=(-f vpc)
    "$IMG" convert "${probe[@]}" -O raw "$srcdir/fixtures/$file" out.raw
    [ "$(sha256sum <out.raw)" = "$disk  -" ] || fail "$file does not read as the disk"
    "$IMG" info -f $format "$srcdir/fixtures/$file" >/dev/null
    status=0 want=0
    # qemu-img's own has no end-of-stream and is padded: importers want neither.
    [ $file != vmdk/streamOptimized.vmdk ] || want=3
    "$IMG" check -q -f $format "$srcdir/fixtures/$file" || status=$?
    [ $status = $want ] || [ $status = 63 ] || fail "$file: check gives $status"
done

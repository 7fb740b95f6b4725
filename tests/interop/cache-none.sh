#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# -t none and -T none go past the page cache.
. "$(dirname "$0")/../lib.sh"

need fincore
case $(stat -f -c %T .) in
tmpfs | ramfs | overlayfs) skip "this filesystem has no O_DIRECT" ;;
esac

# cached FILE: bytes of it in the page cache.
cached() {
    fincore -b -n -r -o RES "$1"
}

# drop FILE: write it out and take it out of the page cache.
drop() {
    sync "$1"
    dd if="$1" iflag=nocache count=0 status=none
    [ "$(cached "$1")" = 0 ] || skip "the page cache keeps $1"
}

seq 1 9000000 | head -c $((32 << 20)) >disk.raw
for target in "raw" "qcow2" "qcow2 -c" "vhdx" "vmdk" "vmdk -o subformat=monolithicFlat" \
    "vmdk -o subformat=streamOptimized"; do
    note "-t none -O $target"
    "$IMG" convert -t none -f raw -O $target disk.raw out
    for file in out*; do
        left=$(cached "$file")
        [ "$left" -le 65536 ] || fail "$left bytes of $file are in the page cache"
    done
    "$IMG" compare -f raw -F "${target%% *}" disk.raw out
    rm -f out*
done

"$IMG" convert -f raw -O qcow2 disk.raw disk.qcow2
for source in "raw disk.raw" "qcow2 disk.qcow2"; do
    note "-T none -f $source"
    drop "${source#* }"
    "$IMG" convert -T none -f $source -O raw out.raw
    left=$(cached "${source#* }")
    [ "$left" -le 65536 ] || fail "$left bytes of ${source#* } are in the page cache"
    same disk.raw out.raw
done

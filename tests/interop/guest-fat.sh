#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# FAT12, FAT16, FAT32 (512 and 4096-byte sectors) as mtools filled them, and
# exFAT as exfat-fuse did: every file by path, type, size, time and content.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/guest-tree.bash"

need mkfs.fat mkfs.exfat mcopy fsck.fat
export TZ=UTC MTOOLS_SKIP_CHECK=1
keys=size,mtime,sha256

make_tree tree
guest_list -k $keys -l tree | without_directories >wanted

# check_free IMAGE FREE: what sparsify drops is what fsck and mount call free.
check_free() {
    local sum
    sum=$(guest_list -u "$1" | awk '{sum += $2} END {print sum + 0}')
    [ "$sum" = "$2" ] || fail "$1: $sum bytes are unused, not $2"
}

# fat NAME SIZE OPTION...
fat() {
    local image=$1.img size=$2 free
    shift 2
    truncate -s "$size" "$image"
    mkfs.fat "$@" "$image" >/dev/null
    LC_ALL=C.UTF-8 mcopy -i "$image" -s -m tree/* ::
    guest_list -k $keys "$image" | without_directories >found
    cmp -s wanted found || { diff wanted found | head; fail "$image: not what mtools wrote"; }
    free=$(fsck.fat -nv "$image" | awk '
        /bytes per cluster/ {size = $1}
        / files, / {split($4, n, "/"); print (n[2] - n[1]) * size}')
    check_free "$image" "$free"
}

fat fat12 8M -F 12 -s 8
fat fat16 40M -F 16 -s 4
fat fat32 300M -F 32
fat fat32-4k 600M -F 32 -S 4096 -s 1

note "names do not differ by case"
"$IMG" cat fat32.img /DIR/sub/B.BIN >found
cmp found tree/dir/sub/b.bin || fail "a name in another case"

note "not unmounted cleanly"
poke fat16.img 37 01
guest_list -k size fat16.img 2>message >/dev/null
grep -q 'not unmounted cleanly' message || fail "nothing said of the dirty mark"
expect_fail 1 'not unmounted cleanly' guest_list -u fat16.img

[ "$(id -u)" = 0 ] || skip "exFAT: only root can mount it"
need mount.exfat-fuse losetup
# exfat NAME SIZE CLUSTER
exfat() {
    local image=$1.img loop
    truncate -s "$2" "$image"
    mkfs.exfat -c "$3" "$image" >/dev/null
    loop=$(losetup -f --show "$image") || skip "exFAT: no loop devices"
    mkdir -p mnt
    mount.exfat-fuse "$loop" mnt >/dev/null 2>&1 || { losetup -d "$loop"; skip "exFAT: no FUSE"; }
    cp -r --preserve=timestamps tree/* mnt/
    fragments mnt
    sync
    guest_list -k $keys -l mnt | without_directories >wanted
    local free
    free=$(stat -f -c '%f %S' mnt | awk '{print $1 * $2}')
    umount mnt
    losetup -d "$loop"
    guest_list -k $keys "$image" | without_directories >found
    cmp -s wanted found || { diff wanted found | head; fail "$image: not what exfat-fuse wrote"; }
    check_free "$image" "$free"
}
exfat exfat 300M 4k
exfat exfat-small 64M 512

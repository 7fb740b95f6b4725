#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# NTFS as ntfs-3g filled it and shows it, with clusters of three sizes: every
# file by path, type, mode, links, size, time, target and content.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/guest-tree.bash"

need mkntfs ntfs-3g setfattr ntfsinfo
need_fuse
keys=mode,links,size,mtime,target,sha256

make_tree tree

fill() {
    local n long
    cp -r --preserve=timestamps tree/* mnt/
    echo smile >'mnt/😀'
    echo two >$'mnt/two\nlines'
    mkdir mnt/compressed
    setfattr -h -n system.ntfs_attrib_be -v 0x00000800 mnt/compressed 2>/dev/null || true
    seq 1 100000 >mnt/compressed/numbers
    head -c 300000 /dev/urandom >mnt/compressed/random
    { seq 1 30000; head -c 200000 /dev/zero; head -c 100000 /dev/urandom; } >mnt/compressed/mixed
    truncate -s 5000000 mnt/compressed/sparse
    echo tail >>mnt/compressed/sparse
    truncate -s 50M mnt/sparse
    echo x | dd of=mnt/sparse bs=1 seek=20000000 conv=notrunc status=none
    printf small >mnt/resident
    head -c 600 /dev/urandom >mnt/resident600
    ln -s dir/random.bin mnt/link
    ln -s /absolute/ünï mnt/absolute
    mkfifo mnt/fifo
    # So many names that a file needs an attribute list, and so many runs.
    long=$(printf 'z%.0s' $(seq 80))
    for n in $(seq 1 40); do
        ln mnt/resident600 "mnt/name $n $long"
    done
    fragments mnt
}

# ntfs NAME SIZE CLUSTER
ntfs() {
    local image=$1.img free sum
    truncate -s "$2" "$image"
    mkntfs -F -q -c "$3" "$image" >/dev/null 2>&1
    mkdir -p mnt
    ntfs-3g -o compression "$image" mnt || skip "ntfs-3g cannot mount"
    fill
    sync
    guest_list -k $keys -l mnt |
        awk '!/mode=040/' | sort >wanted
    free=$(stat -f -c '%f %S' mnt | awk '{print $1 * $2}')
    umount mnt
    guest_list -k $keys "$image" | awk '!/mode=040/' | sort >found
    cmp -s wanted found || { diff wanted found | head; fail "$image: not what ntfs-3g shows"; }
    sum=$(guest_list -u "$image" | awk '{sum += $2} END {print sum + 0}')
    [ "$sum" = "$free" ] || fail "$image: $sum bytes are unused, not $free"
}

ntfs small 200M 512
ntfs usual 200M 4096
ntfs large 300M 65536

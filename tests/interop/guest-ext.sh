#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# ext2, ext3 and ext4 against the kernel: each file's type, mode, owner, times,
# size, content, holes, target and extended attributes, how full the filesystem
# is, and that nothing is lost with what is said to be free. The Debian guest's
# root, and small filesystems of all kinds full of what is awkward.

. "$(dirname "$0")/../lib.sh"
need mke2fs e2fsck dumpe2fs mount setfacl setfattr perl
[ "$(id -u)" = 0 ] || skip "mounting needs root"
list=$builddir/tests/tools/guest-list/guest-list

truncate -s 8M probe && mke2fs -q -F probe && mkdir mnt
mount -o loop,ro probe mnt 2>/dev/null || skip "no loop mount here"
trap 'cd /; ! mountpoint -q "$test_dir/mnt" || umount "$test_dir/mnt"; rm -rf "$test_dir"' EXIT
umount mnt

# repeat COUNT CHARACTER
repeat() {
    printf "%$1s" "" | tr ' ' "$2"
}

names() {
    echo hello >$'new\nline'
    printf x >$'not\xff\xfeutf8'
    : >"$(repeat 255 n)"
    mkdir big-directory few
    (cd big-directory && seq -f 'a-rather-long-file-name-%06g' "$1" | xargs touch)
    touch few/one few/two
    local path=deep i
    for i in $(seq 100); do
        mkdir "$path"
        path=$path/deep
    done
    echo end >"${path%/deep}/file"
}

contents() {
    local size i
    : >empty
    for size in 4 60 61 100 140 4096 5000000; do
        head -c "$size" /dev/urandom >"random-$size"
    done
    truncate -s 200M sparse
    echo middle | dd of=sparse bs=1 seek=123456789 conv=notrunc status=none
    for i in $(seq 0 2 400); do
        dd if=/dev/urandom of=pieces bs=4096 count=1 seek="$i" conv=notrunc status=none
    done
    # Blocks that are allocated and read as zeros, where the filesystem has such.
    fallocate -l 1M prepared 2>/dev/null || truncate -s 1M prepared
    echo here | dd of=prepared bs=1 seek=5000 conv=notrunc status=none
    truncate -s 10000000 cut && truncate -s 3000 cut
}

specials() {
    ln -s short link-5
    local length
    for length in 59 60 61 150 1000; do
        ln -s "$(repeat "$length" l)" "link-$length"
    done
    ln random-4 hard-1 && ln random-4 few/hard-2
    mknod character c 1 3 && mknod large-numbers b 259 70000 && mkfifo fifo
    perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => "socket", Listen => 1) or die'
}

attributes() {
    touch acl
    setfacl -m u:1234:rw,g:70000:r,m::rwx acl
    setfacl -d -m u:99:r few
    setfattr -n user.a -v b random-4
    setfattr -n trusted.t -v x random-4
    setfattr -n security.s -v 0x000102ff random-4
    setfattr -n user.without random-100
    setfattr -n user.long -v "$(repeat "$1" v)" random-61
    local i
    for i in $(seq 12); do
        setfattr -n "user.number-$i" -v "value $i" acl
    done
    touch -d '2038-01-18 12:34:56.123456789' future
    touch -d '1901-12-14 01:02:03.5' past
    [ -n "$2" ] || touch -d '2400-02-29 23:59:59.999999999' far
    chown 3000000000:70000 empty
    chmod 6755 random-4
}

# compare IMAGE: it is the same to us as to the kernel.
compare() {
    mount -o loop,ro "$1" mnt
    "$list" -l mnt >kernel.list
    "$list" -s -l mnt >kernel.usage
    umount mnt
    "$list" "$1" >image.list || fail "$1: not everything can be read"
    "$list" -s "$1" >image.usage
    diff kernel.usage image.usage || fail "$1: how full it is"
    if ! cmp -s kernel.list image.list; then
        diff kernel.list image.list | head -n 20
        fail "$1: not the same files"
    fi
    note "$1: $(wc -l <image.list) files are the same"
}

# waste IMAGE: write over what is said to be free; nothing may be missing.
waste() {
    "$list" -u "$1" >free.list
    [ -s free.list ] || fail "$1: has nothing that is free"
    perl -e 'my $image = shift; open my $to, "+<", $image or die;
        while (<>) {
            my ($offset, $length) = split;
            while ($length > 0) {
                my $part = $length < 65536 ? $length : 65536;
                sysseek $to, $offset, 0;
                syswrite $to, "\xa5" x $part or die;
                $offset += $part;
                $length -= $part;
            }
        }' "$1" free.list
    e2fsck -fn "$1" >e2fsck.log 2>&1 || { cat e2fsck.log; fail "$1: e2fsck complains"; }
    "$list" "$1" | cmp - image.list || fail "$1: files have changed"
    local want got
    want=$(dumpe2fs -h "$1" 2>/dev/null |
        awk '/^Free blocks/ {n = $3} /^Block size/ {b = $3} END {printf "%.0f", n * b}')
    got=$(awk '{n += $2} END {printf "%.0f", n}' free.list)
    [ "$got" = "$want" ] || fail "$1: $got bytes are free, not $want"
}

# try NAME ENTRIES LONG OLD MKE2FS-OPTION...: a filesystem full of all that. LONG is the length of
# an attribute's value, OLD is "old" where times end in 2038.
try() {
    local name=$1 entries=$2 long=$3 old=${4#new}
    shift 4
    truncate -s 400M "$name"
    mke2fs -q -F "$@" "$name" 2>mke2fs.log || { cat mke2fs.log; fail "$name: cannot be made"; }
    mount -o loop "$name" mnt
    (cd mnt && names "$entries" && contents && specials && attributes "$long" "$old")
    umount mnt
    compare "$name"
    waste "$name"
    rm "$name"
}

try ext2 2000 700 new -t ext2
try ext2-old 2000 700 old -t ext2 -b 1024 -I 128 -O ^filetype,^dir_index
try ext3 2000 700 new -t ext3
try ext4 20000 700 new -t ext4
try ext4-1k 2000 700 new -t ext4 -b 1024 -O meta_bg,^resize_inode
try ext4-new 2000 60000 new -t ext4 -I 512 -O ea_inode,large_dir,metadata_csum_seed
try bigalloc 2000 700 new -t ext4 -O bigalloc -C 16384
try inline 2000 100 new -t ext4 -O inline_data -I 512

note "the Debian guest's root"
guest_image
offset=$(sfdisk -d "$guest_image" | sed -n 's/^[^ ]*raw2 : start= *\([0-9]*\),.*/\1/p')
dd if="$guest_image" of=root bs=1M skip=$((offset * 512)) iflag=skip_bytes conv=sparse status=none
compare root

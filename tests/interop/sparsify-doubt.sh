#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# sparsify keeps what may be in use after all: disks whose signatures contradict each other, the
# partition's type, or the table. Small disks, each with a filesystem in which something was deleted.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" mke2fs debugfs e2fsck mkfs.vfat mkswap openssl sfdisk

MIB=1048576

filler() {
    openssl enc -aes-128-ctr -nosalt -pass pass:x </dev/zero 2>/dev/null | head -c "$1"
}

# into FILE MIB: standard input, there
into() {
    dd of="$1" bs=$MIB seek="$2" conv=notrunc iflag=fullblock status=none
}

# le VALUE: 4 bytes, as hexadecimal digits
le() {
    printf '%02x%02x%02x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24))
}

# mbr FILE TYPE START COUNT
mbr() {
    poke "$1" 446 "00000000${2}000000$(le "$3")$(le "$4")"
    poke "$1" 510 55aa
}

# zfs FILE OFFSET: four uberblocks of a label that begins there
zfs() {
    local n
    for n in 0 1 2 3; do
        poke "$1" $(($2 + 131072 + n * 1024)) 0cb1ba0000000000
    done
}

# kept WORDS [OPTION]...: disk.raw stays what it is, and why
kept() {
    local words=$1
    shift
    cp disk.raw in.raw
    "$IMG" sparsify --in-place -f raw "$@" in.raw >out.txt 2>err.txt || fail "$words: $(cat err.txt)"
    grep -q "is kept whole: .*$words" err.txt || fail "$words: $(cat err.txt)"
    cmp disk.raw in.raw || fail "$words: the disk has changed"
    "$IMG" convert -q --skip-free "$@" -f raw -O raw disk.raw in.raw 2>/dev/null
    cmp disk.raw in.raw || fail "$words: convert has left something out"
}

# dropped [OPTION]...: disk.raw loses what is free
dropped() {
    cp disk.raw in.raw
    "$IMG" sparsify -q --in-place -f raw "$@" in.raw 2>err.txt || fail "$(cat err.txt)"
    ! cmp -s disk.raw in.raw || fail "$*: nothing was dropped"
}

filler $((24 * MIB)) >fs
mke2fs -q -F -t ext4 -b 4096 -E nodiscard fs 2>/dev/null
filler $((20 * MIB)) >noise

note "another signature beside that of a filesystem"
cp fs disk.raw
dropped
zfs disk.raw 0
kept "may be ext4 as well as zfs_member"
cp fs disk.raw
zfs disk.raw $((24 * MIB - 262144))
kept "may be ext4 as well as zfs_member"
cp fs disk.raw
poke disk.raw $MIB 0dd001c0
kept "may be ext4 as well as VMFS_volume_member"
cp fs disk.raw
printf ORCLDISK | dd of=disk.raw bs=1 seek=32 conv=notrunc status=none
kept "oracleasm"

note "swap that was there before: a filesystem does not write where its signature is"
cp fs disk.raw
printf SWAPSPACE2 | dd of=disk.raw bs=1 seek=4086 conv=notrunc status=none
dropped --swap
e2fsck -fn in.raw >e2fsck.txt 2>&1 || fail "swap: $(cat e2fsck.txt)"

note "beside a partition table"
truncate -s 0 disk.raw
truncate -s $((64 * MIB)) disk.raw
sfdisk -q disk.raw <<<'label: gpt
start=2048, size=49152' 2>/dev/null
into disk.raw 1 <fs
into disk.raw 30 <noise
dropped
zfs disk.raw 0
kept "it is zfs_member beside its partitions"
truncate -s 0 disk.raw
truncate -s $((64 * MIB)) disk.raw
mkfs.vfat -F 32 --mbr=n disk.raw >/dev/null 2>&1 || fail "mkfs.vfat: status $?"
into disk.raw 30 <noise
dropped
mbr disk.raw 83 2048 49152
into disk.raw 1 <fs
kept "may be vfat as well as a partition table"

note "a partition whose type announces something else"
truncate -s 0 disk.raw
truncate -s $((64 * MIB)) disk.raw
into disk.raw 1 <fs
for type in 8e fd bf fb; do
    mbr disk.raw $type 2048 129024
    kept "type 0x$type is not expected to hold ext4"
done
mbr disk.raw 42 2048 49152
into disk.raw 30 <noise
kept "type 0x42 is not expected to hold ext4"
mbr disk.raw 83 2048 49152
dropped
for type in lvm raid 8DA63339-0007-60C0-C436-083AC8230908 AF9B60A0-1431-4F62-BC68-3311714A69AD; do
    sfdisk -q --wipe never disk.raw <<<"label: gpt
start=2048, size=126976, type=$type" 2>/dev/null
    kept "is not expected to hold ext4"
done

note "nothing is known of any partition"
truncate -s 0 disk.raw
truncate -s $((64 * MIB)) disk.raw
mbr disk.raw 83 2048 2048
into disk.raw 30 <noise
kept "nothing is known of what is in its partitions"

note "sectors of 4096 bytes"
truncate -s 0 disk.raw
truncate -s $((64 * MIB)) disk.raw
mbr disk.raw 83 256 6144
into disk.raw 1 <fs
into disk.raw 30 <noise
kept "its sectors may have 512 bytes or 4096"
kept "what is in it is not known" --blocksize 512
dropped --blocksize 4096
tail -c +$((MIB + 1)) in.raw | head -c $((24 * MIB)) >part
e2fsck -fn part >e2fsck.txt 2>&1 || fail "4096: $(cat e2fsck.txt)"
cmp -s <(tail -c +$((30 * MIB + 1)) in.raw | head -c $((20 * MIB))) <(head -c $((20 * MIB)) /dev/zero) ||
    fail "the space behind the partition is still there"
expect_fail 1 "must be 512 or 4096" "$IMG" sparsify --blocksize 1024 disk.raw in.raw

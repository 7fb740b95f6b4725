#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# sparsify and convert --skip-free drop what a guest does not use, and nothing else: a disk whose
# every unused byte holds something, so that what was taken for free is seen.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" sfdisk mke2fs debugfs e2fsck mkfs.vfat mkswap

MIB=1048576

# A disk of GPT partitions: 1 ext4, 2 FAT, 3 swap, 4 unknown, 5 ext4 that was not unmounted; with
# space between 2 and 3, and behind the last.
sfdisk_script='label: gpt
start=4096, size=65536
size=65536
start=200704, size=32768, type=swap
size=8192
size=65536'

filler() {
    openssl enc -aes-128-ctr -nosalt -pass pass:"$1" </dev/zero 2>/dev/null | head -c "$2"
}

# into FILE START: standard input, at that sector
into() {
    dd of="$1" bs=512 seek="$2" conv=notrunc,fsync iflag=fullblock status=none
}

# part FILE START SIZE: the sectors, to standard output
part() {
    tail -c +$(($2 * 512 + 1)) "$1" | head -c $(($3 * 512))
}

note "the disk"
need openssl
filler disk $((192 * MIB)) >disk.raw
head -c $MIB /dev/zero | into disk.raw 0
head -c $MIB /dev/zero | into disk.raw $((191 * 2048))
sfdisk -q disk.raw <<<"$sfdisk_script"
filler boot $((64 * 1024)) | into disk.raw 100 # a boot loader

# make_ext START NAME: a filesystem with files, in the disk's filler
make_ext() {
    part disk.raw "$1" 65536 >fs
    mke2fs -q -F -t ext4 -b 1024 -E nodiscard,lazy_itable_init=0 -L "$2" fs
    seq 200000 >kept
    filler gone $((8 * MIB)) >deleted
    debugfs -w -f - fs >/dev/null 2>&1 <<'END'
mkdir d
cd d
write kept kept
write deleted gone
write kept kept2
rm gone
END
    [ -z "${3:-}" ] || debugfs -w -R "feature needs_recovery" fs >/dev/null 2>&1
    into disk.raw "$1" <fs
}
make_ext 4096 one
make_ext $((200704 + 32768 + 8192)) five unclean
part disk.raw 69632 65536 >fs
mkfs.vfat -F 32 fs >/dev/null 2>&1 || fail "mkfs.vfat: status $?"
into disk.raw 69632 <fs
part disk.raw 200704 32768 >fs
mkswap -q fs 2>/dev/null
into disk.raw 200704 <fs

# zeros FILE START SIZE: how many 4 KiB blocks of the sectors are all zeros
zeros() {
    part "$1" "$2" "$3" | od -An -v -tx8 -w4096 | grep -vc '[1-9a-f]' || :
}

# judge FILE [SWAP]: what may be gone is gone, and nothing else
judge() {
    local part
    cmp -s <(part "$1" 0 4096) <(part disk.raw 0 4096) || fail "$1: the front has changed"
    cmp -s <(part "$1" 391168 2048) <(part disk.raw 391168 2048) || fail "$1: the end has changed"
    cmp -s <(part "$1" 233472 73728) <(part disk.raw 233472 73728) ||
        fail "$1: what is not understood has changed"
    [ "$(zeros "$1" 135168 65536)" = 8192 ] || fail "$1: the gap is still there"
    [ "$(zeros "$1" 307200 83968)" = 10496 ] || fail "$1: the space at the end is still there"
    part "$1" 4096 65536 >one
    e2fsck -fn one >e2fsck.txt 2>&1 || fail "$1: e2fsck: $(cat e2fsck.txt)"
    for part in kept kept2; do
        debugfs -R "cat /d/$part" one 2>/dev/null | cmp -s - kept || fail "$1: /d/$part has changed"
    done
    [ "$(zeros one 0 65536)" -gt 6000 ] || fail "$1: free blocks are still there"
    [ "$(zeros "$1" 69632 65536)" -gt 7800 ] || fail "$1: FAT's free clusters are still there"
    part "$1" 200704 32768 >swap
    blkid -p swap | grep -q 'TYPE="swap"' || fail "$1: swap is no longer swap"
    if [ -n "${2:-}" ]; then
        [ "$(zeros swap 0 32768)" -ge 4080 ] || fail "$1: swap's content is still there"
    else
        cmp -s swap <(part disk.raw 200704 32768) || fail "$1: swap has changed"
    fi
}

note "what it says"
"$IMG" sparsify --output=json disk.raw out.raw >out.json 2>err.txt
grep -q 'sda4 is kept whole: what is in it is not known' err.txt || fail "warnings: $(cat err.txt)"
grep -q 'sda5 is kept whole: .*journal' err.txt || fail "warnings: $(cat err.txt)"
grep -q '"kept": "swap is kept' out.json || fail "JSON: $(cat out.json)"
[ "$(grep -c '"understood": true' out.json)" = 3 ] || fail "JSON: $(cat out.json)"
judge out.raw

note "copies"
"$IMG" sparsify -q --swap -O qcow2 disk.raw out.qcow2
"$QEMU_IMG" convert -O raw out.qcow2 out.raw
judge out.raw swap
"$IMG" convert -q --skip-free -c -O vmdk disk.raw out.vmdk 2>/dev/null
"$QEMU_IMG" convert -O raw out.vmdk out.raw
judge out.raw
"$IMG" convert -q --skip-free -S 0 -m 3 disk.raw out.raw
judge out.raw
"$IMG" sparsify -q --zero-only disk.raw out.raw
same out.raw disk.raw
"$IMG" sparsify -q --ignore /dev/sda1 --ignore /dev/sda2 --ignore /dev/sda disk.raw out.raw
same out.raw disk.raw
expect_fail 1 "the disk has no /dev/sda9" "$IMG" sparsify -q --ignore /dev/sda9 disk.raw out.raw

note "partitions that are dropped"
"$IMG" sparsify -q --zero /dev/sda1 --zero=/dev/sda4 --convert qcow2 --tmp . --check-tmpdir warn \
    disk.raw out.qcow2
"$IMG" convert -q out.qcow2 out.raw
[ "$(zeros out.raw 4096 65536)" = 8192 ] || fail "partition 1 is still there"
[ "$(zeros out.raw 233472 8192)" = 1024 ] || fail "partition 4 is still there"
cmp -s <(part out.raw 241664 65536) <(part disk.raw 241664 65536) || fail "partition 5 has changed"
for device in /dev/sda /dev/sda9 disk; do
    expect_fail 1 "$device cannot be dropped" "$IMG" sparsify -q --zero $device disk.raw no.raw
done
expect_fail 1 "cannot be dropped" \
    "$IMG" sparsify -q --ignore /dev/sda1 --zero /dev/sda1 disk.raw no.raw
expect_fail 1 "--zero" "$IMG" sparsify --in-place --zero /dev/sda1 disk.raw
expect_fail 1 "--zero-only" "$IMG" sparsify --zero-only --zero /dev/sda1 disk.raw no.raw
[ ! -e no.raw ] || fail "there is a copy"

note "in place"
for format in raw qcow2 vmdk vdi; do
    "$QEMU_IMG" convert -S 0 -O $format disk.raw in.img
    before=$(stat -c %b in.img)
    "$IMG" sparsify -q --in-place --output=json -f $format in.img
    [ $((before - $(stat -c %b in.img))) -gt $((120 * 2048)) ] || fail "$format: nothing was saved"
    "$QEMU_IMG" check -q -f $format in.img 2>/dev/null || [ $? = 63 ] || fail "$format: check: $?"
    "$QEMU_IMG" convert -f $format -O raw in.img out.raw
    judge out.raw
done

note "an overlay: the image below stays what it is"
"$QEMU_IMG" convert -S 0 -O qcow2 disk.raw base.qcow2
"$QEMU_IMG" create -q -f qcow2 -b base.qcow2 -F qcow2 over.qcow2
"$QEMU_IO" -c 'write -P 7 70M 10M' over.qcow2 >/dev/null # between partitions
before=$(stat -c %b over.qcow2) base=$(md5sum <base.qcow2)
"$IMG" sparsify -q --in-place over.qcow2
[ "$(md5sum <base.qcow2)" = "$base" ] || fail "the base has changed"
[ $((before - $(stat -c %b over.qcow2))) -gt $((9 * 2048)) ] || fail "the overlay takes as much as before"
"$QEMU_IMG" check -q over.qcow2
"$QEMU_IMG" convert -O raw over.qcow2 out.raw
[ "$(zeros out.raw $((70 * 2048)) $((10 * 2048)))" = 2560 ] || fail "the gap came back"
cmp -s <(part out.raw 4096 65536) <(part disk.raw 4096 65536) || fail "more than the overlay was changed"

note "tables that cannot be trusted"
cp disk.raw odd.raw
dd if=/dev/zero of=odd.raw bs=512 seek=1 count=1 conv=notrunc status=none # the backup is left
"$IMG" sparsify odd.raw out.raw 2>err.txt
grep -q 'backup' err.txt || fail "no word of the backup: $(cat err.txt)"
cmp -s <(part out.raw 135168 65536) <(part disk.raw 135168 65536) || fail "the gap was dropped"
[ "$(zeros out.raw 69632 65536)" -gt 7800 ] || fail "FAT's free clusters are still there"
dd if=/dev/zero of=odd.raw bs=512 seek=$((192 * 2048 - 1)) count=1 conv=notrunc status=none
"$IMG" sparsify -q odd.raw out.raw
same out.raw odd.raw

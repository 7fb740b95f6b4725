#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What filesystems says of a disk is what sfdisk and blkid say, whatever the volumes hold.
. "$(dirname "$0")/../lib.sh"
need sfdisk blkid mke2fs mkfs.vfat mkfs.exfat mkfs.ntfs mkfs.xfs mkfs.btrfs mkfs.f2fs mkswap \
    cryptsetup genisoimage mksquashfs

mkdir src
seq 1000 >src/file
echo secret >key

# make KIND FILE: an image of one volume, of the size that the kind needs
make() {
    case $1 in
    ext2) truncate -s 8M "$2" && mke2fs -q -t ext2 -L two "$2" ;;
    ext3) truncate -s 32M "$2" && mke2fs -q -t ext3 "$2" ;;
    ext4) truncate -s 32M "$2" && mke2fs -q -t ext4 -L "a b" "$2" ;;
    bigalloc) truncate -s 32M "$2" && mke2fs -q -t ext4 -O bigalloc,^has_journal "$2" ;;
    journal) truncate -s 32M "$2" && mke2fs -q -O journal_dev "$2" ;;
    fat12) truncate -s 2M "$2" && mkfs.vfat -F 12 -n TWELVE "$2" ;;
    fat16) truncate -s 32M "$2" && mkfs.vfat -F 16 "$2" ;;
    fat32) truncate -s 80M "$2" && mkfs.vfat -F 32 -n "A B" "$2" ;;
    exfat) truncate -s 16M "$2" && mkfs.exfat -L label "$2" ;;
    ntfs) truncate -s 16M "$2" && mkfs.ntfs -q -F -L "a label" "$2" ;;
    xfs) truncate -s 320M "$2" && mkfs.xfs -q -L label "$2" ;;
    btrfs) truncate -s 128M "$2" && mkfs.btrfs -q -L label "$2" ;;
    f2fs) truncate -s 64M "$2" && mkfs.f2fs -q -l label "$2" ;;
    swap) truncate -s 4M "$2" && mkswap -L label "$2" ;;
    luks2) truncate -s 32M "$2" && cryptsetup -q luksFormat --type luks2 --label label \
        --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$2" key ;;
    iso) genisoimage -quiet -V "A Label" -o "$2" src ;;
    joliet) genisoimage -quiet -J -V "Joliet Label" -o "$2" src ;;
    udf) genisoimage -quiet -udf -V "Udf Label" -o "$2" src ;;
    squashfs) mksquashfs src "$2" -quiet -noappend ;;
    esac >/dev/null 2>err.txt || fail "$1: $(cat err.txt)"
}

# oracle FILE: "TYPE,LABEL,UUID" by blkid; what it does not say is "-"
oracle() {
    local tag line=
    for tag in TYPE LABEL UUID; do
        line+=,$(blkid -p -s $tag -o value "$1" | sed 's/^$/-/')
        [ "${line: -1}" != , ] || line+=-
    done
    echo "${line#,}"
}

# ours FILE N: the same of its N-th filesystem
ours() {
    "$IMG" filesystems -q -f raw --extra -l --uuid --csv --no-title "$1" |
        sed -n "$2p" | cut -d, -f3,4,7 | tr -d '"'
}

note "whole disks"
kinds="ext2 ext3 ext4 bigalloc journal fat12 fat16 fat32 exfat ntfs xfs btrfs f2fs swap luks2 iso
    joliet udf squashfs"
for kind in $kinds; do
    make "$kind" whole.img
    case $kind in
    journal | swap | luks2) # to be mounted there is nothing in it
        [ -z "$("$IMG" filesystems -q -f raw whole.img)" ] || fail "$kind: it is a filesystem"
        ;;
    esac
    [ "$(ours whole.img 1)" = "$(oracle whole.img)" ] ||
        fail "$kind: $(ours whole.img 1), but blkid says $(oracle whole.img)"
    rm whole.img
done

# table SECTOR TEXT: the partitions that sfdisk lists are those that we list
table() {
    note "$2"
    "$IMG" filesystems -q --partitions -l --csv --no-title disk.img |
        cut -d, -f1,4 | sed 's,/dev/sda,disk.img,' >ours.txt
    sfdisk -d disk.img | sed -n 's/^\(disk.img[0-9]*\) : start= *[0-9]*, size= *\([0-9]*\),.*/\1,\2/p' |
        while IFS=, read -r name sectors; do echo "$name,$((sectors * $1))"; done >sfdisk.txt
    [ -s sfdisk.txt ] || fail "sfdisk sees no partitions"
    cmp -s ours.txt sfdisk.txt || fail "$2: $(diff ours.txt sfdisk.txt)"
}

truncate -s 300M disk.img
sfdisk -q disk.img <<'END'
label: gpt
size=32M, name=one
start=100M, size=80M, type=uefi
size=16M, type=swap
END
table 512 "GPT"
sfdisk -q disk.img <<'END'
label: dos
size=32M, type=83, bootable
size=16M, type=7
size=200M, type=f
size=8M, type=c
size=16M, type=82
start=233472, size=32M
size=8M, type=83
END
table 512 "MBR with logical partitions"
"$IMG" filesystems -q --partitions -l disk.img >out.txt
grep -q '^/dev/sda1 *partition 83 ' out.txt || fail "MBR: $(cat out.txt)"
grep -q '^/dev/sda5 *partition 82 ' out.txt || fail "MBR: $(cat out.txt)"

note "what partitions hold, in any format"
for part in 1:ext4 2:ntfs 5:swap; do
    start=$(sfdisk -d disk.img | sed -n "s/^disk.img${part%:*} : start= *\([0-9]*\),.*/\1/p")
    make "${part#*:}" part.img
    dd if=part.img of=disk.img bs=512 seek="$start" conv=notrunc,sparse status=none
    oracle part.img >>oracle.txt
    rm part.img
done
"$IMG" convert -O qcow2 disk.img disk.qcow2
"$IMG" filesystems -q --extra -l --uuid --csv --no-title disk.qcow2 | grep -v unknown |
    cut -d, -f3,4,7 | tr -d '"' >ours.txt
cmp -s ours.txt oracle.txt || fail "partitions: $(diff ours.txt oracle.txt)"

note "how full they are"
"$IMG" df --csv disk.qcow2 >df.txt || fail "df: status $?: $(cat df.txt)"
head -1 df.txt | grep -qx 'Filesystem,1K-blocks,Used,Available,Use%' || fail "df: $(cat df.txt)"
[ "$(grep -c '^/dev/sda[12],[0-9]*,[0-9]*,[0-9]*,[0-9]*%$' df.txt)" = 2 ] || fail "df: $(cat df.txt)"
"$IMG" df -i disk.qcow2 | grep -q '^/dev/sda1 .* 1%$' || fail "df -i: $("$IMG" df -i disk.qcow2)"
"$IMG" df --output=json disk.qcow2 | grep -q '"filesystem": "/dev/sda2"' || fail "df: no JSON"

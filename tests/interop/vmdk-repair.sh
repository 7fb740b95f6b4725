#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# VMDK images damaged in every way that is known, one at a time: check finds it, with qemu-img's exit
# status and figures; check -r leaves an image in which qemu-img finds nothing, and a disk that holds
# what it held wherever it could be read.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"
cases=0

# get FILE SECTOR ENTRY: a number of a directory or table; put FILE SECTOR ENTRY NUMBER
get() {
    local digits
    digits=$(peek "$1" $(($2 * 512 + $3 * 4)) 4)
    echo $((16#${digits:6:2}${digits:4:2}${digits:2:2}${digits:0:2}))
}

put() {
    local digits
    digits=$(printf %08x "$4")
    poke "$1" $(($2 * 512 + $3 * 4)) "${digits:6:2}${digits:4:2}${digits:2:2}${digits:0:2}"
}

# What lies where: file is the one that is damaged, an extent of image.
look() {
    rgd=$(get "$file" 0 12) gd=$(get "$file" 0 14)
    table=$(get "$file" "$gd" 0) copy=$(get "$file" "$rgd" 0)
    second_table=$(get "$file" "$gd" 1) second_copy=$(get "$file" "$rgd" 1)
    first=$(get "$file" "$table" 0) second=$(get "$file" "$table" 1)
    size=$(stat -c %s "$file")
}

# ---------------------------------------------------------------------- the damages
#
# What ends with "leak" is one; of "lost" ones something remains.

damage_grain_past_end() { put "$file" "$table" 0 $((0x70000000)); }
damage_grain_before_data() { put "$file" "$table" 1 5; }
damage_grain_in_tables() { put "$file" "$table" 1 $((gd + 4)); }
damage_grain_unaligned() { put "$file" "$table" 1 $((second + 3)); }
damage_grain_is_1() { put "$file" "$table" 1 $((0x10001)); }
damage_grain_twice() { put "$file" "$table" 1 "$first"; }
damage_grain_twice_in_both() {
    put "$file" "$table" 1 "$first"
    put "$file" "$copy" 1 "$first"
}
damage_copy_past_end() { put "$file" "$copy" 0 $((0x70000000)); }
damage_copy_elsewhere() { put "$file" "$copy" 0 "$second"; }
damage_copy_zeroed_leak() { dd if=/dev/zero of="$file" bs=512 seek="$copy" count=4 conv=notrunc status=none; }
damage_copy_random() { head -c 2048 noise | dd of="$file" bs=512 seek="$copy" conv=notrunc status=none; }
damage_table_random() { head -c 2048 noise | dd of="$file" bs=512 seek="$table" conv=notrunc status=none; }
damage_table_zeroed_leak() { dd if=/dev/zero of="$file" bs=512 seek="$table" count=4 conv=notrunc status=none; }
damage_directory_past_end() { put "$file" "$gd" 0 $((0x70000000)); }
damage_directory_in_header() { put "$file" "$gd" 1 1; }
damage_directory_entry_gone_leak() { put "$file" "$gd" 1 0; }
damage_directory_at_other() { put "$file" "$gd" 1 "$table"; }
damage_directory_at_copy() { put "$file" "$gd" 1 "$copy"; }
damage_copies_directory_past_end() { put "$file" "$rgd" 1 $((0x70000000)); }
damage_copies_directory_gone_leak() { put "$file" "$rgd" 0 0; }
damage_both_at_one_table() { put "$file" "$rgd" 0 "$table"; }
damage_interrupted_leak() {
    put "$file" "$copy" 200 $((size / 512))
    truncate -s $((size + 65536)) "$file"
    head -c 65536 noise | dd of="$file" bs=512 seek=$((size / 512)) conv=notrunc status=none
}
damage_tail_leak() { cat noise >>"$file"; }
damage_gap_leak() {
    put "$file" "$table" 1 0
    put "$file" "$copy" 1 0
}
damage_unclean() { poke "$file" 72 01; }
damage_both_lost() {
    put "$file" "$table" 0 $((0x70000000))
    put "$file" "$copy" 0 $((0x70000000))
}
damage_cut_lost() { truncate -s $((size - 65536)) "$file"; }

all=$(declare -F | sed -n 's/^declare -f damage_//p')
seq 30000 60000 | gzip -n | head -c 80k >noise

# ------------------------------------------------------------------------- judging

# disk FILE: what image.vmdk reads as, zeros where it cannot be read
disk() {
    "$IMG" convert -q --salvage -O raw image.vmdk "$1" 2>/dev/null || fail "$damage: it cannot be read"
}

# figure NAME: of out.json
figure() {
    local number
    number=$(sed -n "s/^ *\"$1\": \([0-9]*\),*\$/\1/p" out.json)
    echo "${number:-0}"
}

# run STATUS ARGS...: check with these, into out.json
run() {
    local want=$1 status=0
    shift
    "$IMG" check --output=json "$@" image.vmdk >out.json 2>err.txt || status=$?
    [ $status = "$want" ] || fail "$damage, check $*: status $status, not $want: $(cat out.json err.txt)"
}

one_damage() {
    local status=2 remains=0
    cases=$((cases + 1))
    rm -f image*
    cp --sparse=always sound/* .
    look
    "damage_$damage"
    cp --sparse=always "$file" damaged
    case $damage in
    *_leak) status=3 ;;
    *_lost) remains=2 ;;
    unclean) status=0 ;;
    esac
    disk before.raw
    run $status
    cmp -s "$file" damaged || fail "$damage: a check has changed the file"
    if [ $status = 3 ] && [ $damage != table_zeroed_leak ] && [ $damage != directory_entry_gone_leak ]; then
        run 0 -r leaks
        [ "$(figure leaks-fixed)" -gt 0 ] || fail "$damage: -r leaks: $(cat out.json)"
        disk after.raw
        same after.raw before.raw
        cp --sparse=always damaged "$file"
    fi
    run $remains -r all
    run $remains
    if [ $remains = 0 ]; then
        "$QEMU_IMG" check -q image.vmdk || fail "$damage: qemu-img check: status $?"
        [ "$(peek "$file" 72 1)" = 00 ] || fail "$damage: the image is unclean"
    fi
    disk after.raw
    judge_disk
}

# Each grain reads as it did, or else as it did before the damage.
judge_disk() {
    perl -e 'open $_, "<", shift for my ($sound, $before, $after); my ($s, $b, $a);
        while (read $sound, $s, 65536) {
            read $before, $b, 65536;
            read $after, $a, 65536;
            die "at grain " . (tell($sound) / 65536 - 1) if $a ne $s && $a ne $b;
        }' sound.raw before.raw after.raw || fail "$damage: the disk has changed"
    # Where both copies were wrong, or the data is gone, nobody knows any more.
    case $damage in
    *_lost | grain_twice_in_both | gap_leak) return ;;
    esac
    cmp sound.raw after.raw || fail "$damage: not all has been mended"
}

# damages CREATOR OPTIONS FILE
damages() {
    note "$2 made by $(basename "$1")"
    file=$3
    rm -rf sound image*
    "$1" create -q -f vmdk ${2:+-o "$2"} image.vmdk 40M
    "$QEMU_IO" -c 'write -P 1 0 64k' -c 'write -P 2 64k 64k' -c 'write -P 3 128k 64k' \
        -c 'write -P 4 1M 640k' -c 'write -P 5 32M 1M' -c 'write -P 6 39M 1M' image.vmdk >/dev/null
    damage=none
    disk sound.raw
    mkdir sound
    mv image* sound
    for damage in $all; do
        one_damage
    done
}

damages "$QEMU_IMG" "" image.vmdk
damages "$IMG" "" image.vmdk
damages "$QEMU_IMG" zeroed_grain=on image.vmdk
damages "$QEMU_IMG" subformat=twoGbMaxExtentSparse image-s001.vmdk
echo "$cases damages"

# ------------------------------------------------------------------ what else there is

note "lost space is given back"
"$QEMU_IMG" create -q -f vmdk -o zeroed_grain=on waste.vmdk 100M
"$QEMU_IO" -c 'write -P 1 0 10M' -c 'write -z 1M 8M' waste.vmdk >/dev/null
"$QEMU_IMG" convert -O raw waste.vmdk waste.raw
before=$(du -k waste.vmdk | cut -f1)
expect_fail 3 "128 grains that no table names" "$IMG" check waste.vmdk
"$IMG" check -r leaks waste.vmdk >out.txt 2>/dev/null || fail "-r leaks: status $?"
grep -q '^    128 leaked clusters$' out.txt || fail "it said: $(cat out.txt)"
[ $((before - $(du -k waste.vmdk | cut -f1))) -ge 8000 ] || fail "no space was given back"
"$QEMU_IMG" compare -q waste.raw waste.vmdk || fail "another disk"
"$IMG" check -q waste.vmdk || fail "status $?"

note "the descriptor"
"$IMG" create -q -f vmdk -o subformat=monolithicFlat disk.vmdk 1M
sed -i 's/^CID=.*/CID=ffffffff/; s/geometry.heads = .*/geometry.heads = "900"/' disk.vmdk
expect_fail 2 'the CID, "ffffffff", is not one' "$IMG" check disk.vmdk
grep -q 'Remark on disk.vmdk: ddb.geometry.heads "900"' expect_fail.err || fail "no remark"
"$IMG" check -q -r all disk.vmdk 2>/dev/null || fail "status $?"
! grep -q CID=ffffffff$ <(grep ^CID disk.vmdk) || fail "the CID is still wrong"
"$IMG" check -q disk.vmdk 2>/dev/null || fail "status $?"
sed -i '/^CID=/d' disk.vmdk
expect_fail 2 "no CID" "$IMG" check disk.vmdk

note "a parent that was changed"
"$IMG" create -q -f vmdk base.vmdk 1M
"$IMG" create -q -f vmdk -b base.vmdk -F vmdk child.vmdk
"$IMG" check -q child.vmdk || fail "status $?"
"$IMG" io -c 'write -P 1 0 64k' base.vmdk >/dev/null
expect_fail 2 "img rebase -u" "$IMG" check child.vmdk

note "qemu-img's streams have two copies of their tables"
yes 'compress me' | head -c 5M >stream.raw
"$QEMU_IMG" convert -O vmdk -o subformat=streamOptimized stream.raw stream.vmdk
file=stream.vmdk damage=stream
look
put stream.vmdk "$copy" 3 77
put stream.vmdk "$table" 5 78
expect_fail 2 "grains lie elsewhere by the redundant copy" "$IMG" check stream.vmdk
# What importers miss at its end remains.
expect_fail 3 "" "$IMG" check -q -r all stream.vmdk
"$QEMU_IMG" check -q stream.vmdk || fail "qemu-img check: status $?"
"$QEMU_IMG" compare -q stream.raw stream.vmdk || fail "another disk"

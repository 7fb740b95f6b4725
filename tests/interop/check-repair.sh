#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# qcow2 images damaged in every way that is known, one at a time: what check finds is what qemu-img
# finds; check -r leaks and -r all end as qemu-img's do; after -r all qemu-img finds nothing, and
# disk and snapshot hold what they held.

. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"
mkdir bin
ln -s "$IMG" bin/qemu-img
ours=$PWD/bin/qemu-img
bad=0 cases=0

# ------------------------------------------------------------------- what lies where

# number OFFSET BYTES: of "image", without the flags of a table entry.
number() {
    local value
    value=$(od -An -v -tx1 -j "$1" -N "$2" image | tr -d ' \n')
    [ "$2" -lt 8 ] || value=${value:2}
    echo $((16#$value))
}

# put OFFSET HEX
put() {
    local bytes=$2
    while [ -n "$bytes" ]; do
        printf '%b' "\\x${bytes:0:2}"
        bytes=${bytes:2}
    done | dd of=image bs=1 seek="$1" conv=notrunc status=none
}

# put64 OFFSET NUMBER [HEX OF THE TOP BYTE]
put64() {
    put "$1" "${3:-00}$(printf %014x "$2")"
}

look() {
    cluster=$((1 << $(number 20 4)))
    l1=$(number 40 8) reftable=$(number 48 8) snapshots=$(number 64 8)
    l2=$(number "$l1" 8) block=$(number "$reftable" 8)
    order=4 entry=8
    if [ "$(number 4 4)" = 3 ]; then
        order=$(number 96 4)
        [ $(($(number 72 8) & 16)) = 0 ] || entry=16
    fi
    first=$(number "$l2" 8) second=$(number $((l2 + entry)) 8)
}

# refcount CLUSTER NUMBER: set it.
refcount() {
    local bits=$((1 << order)) bit byte mask
    if [ $bits -ge 8 ]; then
        put $((block + $1 * bits / 8)) "$(printf "%0$((bits / 4))x" "$2")"
        return
    fi
    bit=$(($1 * bits)) byte=$(number $((block + bit / 8)) 1) mask=$(((1 << bits) - 1))
    put $((block + bit / 8)) \
        "$(printf %02x $(((byte & ~(mask << bit % 8)) | ($2 & mask) << bit % 8)))"
}

# ---------------------------------------------------------------------- the damages
#
# Each is a function, "damage_" and what is wrong. "mends" names those after whose repair nothing
# remains, "differs" those of which ours says other things than qemu-img, each with a reason.

damage_nothing() { :; }
damage_leak() { refcount $(($(stat -c %s image) / cluster - 1)) 1; }
damage_leaks_in_use() { refcount $((first / cluster)) $(((1 << (1 << order > 8 ? 8 : 1 << order)) - 1)); }
damage_count_behind_end() { refcount $(($(stat -c %s image) / cluster + 3)) 1; }
damage_lost_count() { refcount $((first / cluster)) 0; }
damage_lost_count_of_table() { refcount $((l2 / cluster)) 0; }
damage_copied_missing() { put "$l2" 00; }
damage_copied_missing_in_l1() { put "$l1" 00; }
damage_mapped_twice() { put64 $((l2 + entry)) "$first" 80; }
damage_data_at_l1() { put64 "$l2" "$l1" 80; }
damage_data_at_block() { put64 "$l2" "$block" 80; }
damage_data_at_header() { put64 "$l2" 0 80; }
damage_data_behind_end() { put64 "$l2" $((0x70000000)) 80; }
damage_zeros_behind_end() { put64 "$l2" $((0x70000001)) 80; }
damage_table_behind_end() { put64 "$l1" $((0x70000000)) 80; }
damage_reserved_bits() { put64 "$l2" "$first" 84; }
damage_reserved_bits_in_l1() { put64 "$l1" "$l2" 81; }
damage_unaligned() { put64 "$l2" $((first + 512)) 80; }
damage_unaligned_zeros() { put64 "$l2" $((first + 513)) 80; }
damage_packed_copied() { put $((l2 + 8 * 10)) c0; }
# Of extended L2 entries.
damage_subclusters_data_and_zero() { put $((l2 + 8)) 00000001ffffffff; }
damage_subclusters_without_space() { put64 "$l2" 0; }
damage_no_blocks() { put64 "$reftable" 0; }
damage_block_of_zeros() {
    dd if=/dev/zero of=image bs="$cluster" seek=$((block / cluster)) count=1 conv=notrunc status=none
}
damage_block_of_ones() { put "$block" ffffffffffffffff; }
damage_block_twice() { put64 $((reftable + 8)) "$block"; }
damage_block_at_data() { put64 $((reftable + 8)) "$second"; }
damage_block_unaligned() { put64 $((reftable + 8)) $((block + 512)); }
damage_block_reserved() { put64 "$reftable" $((block + 1)); }
damage_first_block_unaligned() { put64 "$reftable" $((block + 512)); }
damage_block_behind_end() { put64 "$reftable" $((0x70000000)); }
damage_reftable_behind_end() { put64 48 $((0x70000000)); }
damage_reftable_empty() { put 56 00000000; }
damage_reftable_at_l1() { put64 48 "$l1"; }
damage_corrupt_bit() { [ "$(number 4 4)" = 2 ] || put 79 02; }
damage_dirty_bit() { [ "$(number 4 4)" = 2 ] || put 79 01; }
damage_dirty_and_leaks() {
    [ "$(number 4 4)" = 2 ] || put 79 03
    damage_leak
}
damage_snapshot_l1_unaligned() { put64 "$snapshots" $(($(number "$snapshots" 8) + 256)); }
damage_snapshot_l1_behind_end() { put64 "$snapshots" $((0x70000000)); }
damage_snapshot_record_short() { put $((snapshots + 36)) 00000008; }
damage_snapshot_list_long() { put 60 00000064; }
damage_snapshot_list_oversize() {
    local end=$((($(stat -c %s image) / cluster + 1) * cluster))
    dd if=image of=image bs=1 skip="$snapshots" seek=$end count=100 conv=notrunc status=none
    truncate -s $((end + 65600 * 40)) image
    put64 64 $end
    put 60 00010001
}
damage_file_cut_short() { truncate -s $(($(stat -c %s image) - 3 * cluster)) image; }

all=$(declare -F | sed -n 's/^declare -f damage_//p' | grep -v subclusters)
mends=" nothing leak leaks_in_use count_behind_end lost_count lost_count_of_table copied_missing
 copied_missing_in_l1 mapped_twice data_at_l1 data_at_block data_at_header unaligned_zeros no_blocks
 block_of_zeros block_of_ones block_twice block_at_data block_unaligned block_reserved
 first_block_unaligned block_behind_end reftable_behind_end reftable_empty reftable_at_l1 corrupt_bit
 dirty_bit dirty_and_leaks snapshot_record_short snapshot_list_long snapshot_list_oversize "
# - qemu-img grows the file to where a block was said to be; ours does not.
# - qemu-img cannot rebuild over structures of which it still believes something; ours does.
# - Ours says that a table cannot be read instead of failing at it.
# - Of very many findings ours says how many more there are.
differs=" block_behind_end block_reserved first_block_unaligned reftable_at_l1
 snapshot_list_oversize "

# ------------------------------------------------------------------------- comparing

complain() {
    bad=$((bad + 1))
    echo "DIFFERENT: $config, $damage, check $*" >&2
    [ ! -e theirs.err ] || diff -u theirs.err ours.err >&2 || :
}

# run_check SIDE PROGRAM ARGS...: on a copy of the damaged image
run_check() {
    local side=$1
    shift
    cp --sparse=always damaged image
    status=0
    "$@" image >"$side.out" 2>"$side.raw" || status=$?
    [ $status -lt 128 ] || fail "$*: status $status"
    # Where new structures go, and who says that it failed, is everybody's own.
    grep -v -e '^qemu-img: ' -e 'Marking image as corrupt' -e 'Image is corrupt' "$side.raw" |
        sort >"$side.err"
    sed -i -e '/^Image end offset/d' "$side.out"
    echo $status >"$side.status"
}

# disk FILE [SNAPSHOT]: what it reads as, as a checksum; nothing if it cannot be read
disk() {
    rm -f disk.raw
    "$QEMU_IMG" convert -q -f qcow2 -O raw ${2:+-l "$2"} "$1" disk.raw 2>/dev/null &&
        md5sum <disk.raw
}

# A repair of everything: clean for qemu-img, nothing lost.
judge_repair() {
    local name
    if [[ $mends = *[[:space:]]${damage}[[:space:]]* ]]; then
        [ "$(cat ours.status)" = 0 ] || complain "-r all: status $(cat ours.status)"
        "$QEMU_IMG" check -q image >check.out 2>&1 || complain "-r all: $(head -3 check.out)"
    fi
    for name in "" $snapshot; do
        before=$(disk damaged "$name") || continue
        [ "$(disk image "$name")" = "$before" ] || complain "-r all: the disk $name has changed"
    done
    "$ours" check image >/dev/null 2>&1 || [ $? = "$(cat ours.status)" ] ||
        complain "-r all: a check does not find what remained"
}

one_damage() {
    cases=$((cases + 1))
    cp --sparse=always sound image
    look
    "damage_$damage"
    cp --sparse=always image damaged
    for repair in "" "-r leaks" "-r all"; do
        if [[ $differs != *[[:space:]]${damage}[[:space:]]* ]]; then
            # shellcheck disable=SC2086 # two words
            run_check theirs "$QEMU_IMG" check $repair
        fi
        # shellcheck disable=SC2086
        run_check ours "$ours" check $repair
        [ "$repair" != "-r all" ] || judge_repair
        [[ $differs != *[[:space:]]${damage}[[:space:]]* ]] || continue
        for what in status out err; do
            cmp -s theirs.$what ours.$what || complain "$repair ($what)"
        done
    done
    rm -f theirs.*
}

# damages CONFIG CREATE-OPTIONS UNIT DAMAGE...
damages() {
    local options=$2 unit=$3
    local packed=1
    config=$1
    shift 3
    note "$config"
    rm -f image
    "$QEMU_IMG" create -q -f qcow2 -o "$options" image $((16 * unit))
    [[ $options != *data_file=* ]] || packed=
    "$QEMU_IO" -c "write -P 1 0 $unit" -c "write -P 2 $unit $((2 * unit))" \
        -c "write -P 3 $((4 * unit)) $unit" ${packed:+-c "write -c -P 9 $((10 * unit)) $unit"} \
        image >/dev/null
    if [ -n "$snapshot" ]; then
        "$QEMU_IMG" snapshot -c $snapshot image
        "$QEMU_IO" -c "write -P 4 0 $unit" -c "write -P 5 $((6 * unit)) $((3 * unit))" image >/dev/null
    fi
    mv image sound
    for damage; do
        [[ -n $snapshot || $damage != snapshot_* ]] || continue
        one_damage
    done
}

snapshot=one
# shellcheck disable=SC2086 # a list of words
damages "version 3, 4 KiB" cluster_size=4k 4096 $all
snapshot=
few="leak lost_count copied_missing mapped_twice data_at_block no_blocks block_of_zeros
    block_unaligned reftable_empty"
# shellcheck disable=SC2086
{
    damages "version 3, 64 KiB, refcounts of 64 bits" refcount_bits=64 65536 $few data_at_l1 \
        unaligned reserved_bits dirty_and_leaks
    damages "512 bytes, refcounts of 8 bits" cluster_size=512,refcount_bits=8 512 leak lost_count \
        mapped_twice block_of_zeros copied_missing
    damages "refcounts of 2 bits" cluster_size=4k,refcount_bits=2 4096 $few
    damages "refcounts of 1 bit" cluster_size=4k,refcount_bits=1 4096 lost_count copied_missing \
        no_blocks block_of_zeros
    damages "extended L2 entries" cluster_size=16k,extended_l2=on 16384 $few unaligned \
        subclusters_data_and_zero subclusters_without_space
    damages "an external data file" data_file=data.raw 65536 copied_missing block_of_zeros no_blocks
    damages "2 MiB" cluster_size=2M 2097152 leak lost_count copied_missing
    snapshot=one
    damages "version 2" compat=0.10 65536 $few corrupt_bit
}

note "the clusters of bitmaps and of encryption count"
"$QEMU_IMG" create -q -f qcow2 image 64M
"$QEMU_IMG" bitmap --add image one
"$QEMU_IO" -c 'write -P 1 3M 1M' image >/dev/null
cp image damaged
look
damage_no_blocks
"$IMG" check -r all image >/dev/null 2>&1 || fail "bitmaps: status $?"
"$QEMU_IMG" check -q image || fail "qemu-img check with bitmaps: status $?"
for name in image damaged; do
    "$QEMU_IMG" create -q -f qcow2 $name.merged 64M
    "$QEMU_IMG" bitmap --add $name.merged one
    "$QEMU_IMG" bitmap --merge one -b $name -F qcow2 $name.merged one
done
same image.merged damaged.merged
secret="secret,id=key,data=words"
"$IMG" create -q -f qcow2 --object $secret \
    -o encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10 image 4M
look
damage_no_blocks
"$IMG" check -r all image >/dev/null 2>&1 || fail "encryption: status $?"
"$QEMU_IMG" check -q --object $secret --image-opts \
    driver=qcow2,file.filename=image,encrypt.key-secret=key || fail "qemu-img check: status $?"

echo "$cases damages, $bad differences"
[ $bad = 0 ]

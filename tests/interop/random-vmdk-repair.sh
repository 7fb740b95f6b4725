#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# VMDK images whose directories and tables are changed at random, and repaired: the repair ends,
# what it says remains is what a check finds afterwards, what could be read and was right is not
# lost, and qemu-img finds nothing in what is said to be sound. The n-th trial is always the same.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"

# damage SEED: one to four entries of image.vmdk
damage() {
    perl -e 'srand shift;
        open my $file, "+<", "image.vmdk" or die;
        binmode $file;
        sub get { my $bytes; seek $file, shift, 0; read $file, $bytes, 4; return unpack "V", $bytes }
        my $size = -s $file;
        for (1 .. 1 + int rand 4) {
            my $at = 512 * get(rand() < 0.5 ? 48 : 56) + 4 * int rand 2;
            if (rand() > 0.3) { # an entry of a table
                my $table = 512 * get($at);
                next if $table > $size - 2048;
                $at = $table + 4 * (rand() < 0.8 ? int rand 27 : int rand 512);
            }
            my $old = get($at);
            my @new = (0, 1, $old ^ 1 << int rand 32, int rand $size / 512, 128 * int rand $size / 65536,
                       0xffffffff, 21, $old + 128);
            seek $file, $at, 0;
            print $file pack "V", $new[rand @new];
        }' "$1"
}

# remains FILE: what a result says is left
remains() {
    grep -E '"(corruptions|leaks|check-errors)":' "$1" || :
}

trial() {
    local seed=$1 what=all status=0
    [ $((seed % 4)) != 0 ] || what=leaks
    cp --sparse=always sound.vmdk image.vmdk
    damage "$seed"
    "$IMG" convert -q --salvage -O raw image.vmdk before.raw 2>/dev/null || return 0
    "$IMG" check -r $what --output=json image.vmdk >repaired.json 2>err.txt || status=$?
    [ $status = 0 ] || [ $status = 2 ] || [ $status = 3 ] || fail "seed $seed: status $status: $(cat err.txt)"
    "$IMG" check --output=json image.vmdk >checked.json 2>err.txt || [ $? = $status ] ||
        fail "seed $seed, -r $what: status $status, and another for a check"
    [ "$(remains repaired.json)" = "$(remains checked.json)" ] ||
        fail "seed $seed, -r $what: $(cat repaired.json checked.json)"
    [ $status != 0 ] || "$QEMU_IMG" check -q image.vmdk || fail "seed $seed: qemu-img check: status $?"
    "$IMG" convert -q --salvage -O raw image.vmdk after.raw 2>/dev/null || fail "seed $seed: cannot be read"
    perl -e 'open $_, "<", shift for my ($sound, $before, $after); my ($s, $b, $a);
        while (read $sound, $s, 65536) {
            read $before, $b, 65536;
            read $after, $a, 65536;
            # Zeros may be what could not be read.
            die "at grain " . (tell($sound) / 65536 - 1) if $b eq $s && $a ne $s && $s =~ tr|\0||c;
        }' sound.raw before.raw after.raw || fail "seed $seed, -r $what: the disk has changed"
}

for options in "" zeroed_grain=on; do
    note "${options:-no options}"
    "$QEMU_IMG" create -q -f vmdk ${options:+-o "$options"} sound.vmdk 40M
    "$QEMU_IO" -c 'write -P 1 0 64k' -c 'write -P 2 64k 64k' -c 'write -P 4 1M 640k' \
        -c 'write -P 5 32M 1M' sound.vmdk >/dev/null
    "$IMG" convert -O raw sound.vmdk sound.raw
    for seed in $(seq 50); do
        trial "$seed"
    done
done

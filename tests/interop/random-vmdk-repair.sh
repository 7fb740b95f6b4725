#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# VMDK images whose directories and tables are changed at random, and repaired: the repair ends,
# what it says remains is what a check finds afterwards, every grain whose entry is possible reads as
# it did, zeros or not, and qemu-img finds nothing in what is said to be sound. The n-th trial is always the same.
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

# intact IMAGE BEFORE AFTER: grains whose entries could be right read the same before and after. An
# entry is wrong that lies nowhere where a grain may, or in another's grain; a table with many of
# them, or with nothing where its copy has something, is lost as a whole, and so may become its copy.
intact() {
    perl -e '
        open my $file, "<", $ARGV[0] or die;
        read $file, my $image, -s $file;
        sub get { return unpack "V", substr $image, shift, 4 }
        my ($end, $flags, $rgd, $gd, $first) = (length($image) / 512, map { get($_) } 8, 48, 56, 64);
        sub overlaps { my ($a, $b, $n) = @_; return $a < $b + $n && $b < $a + 4 }
        sub table {
            my ($at, @others) = @_;
            return if $at < 1 || $at + 4 > $end || overlaps($at, 1, 20) || overlaps($at, $gd, 1) ||
                overlaps($at, $rgd, 1) || grep { overlaps($at, $_, 4) } @others;
            return map { get(512 * $at + 4 * $_) } 0 .. 511;
        }
        my @places = map { get(512 * $gd + 4 * $_) } 0, 1;
        my @tables = map { [table($places[$_], $places[1 - $_])] } 0, 1;
        my @copies = map { [table(get(512 * $rgd + 4 * $_))] } 0, 1;
        my %uses;
        $uses{$_}++ for map { @{ @{$tables[$_]} ? $tables[$_] : $copies[$_] } } 0, 1;
        sub wrong {
            my $at = shift;
            return if !$at || $at == 1 && $flags & 4;
            return $at < $first || $at + 128 > $end || ($at - $first) % 128 || $uses{$at} > 1;
        }
        sub lost {
            my ($place, $table, $copy) = @_;
            return !!$place || grep { $_ } @$copy unless @$table;
            return 1 if 8 <= grep { wrong($_) } @$table;
            return !grep({ $_ } @$table) && grep { $_ } @$copy;
        }
        my @lost = map { scalar lost($places[$_], $tables[$_], $copies[$_]) } 0, 1;
        open my $before, "<", $ARGV[1] or die;
        open my $after, "<", $ARGV[2] or die;
        for my $n (0 .. 639) {
            read $before, my $b, 65536;
            read $after, my $a, 65536;
            next if $lost[$n >> 9] || wrong($tables[$n >> 9][$n & 511]);
            die "grain $n\n" if $a ne $b;
        }' "$@"
}

trial() {
    local seed=$1 what=all status=0
    [ $((seed % 4)) != 0 ] || what=leaks
    cp --sparse=always sound.vmdk image.vmdk
    damage "$seed"
    cp --sparse=always image.vmdk damaged.vmdk
    "$IMG" convert -q --salvage -O raw image.vmdk before.raw 2>/dev/null || return 0
    "$IMG" check -r $what --output=json image.vmdk >repaired.json 2>err.txt || status=$?
    [ $status = 0 ] || [ $status = 2 ] || [ $status = 3 ] || fail "seed $seed: status $status: $(cat err.txt)"
    "$IMG" check --output=json image.vmdk >checked.json 2>err.txt || [ $? = $status ] ||
        fail "seed $seed, -r $what: status $status, and another for a check"
    [ "$(remains repaired.json)" = "$(remains checked.json)" ] ||
        fail "seed $seed, -r $what: $(cat repaired.json checked.json)"
    [ $status != 0 ] || "$QEMU_IMG" check -q image.vmdk || fail "seed $seed: qemu-img check: status $?"
    "$IMG" convert -q --salvage -O raw image.vmdk after.raw 2>/dev/null || fail "seed $seed: cannot be read"
    [ $what = all ] || same after.raw before.raw
    intact damaged.vmdk before.raw after.raw || fail "seed $seed, -r $what: the disk has changed"
}

for options in "" zeroed_grain=on; do
    note "${options:-no options}"
    "$QEMU_IMG" create -q -f vmdk ${options:+-o "$options"} sound.vmdk 40M
    "$QEMU_IO" -c 'write -P 1 0 64k' -c 'write -P 2 64k 64k' -c 'write -P 4 1M 640k' \
        -c 'write -P 5 32M 1M' sound.vmdk >/dev/null
    for seed in $(seq 50); do
        trial "$seed"
    done
done

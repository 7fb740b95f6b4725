#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
#
# A strict importer of streamOptimized VMDK: reads one from standard input, once and from front to
# back, and writes the disk to standard output. It shares no code with the library and takes nothing
# but the canonical form, with everything that one importer or another insists on.
# ("Virtual Disk Format 5.0", "Stream-Optimized Compressed Sparse Extents".)
#
#   read-stream.pl [CYLINDERS] <DISK.vmdk >DISK.raw
use strict;
use warnings;
use Compress::Zlib;

use constant { SECTOR => 512, TABLE => 512, ALL_ONES => ~0 };

binmode STDIN;
binmode STDOUT;

my $at = 0; # sectors taken

sub take
{
    my ($sectors) = @_;
    my $bytes = '';
    while (length $bytes < $sectors * SECTOR) {
        my $got = read STDIN, $bytes, $sectors * SECTOR - length $bytes, length $bytes;
        die "sector $at: the stream ends\n" if !$got;
    }
    $at += $sectors;
    return $bytes;
}

sub is_zero { return $_[0] !~ /[^\0]/; }
sub must { my ($ok, $what) = @_; die "sector $at: $what\n" if !$ok; }

# The header.
my $header = take(1);
my ($magic, $version, $flags, $capacity, $grain, $text_at, $text_room, $entries, $redundant, $directory,
    $overhead, $unclean, $newlines, $algorithm, $rest) =
    unpack 'a4 V V Q< Q< Q< Q< V Q< Q< Q< C a4 v a*', $header;
must($magic eq 'KDMV', 'no magic');
must($version == 3, "version $version");
must($flags == 0x30001, sprintf 'flags 0x%x', $flags);
must($entries == TABLE, "$entries entries a table");
must($redundant == 0, 'a redundant directory');
must($directory == ALL_ONES, 'the directory is not at the end');
must($unclean == 0 && $newlines eq "\n \r\n" && $algorithm == 1 && is_zero($rest), 'the header');
must($grain == 128, "grains of $grain sectors");
must($overhead % $grain == 0, "the first grain at $overhead");
must($text_at == 1 && $text_room == 20, "a descriptor of $text_room sectors at $text_at");

# The descriptor.
my $text = take($text_room);
$text =~ s/\0+\z//;
must($text !~ /\0/ && $text =~ /\A# Disk DescriptorFile\nversion=1\n/, 'how the descriptor begins');
must($text =~ /\n\z/ && $text !~ /\r/, 'lines of the descriptor');
my %value;
for (split /\n/, $text) {
    $value{$1} = $2 if /^([\w.]+) ?= ?"?(.*?)"?$/;
}
my ($extents) = $text =~ /# Extent description\n((?:(?!#).*\n)*)# The Disk Data Base\n#DDB\n/;
must(defined $extents && $extents =~ /\ARW (\d+) SPARSE "([^"\/]+)"\n\z/ && $1 == $capacity,
     'the extent');
must($text =~ /#DDB\n(?:ddb\.[\w.]+ = ".*"\n)+\z/, 'the disk data base');
must($value{createType} eq 'streamOptimized', 'the kind of image');
must($value{CID} =~ /\A[0-9a-f]{8}\z/ && $value{CID} !~ /\Afffffff[ef]\z/, 'the CID');
must($value{parentCID} eq 'ffffffff', 'the parent');
must($value{'ddb.adapterType'} eq 'lsilogic', 'the adapter');
must($value{'ddb.geometry.heads'} == 255 && $value{'ddb.geometry.sectors'} == 63, 'the geometry');
must($value{'ddb.geometry.cylinders'} == $ARGV[0], 'the cylinders') if @ARGV;
must($value{'ddb.virtualHWVersion'} >= 7, 'the hardware version');
must($value{'ddb.toolsVersion'} eq '2147483647', 'the tools version');
must($value{'ddb.longContentID'} =~ /\A[0-9a-f]{24}$value{CID}\z/, 'the long content ID');
my $half = qr/[0-9a-fA-F]{2}(?: [0-9a-fA-F]{2}){7}/;
must($value{'ddb.uuid'} =~ /\A60 00 C2 9/ && $value{'ddb.uuid'} =~ /\A$half-$half\z/, 'the UUID');
must(is_zero(take($overhead - $at)), 'something before the first grain');

# Grains, each table behind its own, the directory, the footer, the end.
my (@table, @directory, $index);
my ($next, $ended, $footer, $named) = (0, 0, 0, 0);

sub out_zeros
{
    my ($grains) = @_;
    my $none = "\0" x ($grain * SECTOR);
    print $none for 1 .. $grains;
}

sub take_grain
{
    my ($lba, $size, $first) = @_;
    my $number = $lba / $grain;
    must($lba % $grain == 0 && $lba < $capacity, "grain at $lba");
    must($number >= $next, 'grains do not ascend');
    must(!$named, 'a grain behind the directory');
    my $stored = 12 + $size;
    must($stored <= 66048, "$stored bytes are more than VirtualBox reads");
    must(!defined $index || $index == int($number / TABLE), 'no table behind its grains');
    $index = int($number / TABLE);
    $table[$number % TABLE] = $at - 1;
    my $sectors = int(($stored + SECTOR - 1) / SECTOR);
    my $bytes = $first . ($sectors > 1 ? take($sectors - 1) : '');
    must(is_zero(substr $bytes, $stored), 'padding of a grain');
    my $data = substr $bytes, 12, $size;
    my ($inflate, $status) = inflateInit();
    ($data, $status) = $inflate->inflate($data);
    must($status == Z_STREAM_END && length $data == $grain * SECTOR, 'a grain does not inflate');
    must(!is_zero($data), 'a grain of zeros');
    out_zeros($number - $next);
    my $left = ($capacity - $lba) * SECTOR; # the last grain may reach past the disk's end
    print $left < length $data ? substr $data, 0, $left : $data;
    $next = $number + 1;
}

sub take_metadata
{
    my ($sectors, $type) = @_;
    if ($type == 1) {
        must($sectors == TABLE * 4 / SECTOR, "a table of $sectors sectors");
        must(defined $index, 'a table without grains');
        my $place = $at;
        must(take($sectors) eq pack('V*', map { $table[$_] // 0 } 0 .. TABLE - 1), 'the table');
        $directory[$index] = $place;
        @table = ();
        undef $index;
    } elsif ($type == 2) {
        must(!defined $index, 'the last table is missing');
        my $count = int(($capacity + $grain * TABLE - 1) / ($grain * TABLE));
        my $expected = pack 'V*', map { $directory[$_] // 0 } 0 .. $count - 1;
        $expected .= "\0" x (-length($expected) % SECTOR);
        $named = $at;
        must($sectors == length($expected) / SECTOR && take($sectors) eq $expected, 'the directory');
    } elsif ($type == 3) {
        must($named && $sectors == 1, 'where the footer is');
        my $expected = $header;
        substr $expected, 56, 8, pack 'Q<', $named;
        must(take(1) eq $expected, 'the footer');
        $footer = $at;
    } else {
        must(0, "marker of type $type");
    }
}

while (!$ended) {
    my $sector = take(1);
    my ($value, $size, $type) = unpack 'Q< V V', $sector;
    if ($size > 0) {
        take_grain($value, $size, $sector);
    } elsif (is_zero($sector)) {
        must($footer == $at - 1, 'no footer before the end');
        $ended = 1;
    } else {
        must(is_zero(substr $sector, 16), 'a marker is followed by something');
        take_metadata($value, $type);
    }
}
my $byte;
must(!read(STDIN, $byte, 1), 'something behind the end');

# The rest of the disk.
my $disk = $capacity * SECTOR;
out_zeros(1), $next++ while ($next + 1) * $grain * SECTOR <= $disk;
print "\0" x ($disk - $next * $grain * SECTOR) if $next * $grain * SECTOR < $disk;

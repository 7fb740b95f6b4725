#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# streamOptimized: what we write passes a strict importer that shares no code with us; what others
# write is read, from a file and from a pipe; what importers would reject is found by check; what
# damage leaves of a stream is salvaged when that is asked for.
. "$(dirname "$0")/../lib.sh"

stream="-O vmdk -o subformat=streamOptimized"
maker=$srcdir/fixtures/make-stream.pl

noise() {
    seq 1 2000000 | gzip -1nc | head -c "$1"
}

# put FILE OFFSET: what comes in, there.
put() {
    dd of="$1" bs=512 seek=$(($2 / 512)) conv=notrunc status=none
}

note "what we write"
truncate -s 512 one.raw
noise 512 | put one.raw 0
truncate -s 5M empty.raw
truncate -s $((64 << 20 | 2560)) ends.raw # whose last grain is cut by the disk's end
noise 100000 | put ends.raw 0
noise 2560 | put ends.raw $((64 << 20))
truncate -s 200M tables.raw # grains in three tables of seven
noise 3M | put tables.raw $((33 << 20))
seq 1 900000 | put tables.raw $((33554432 - 65536))
noise 70000 | put tables.raw $((150 << 20))
noise 4M >full.raw
for disk in one empty ends tables full; do
    cylinders=$(($(stat -c %s $disk.raw) / 512 / 255 / 63))
    [ $cylinders -gt 0 ] || cylinders=1
    for threads in 1 8; do
        for level in 1 9; do
            # shellcheck disable=SC2086 # a list of plain words
            "$IMG" convert -m $threads -f raw $stream,compression_level=$level $disk.raw $disk.vmdk
            "$srcdir/tests/tools/read-stream.pl" $cylinders <$disk.vmdk >out.raw ||
                fail "$disk: a strict importer rejects it"
            same $disk.raw out.raw
            "$IMG" check -q $disk.vmdk || fail "$disk: check gives $?"
        done
    done
done
# shellcheck disable=SC2086
"$IMG" convert -f raw $stream,adapter_type=ide ends.raw ide.vmdk
! "$srcdir/tests/tools/read-stream.pl" <ide.vmdk >/dev/null 2>&1 || fail "the strict importer is not"

note "what others write"
# foreign NAME DISK: NAME.vmdk is in order and holds that disk, whichever way it is read.
foreign() {
    "$IMG" check -q "$1.vmdk" || fail "$1 of $2: check gives $?"
    "$IMG" check -q - <"$1.vmdk" || fail "$1 of $2: check of a pipe gives $?"
    "$IMG" convert -O raw "$1.vmdk" out.raw
    same "$2.raw" out.raw
    "$IMG" convert -O raw - out.raw <"$1.vmdk"
    same "$2.raw" out.raw
}

for disk in one empty ends tables; do
    perl "$maker" $disk.raw canonical.vmdk
    foreign canonical $disk
    perl "$maker" --front $disk.raw front.vmdk
    foreign front $disk
    perl "$maker" --progress $disk.raw progress.vmdk
    foreign progress $disk
    perl "$maker" --small --front --progress $disk.raw small.vmdk
    foreign small $disk
done
vmdkstream=/usr/lib/python3/dist-packages/VMDKstream.py
if [ -e $vmdkstream ]; then
    for disk in ends tables full; do
        /usr/bin/python3 $vmdkstream $disk.raw python.vmdk
        foreign python $disk
    done
fi

note "what importers would reject"
size=$(stat -c %s ends.vmdk)
# found STATUS TEXT COMMAND...: what check says of a copy that the command has changed.
found() {
    local status=$1 text=$2
    shift 2
    cp ends.vmdk changed.vmdk
    "$@"
    expect_fail "$status" "$text" "$IMG" check changed.vmdk
    expect_fail "$status" "$text" "$IMG" check - <changed.vmdk
}
found 2 "padding behind the end of the stream" truncate -s +512 changed.vmdk
found 2 "padding behind the end of the stream" truncate -s +65024 changed.vmdk
found 2 "data behind the end of the stream" eval 'printf x >>changed.vmdk'
found 2 "no end-of-stream marker" truncate -s -512 changed.vmdk
found 2 "an end-of-stream marker that is no sector of zeros" poke changed.vmdk $((size - 100)) 01
found 2 "an unknown marker" poke changed.vmdk $((size - 512 + 12)) 05
found 2 "an impossible sector number" poke changed.vmdk 65536 01
found 2 "a grain that cannot be decompressed" poke changed.vmdk 65560 ffff
found 2 "larger compressed than any can be" poke changed.vmdk $((65536 + 8)) ffffff7f

# On a file the tables are looked at first, a pipe has none before they come.
cp ends.vmdk changed.vmdk
first=$(peek ends.vmdk $((65536 + 8)) 4)
second=$((65536 + (12 + 0x${first:6:2}${first:4:2}${first:2:2}${first:0:2} + 511) / 512 * 512))
poke changed.vmdk $second 00
expect_fail 2 "grains are not in ascending order" "$IMG" check changed.vmdk
expect_fail 1 "stream at" "$IMG" convert -O raw - out <changed.vmdk
cp ends.vmdk changed.vmdk
poke changed.vmdk $((size - 1024 + 40)) 01
expect_fail 2 "a footer that is no copy of the header" "$IMG" check - <changed.vmdk
cp ends.vmdk changed.vmdk
poke changed.vmdk $((size - 2048)) 99
expect_fail 2 "a grain directory that names other tables" "$IMG" check - <changed.vmdk
cp ends.vmdk changed.vmdk
poke changed.vmdk $((size - 2048 - 512 - 2048)) 99
expect_fail 2 "a grain table that names other grains" "$IMG" check - <changed.vmdk
expect_fail 1 "a grain table that names other grains" "$IMG" convert -O raw - out <changed.vmdk

note "what can be read but not imported"
perl "$maker" --front ends.raw front.vmdk
truncate -s -512 front.vmdk
expect_fail 3 "no end-of-stream marker" "$IMG" check front.vmdk
truncate -s +2K front.vmdk
expect_fail 3 "padding behind the end" "$IMG" check front.vmdk
"$IMG" convert -O raw - out.raw <front.vmdk
same ends.raw out.raw
perl "$maker" --front ends.raw front.vmdk
poke front.vmdk $((22 * 512 + 4 * 9)) ff # one grain more than there is
expect_fail 2 "not as many grains as the tables name" "$IMG" check - <front.vmdk
expect_fail 1 "not as many grains as the tables name" "$IMG" convert -O raw - out <front.vmdk

note "salvage"
# salvages FILE DISK: with a warning, and everything is there.
salvages() {
    expect_fail 1 "" "$IMG" convert -O raw "$1" out.raw
    "$IMG" convert --salvage -O raw "$1" out.raw 2>messages
    grep -q 'warning: .*grains were found by their markers' messages || fail "no warning"
    same "$2.raw" out.raw
}
cp tables.vmdk damaged.vmdk
truncate -s -1536 damaged.vmdk # no footer
salvages damaged.vmdk tables
truncate -s -3000 damaged.vmdk # nor directory, and half a table
salvages damaged.vmdk tables
cp tables.vmdk damaged.vmdk
noise 2000 | put damaged.vmdk $(($(stat -c %s damaged.vmdk) - 2048))
salvages damaged.vmdk tables
perl "$maker" --front tables.raw damaged.vmdk
head -c 2048 /dev/zero | tr '\0' '\377' | put damaged.vmdk $((22 * 512)) # a table
expect_fail 1 "" "$IMG" convert -O raw damaged.vmdk out.raw
"$IMG" convert --salvage -O raw damaged.vmdk out.raw 2>messages
same tables.raw out.raw
"$IMG" convert --salvage -O raw tables.vmdk out.raw 2>messages
[ ! -s messages ] || fail "a sound stream gives a warning"
same tables.raw out.raw
head -c 3000000 tables.vmdk >damaged.vmdk
"$IMG" convert --salvage -O raw damaged.vmdk out.raw 2>messages
cmp -n 35000000 out.raw tables.raw || fail "what was before the cut is lost"
[ "$(stat -c %s out.raw)" = "$(stat -c %s tables.raw)" ] || fail "another size"

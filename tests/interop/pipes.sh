#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Pipes as targets and sources: the same bytes as by way of a file, bounded memory, and no image
# that looks complete when something went wrong.
. "$(dirname "$0")/../lib.sh"

stream="-O vmdk -o subformat=streamOptimized"
size=$((100 << 20 | 3 << 9))
truncate -s $size disk.raw
seq 1 3000000 | dd of=disk.raw bs=1M seek=3 conv=notrunc status=none
seq 1 3000000 | gzip -1nc | head -c 9M | dd of=disk.raw bs=1M seek=77 conv=notrunc status=none
"$IMG" convert -f raw -O qcow2 disk.raw disk.qcow2

note "to a pipe"
# shellcheck disable=SC2086 # a list of plain words
"$IMG" convert $stream disk.qcow2 disk.vmdk
for threads in 1 4 16; do
    # shellcheck disable=SC2086
    "$IMG" convert -m $threads $stream disk.qcow2 - | cat >piped.vmdk
    same disk.vmdk piped.vmdk
done
# shellcheck disable=SC2086
"$IMG" convert $stream disk.qcow2 - >piped.vmdk
same disk.vmdk piped.vmdk
"$IMG" convert -O raw disk.qcow2 - | cmp - disk.raw || fail "raw in a pipe differs"

note "FIFOs"
mkfifo fifo
cat fifo >piped.vmdk &
# shellcheck disable=SC2086
"$IMG" convert $stream disk.qcow2 fifo >report
wait $!
same disk.vmdk piped.vmdk
[ ! -s report ] || fail "convert says something on standard output"
[ -p fifo ] || fail "the FIFO was replaced"

note "messages stay out of it"
# shellcheck disable=SC2086
"$IMG" convert -p --output=json $stream disk.qcow2 - 2>messages | cat >piped.vmdk
same disk.vmdk piped.vmdk
grep -q '(100.00/100%)' messages || fail "no progress"
grep -q '"virtual-size": '$size messages || fail "no report"

note "what cannot be"
expect_fail 1 "only subformat=streamOptimized can be written to a pipe" \
    "$IMG" convert -O vmdk disk.qcow2 -
expect_fail 1 "qcow2 images cannot be read from a pipe, or written to one" \
    "$IMG" convert -O qcow2 disk.qcow2 -
expect_fail 1 "a pipe holds no image that could be changed" \
    "$IMG" convert -n -O raw disk.qcow2 -
[ ! -e ./- ] || fail "a file was made"
# shellcheck disable=SC2086
"$IMG" convert $stream disk.qcow2 ./-
"$IMG" compare ./- disk.raw

note "a reader that goes away"
# shellcheck disable=SC2086
{ "$IMG" convert $stream disk.qcow2 - 2>messages || echo $? >status; } | head -c 100000 >/dev/null
[ "$(cat status)" = 1 ] || fail "status $(cat status)"
grep -q 'Broken pipe' messages || fail "it does not say why: $(cat messages)"

note "a source that cannot be read to its end"
head -c 60M disk.raw >short.raw
"$IMG" convert -f raw -O qcow2 short.raw short.qcow2
truncate -s 20M short.qcow2
# shellcheck disable=SC2086
{ "$IMG" convert $stream -O vmdk short.qcow2 - 2>messages || echo $? >status; } >cut.vmdk
[ "$(cat status)" = 1 ] || fail "status $(cat status)"
expect_fail 1 "the stream has no footer" "$IMG" convert -O raw cut.vmdk out.raw

note "raw from a pipe"
from="--image-opts driver=raw,size=$size,file.filename=-"
# shellcheck disable=SC2086
head -c $size disk.raw | "$IMG" convert $from -O qcow2 piped.qcow2
"$IMG" compare disk.raw piped.qcow2
rm piped.qcow2
# shellcheck disable=SC2086
head -c 50M disk.raw | expect_fail 1 "the file ends at" "$IMG" convert $from -O qcow2 piped.qcow2
[ ! -e piped.qcow2 ] || fail "an incomplete target was kept"
expect_fail 1 "the size of a raw disk in a pipe is not known" "$IMG" convert -f raw - out.raw \
    <disk.raw
expect_fail 1 "qcow2 images cannot be read from a pipe" "$IMG" convert - out.raw <disk.qcow2

note "streams from a pipe"
"$QEMU_IMG" convert -f raw -O vmdk -o subformat=streamOptimized disk.raw qemu.vmdk
for source in disk.vmdk qemu.vmdk; do
    for threads in 1 4 16; do
        for format in raw qcow2 "vmdk -o subformat=streamOptimized"; do
            # shellcheck disable=SC2086 # a list of plain words
            head -c 1G $source | "$IMG" convert -m $threads - -O $format out
            "$IMG" compare -q -f "${format%% *}" out disk.raw || fail "$source to $format differs"
            rm out
        done
    done
done
cat qemu.vmdk >fifo &
"$IMG" convert -f vmdk fifo -O qcow2 piped.qcow2
wait $!
"$IMG" compare -q piped.qcow2 disk.raw || fail "the FIFO differs"
"$IMG" convert -O raw - - <disk.vmdk | cmp - disk.raw || fail "through two pipes"
"$IMG" convert -O raw --image-opts driver=vmdk,file.filename=- - <qemu.vmdk | cmp - disk.raw ||
    fail "described by options"

note "memory stays where it is"
timer=$builddir/tests/tools/timer
seq 1 40000000 | gzip -1nc | head -c 80M >large.raw
truncate -s 3G large.raw
# shellcheck disable=SC2086
"$IMG" convert -f raw $stream large.raw large.vmdk
head -c 4G large.vmdk | "$timer" figures "$IMG" convert -m 16 - -O qcow2 large.qcow2
read -r _ peak _ <figures
note "$(stat -c %s large.vmdk) bytes, $peak KiB at the peak"
if ! grep -qE '__(asan|tsan)_init' "$IMG"; then
    [ "$peak" -lt 65536 ] || fail "$peak KiB at the peak"
fi
"$IMG" compare -q -f raw large.raw large.qcow2 || fail "the large one differs"
rm large.*

note "streams that are cut never pass for complete ones"
for source in disk.vmdk qemu.vmdk; do
    length=$(stat -c %s $source)
    for left in 100 600 30000 65536 65700 $((length / 3 / 512 * 512)) $((length / 2)) \
        $((length - 100000)) $((length - 66000)); do
        head -c $left $source | { ! "$IMG" convert -f vmdk - -O raw out 2>messages; } ||
            fail "$source cut at $left was converted"
        [ ! -e out ] || fail "a target of $source cut at $left"
        [ -s messages ] || fail "nothing was said of $source cut at $left"
    done
done
length=$(stat -c %s disk.vmdk)
for left in 1025 1536 2048 2560 5000; do
    head -c $((length - left)) disk.vmdk | { ! "$IMG" convert - -O raw out 2>messages; } ||
        fail "cut $left bytes before the end"
done

note "what cannot be read from a pipe"
"$IMG" convert -f raw -O vmdk disk.raw sparse.vmdk
"$IMG" convert -f raw -O vmdk -o subformat=monolithicFlat disk.raw flat.vmdk
expect_fail 1 "only streamOptimized ones can be read from a pipe" \
    "$IMG" convert - -O raw out <sparse.vmdk
expect_fail 1 "a descriptor cannot be read from a pipe" "$IMG" convert - -O raw out <flat.vmdk
"$QEMU_IMG" convert -W -m 16 -f raw -O vmdk -o subformat=streamOptimized disk.raw mixed.vmdk
if ! "$IMG" check -q mixed.vmdk 2>&1 | grep -q 'ascending'; then
    note "qemu-img kept the order this time"
else
    expect_fail 1 "it cannot be read from a pipe" "$IMG" convert - -O raw out <mixed.vmdk
    "$IMG" convert -O raw mixed.vmdk out
    same out disk.raw
fi

note "info and check"
"$IMG" info --output=json - <disk.vmdk >info.out
grep -q '"virtual-size": '$size info.out || fail "info of a pipe"
"$IMG" check - <disk.vmdk
expect_fail 3 "padding behind the end of the stream" "$IMG" check - <qemu.vmdk
expect_fail 2 "no end-of-stream marker" "$IMG" check - < <(head -c $((length - 512)) disk.vmdk)
expect_fail 2 "padding behind the end" "$IMG" check - < <(cat disk.vmdk && head -c 512 /dev/zero)
{ cat disk.vmdk && printf x; } >behind.vmdk
expect_fail 2 "data behind the end" "$IMG" check - <behind.vmdk

note "an appliance of that name is another file"
"$IMG" convert -O ova disk.qcow2 appliance.ova
mv appliance.ova ./-
"$IMG" info ./- | grep -qx 'file format: ova' || fail "the file cannot be named"
"$IMG" info - <disk.vmdk >info.out
grep -qx 'file format: vmdk' info.out || fail "info of a pipe tells of a file: $(head -1 info.out)"

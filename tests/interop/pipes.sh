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

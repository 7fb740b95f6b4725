#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What is written to the headers of sparse extents and streams: what has changed, and nothing else.
. "$(dirname "$0")/../lib.sh"

truncate -s 1M disk.raw

note "bytes of the header that are not known here stay"
"$IMG" create -q -f vmdk kept.vmdk 1M
poke kept.vmdk 79 "$(printf '%0866d' 0 | tr 0 7)"
kept=$(peek kept.vmdk 79 433)
"$IMG" io -c 'write -P 1 0 64k' kept.vmdk >/dev/null
[ "$(peek kept.vmdk 79 433)" = "$kept" ] || fail "they are gone when the image is written"
[ "$(peek kept.vmdk 72 1)" = 00 ] || fail "the image was not closed properly"
# A directory of more than one sector comes to lie elsewhere.
"$IMG" resize -q kept.vmdk 64G
[ "$(peek kept.vmdk 79 433)" = "$kept" ] || fail "they are gone when the image grows"
"$IMG" check -q kept.vmdk

note "a stream cut behind its header is no empty disk"
"$IMG" convert -O vmdk -o subformat=streamOptimized disk.raw stream.vmdk
overhead=$(od -An -tu8 -j64 -N8 stream.vmdk)
head -c $((overhead * 512)) stream.vmdk >cut.vmdk
cp cut.vmdk before
expect_fail 1 'no footer' "$IMG" io -c 'write 0 64k' cut.vmdk
expect_fail 1 'no footer' "$IMG" resize cut.vmdk 2M
expect_fail 1 'no footer' "$IMG" info cut.vmdk
expect_fail 2 'no footer' "$IMG" check cut.vmdk
"$IMG" check -r all cut.vmdk >/dev/null 2>&1 && fail "a stream without footer was repaired"
cmp cut.vmdk before

note "uncleanShutdown says nothing of a stream"
size=$(stat -c %s stream.vmdk)
poke stream.vmdk 72 01
poke stream.vmdk $((size - 1024 + 72)) 01
cp stream.vmdk before
"$IMG" check -q stream.vmdk
"$IMG" check -q -r all stream.vmdk
cmp stream.vmdk before
poke stream.vmdk 72 00
"$IMG" compare -q disk.raw stream.vmdk

note "a stream among the parts of an image"
mv stream.vmdk image-s001.vmdk
poke image-s001.vmdk $((size - 1024 + 72)) 00
printf '%s\n' '# Disk DescriptorFile' version=1 CID=1c2d3e4f parentCID=ffffffff \
    'createType="twoGbMaxExtentSparse"' 'RW 2048 SPARSE "image-s001.vmdk"' >image.vmdk
"$IMG" compare -q disk.raw image.vmdk
expect_fail 1 'streamOptimized' "$IMG" resize image.vmdk 2M

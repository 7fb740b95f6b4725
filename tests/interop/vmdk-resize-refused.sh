#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Images whose size cannot be changed without touching what may be somebody else's: a resize is
# refused and changes nothing, whatever the descriptor names.
. "$(dirname "$0")/../lib.sh"

M=$((1 << 20))

# describe TYPE LINE...: image.vmdk with these extents.
describe() {
    local type=$1
    shift
    printf '%s\n' '# Disk DescriptorFile' version=1 CID=1c2d3e4f parentCID=ffffffff \
        "createType=\"$type\"" '# Extent description' "$@" '# The Disk Data Base' '#DDB' \
        'ddb.adapterType = "ide"' >image.vmdk
}

# noise FILE BYTES
noise() {
    head -c "$2" </dev/urandom >"$1"
}

# The content of all files.
sums() {
    find . ../out -name '*.vmdk' -exec sha256sum {} + | sort
}

# refused TEXT ARGUMENT...: img resize image.vmdk ARGUMENT... fails so, and nothing has changed.
refused() {
    local text=$1 before
    shift
    before=$(sums)
    expect_fail 1 "$text" "$IMG" resize image.vmdk "$@"
    [ "$(sums)" = "$before" ] || fail "$*: something has changed"
}

mkdir in out
cd in

note "two extents in one file"
noise image-f001.vmdk $((2 * M))
describe twoGbMaxExtentFlat 'RW 2048 FLAT "image-f001.vmdk" 1024' 'RW 1024 FLAT "image-f001.vmdk" 0'
refused 'in one file' --shrink 512K
refused 'in one file' 3M
ln image-f001.vmdk image-f002.vmdk
describe twoGbMaxExtentFlat 'RW 2048 FLAT "image-f001.vmdk" 1024' 'RW 1024 FLAT "image-f002.vmdk" 0'
refused 'in one file' --shrink 512K
rm -- *.vmdk

note "a file of which the extent is a part"
truncate -s 1M image-f001.vmdk
noise image-f002.vmdk $((5 * M))
for offset in 0 2048 8192; do
    describe twoGbMaxExtentFlat 'RW 2048 FLAT "image-f001.vmdk" 0' \
        "RW 2048 FLAT \"image-f002.vmdk\" $offset"
    refused "extent 2, 'image-f002.vmdk'" --shrink 1M
done
describe twoGbMaxExtentFlat 'RW 2048 FLAT "image-f001.vmdk" 0' 'RW 2048 FLAT "image-f002.vmdk" 2048'
refused "truncate -s $((2 * M))" 3M
describe monolithicFlat 'RW 2048 FLAT "image-f002.vmdk" 0'
refused "truncate -s $M" 2M
"$IMG" resize -q --shrink image.vmdk 512K
[ "$(stat -c %s image-f002.vmdk)" = $((5 * M)) ] || fail "what is behind the extent is gone"
rm -- *.vmdk

note "files that are not called as parts of the image are"
truncate -s 1M image-f001.vmdk ../out/image-f002.vmdk precious-f002.vmdk image-f003.vmdk
for name in ../out/image-f002.vmdk precious-f002.vmdk image-f003.vmdk "$PWD/../out/image-f002.vmdk"; do
    describe twoGbMaxExtentFlat 'RW 2048 FLAT "image-f001.vmdk" 0' "RW 2048 FLAT \"$name\" 0"
    refused "not called 'image-f002.vmdk'" --shrink 1M
    [ -e "$name" ] || fail "$name is gone"
done
ln -s ../out/image-f002.vmdk image-f002.vmdk
describe twoGbMaxExtentFlat 'RW 2048 FLAT "image-f001.vmdk" 0' 'RW 2048 FLAT "image-f002.vmdk" 0'
refused 'no regular file' --shrink 1M
rm image-f002.vmdk
cp ../out/image-f002.vmdk image-f002.vmdk
"$IMG" resize -q --shrink image.vmdk 1M
[ ! -e image-f002.vmdk ] || fail "a part that the image does not need is there"
[ -e image-f003.vmdk ] || fail "another file is gone"
rm -- *.vmdk

note "extents that cannot be written"
describe twoGbMaxExtentSparse 'NOACCESS 1024 SPARSE "x-s001.vmdk"'
refused 'extent 1 is NOACCESS' 2M
refused 'extent 1 is NOACCESS' --shrink 51200
describe twoGbMaxExtentFlat 'NOACCESS 2048 FLAT "y" 0'
refused 'extent 1 is NOACCESS' 2M
refused 'extent 1 is NOACCESS' --shrink 51200
rm -- *.vmdk

note "a descriptor with two names keeps them"
"$IMG" create -q -f vmdk -o subformat=monolithicFlat image.vmdk 1M
ln image.vmdk other.vmdk
"$IMG" resize -q image.vmdk 20G
[ image.vmdk -ef other.vmdk ] || fail "the two names are two files now"
grep -q '^RW 41943040 FLAT' other.vmdk || fail "the descriptor has not changed"

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Descriptors as other programs and people write them: line ends of Windows, blank lines, words in
# any case, names in another encoding; and disks of every mix of extents.
. "$(dirname "$0")/../lib.sh"

seq 1 200000 | head -c 1M >disk.raw
name=$(printf 'caf\xe9-flat.vmdk') # as windows-1252 has it: the name of a file is its bytes
cp disk.raw "$name"

note "CRLF, blank lines, upper case, an encoding that is not UTF-8"
printf '%b' '\n# disk descriptorfile\r\n\r\nVERSION = 1\r\nencoding="windows-1252"\r\nCID=12\r\n' \
    'parentCID=FFFFFFFF\r\ncreatetype="MONOLITHICFLAT"\r\n\r\n# Extent description\r\n\r\n' \
    "rw  2048\\tflat \"$name\" 0\r\n\r\n# The Disk Data Base\r\nddb.adapterType=ide\r\n" >odd.vmdk
"$IMG" convert -O raw odd.vmdk out.raw
same out.raw disk.raw
"$IMG" info --output=json odd.vmdk | grep -q '"encoding": "windows-1252"' || fail "no info"
"$IMG" resize odd.vmdk 2M
cp disk.raw want.raw
truncate -s 2M want.raw
"$builddir/tests/tools/img-write" -f vmdk -s 3 -n 20 odd.vmdk want.raw >/dev/null
same "$name" want.raw
[ "$(grep -c $'\r$' odd.vmdk)" -ge 11 ] || fail "the line ends were changed: $(cat odd.vmdk)"

note "spellings of createType"
for type in 2GbMaxExtentFlat twogbmaxextentflat 2gbMaxExtentFLAT VMFS Custom; do
    printf '# Disk DescriptorFile\nversion=1\nCID=12\nparentCID=ffffffff\ncreateType="%s"\n%s\n' \
        $type 'RW 1024 FLAT "a" 0' >x.vmdk
    head -c 512K disk.raw >a
    "$IMG" info x.vmdk | grep -q "create type: $type" || fail "$type"
done

note "a disk of all types of extent, one part of it twice"
head -c 1049088 /dev/zero | tr '\0' x >plain.raw
perl "$srcdir/fixtures/make-esx.pl" plain.raw .
"$IMG" convert -f raw -O vmdk plain.raw sparse.vmdk
cp plain.raw monolithicFlat-flat.vmdk
describe() {
    printf '# Disk DescriptorFile\nversion=1\nCID=12\nparentCID=ffffffff\ncreateType="custom"\n%b' "$1" >all.vmdk
}
describe 'RW 128 SPARSE "sparse.vmdk"\nRW 8 ZERO\nRW 56 VMFSSPARSE "vmfsSparse-delta.vmdk"
RW 64 SESPARSE "seSparse-sesparse.vmdk"\nRDONLY 16 FLAT "a" 16\nRW 16 FLAT "a" 0\nRW 7 VMFS "monolithicFlat-flat.vmdk"\n'
{
    head -c 65536 plain.raw
    head -c 4096 /dev/zero
    head -c $((120 * 512)) plain.raw
    dd if=a bs=512 skip=16 count=16 status=none
    head -c 8192 a
    head -c $((7 * 512)) plain.raw
} >want.raw
"$IMG" convert -O raw all.vmdk out.raw
same out.raw want.raw
"$IMG" check -q all.vmdk || fail "unsound"
expect_fail 1 'only be read' "$IMG" io -f vmdk -c 'write 0 512' all.vmdk
sed -i '/SESPARSE "se/d' all.vmdk
expect_fail 1 'RDONLY' "$IMG" io -f vmdk -c 'write 0 512' all.vmdk

note "extents that are not what their line says"
for line in 'SPARSE "vmfsSparse-delta.vmdk"' 'VMFSSPARSE "sparse.vmdk"' 'SESPARSE "sparse.vmdk"' \
    'SPARSE "seSparse-sesparse.vmdk"' 'SPARSE "odd.vmdk"' 'VMFSSPARSE "a"'; do
    describe "RW 8 $line\n"
    expect_fail 1 "extent" "$IMG" convert -O raw all.vmdk out2.raw
done
for alone in vmfsSparse-delta.vmdk seSparse-sesparse.vmdk; do
    expect_fail 1 'whose descriptor is to be opened' "$IMG" info $alone
done

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Which files of an appliance are held to its manifest; and documents that name very many.
. "$(dirname "$0")/../lib.sh"

head='<Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"><References>'

# document FILE: an OVF with that one disk.
document() {
    echo "$head<File ovf:id='f' ovf:href='$1'/></References>"
    echo "<DiskSection><Disk ovf:diskId='d' ovf:fileRef='f'/></DiskSection></Envelope>"
}

# sums FILE...: a manifest.
sums() {
    sha256sum "$@" | sed 's/^\([0-9a-f]*\)  \(.*\)$/SHA256(\2)= \1/'
}

"$IMG" create -q -f qcow2 base.qcow2 1M
"$IMG" io -c 'write -P 9 0 64k' base.qcow2 >io.out
document base.qcow2 >m.ovf
! "$IMG" info m.ovf 2>&1 | grep -q libxml2-dev || skip "built without libxml2"
"$IMG" create -q -f qcow2 -b base.qcow2 -F qcow2 over.qcow2
"$IMG" convert -O vmdk -o subformat=monolithicFlat base.qcow2 flat.vmdk

# held DISK FILE: FILE, which DISK names, has to be what the manifest says.
held() {
    document "$1" >m.ovf
    sums m.ovf "$1" >m.mf
    expect_fail 1 "has no digest of '$2'" "$IMG" convert -O raw m.ovf out.raw
    [ ! -e out.raw ] || fail "$1: there is a target"
    expect_fail 2 "has no digest of '$2'" "$IMG" check m.ovf
    "$IMG" convert --no-verify -O raw m.ovf out.raw
    rm out.raw
    sums m.ovf "$1" "$2" >m.mf
    "$IMG" convert -O raw m.ovf out.raw
    "$IMG" check -q m.ovf
    sed -i "/($2)/{s/= 0/= 1/;t;s/= ./= 0/}" m.mf
    rm out.raw
    expect_fail 1 "'$2' is not what the manifest" "$IMG" convert -O raw m.ovf out.raw
    expect_fail 2 "'$2' is not what the manifest" "$IMG" check m.ovf
}

note "files that a disk of an OVF names"
held over.qcow2 base.qcow2
held flat.vmdk flat-flat.vmdk

note "an image that stands on a disk of an appliance"
mkdir above
document base.qcow2 >m.ovf
sums m.ovf base.qcow2 >m.mf
tar -cf m.ova m.ovf base.qcow2 m.mf
for file in m.ovf m.ova; do
    "$IMG" create -q -f qcow2 -b ../$file -F ${file#m.} above/over.qcow2 1M
    "$IMG" convert -O raw above/over.qcow2 out.raw 2>warnings
    [ ! -s warnings ] || fail "$file: $(cat warnings)"
done
sums m.ovf base.qcow2 | sed '/(base.qcow2)/{s/= 0/= 1/;t;s/= ./= 0/}' >m.mf
tar -cf m.ova m.ovf base.qcow2 m.mf
for file in m.ovf m.ova; do
    "$IMG" create -q -f qcow2 -b ../$file -F ${file#m.} above/over.qcow2 1M
    expect_fail 1 "'base.qcow2' is not what the manifest" "$IMG" convert -O raw above/over.qcow2 new.raw
    "$IMG" convert --no-verify -O raw above/over.qcow2 out.raw
done
rm m.mf
"$IMG" create -q -f qcow2 -b ../m.ovf -F ovf above/over.qcow2 1M
"$IMG" convert -O raw above/over.qcow2 out.raw 2>warnings
grep -q "has no manifest" warnings || fail "nothing is said of the missing manifest"

note "a file that is not there has a name"
document base.qcow2 >m.ovf
sums m.ovf base.qcow2 >m.mf
echo "SHA256(gone.vmdk)= $(printf '0%.0s' {1..64})" >>m.mf
expect_fail 2 "ERROR 'gone.vmdk': " "$IMG" check m.ovf

note "thousands of Files in chunks"
mkdir many
{
    echo "$head"
    for n in {1..4000}; do
        echo "<File ovf:id='f$n' ovf:href='x' ovf:size='1000' ovf:chunkSize='1'/>"
    done
    echo "<File ovf:id='d' ovf:href='base.qcow2'/></References><DiskSection>"
    echo "<Disk ovf:diskId='d' ovf:fileRef='d'/></DiskSection></Envelope>"
} >many/m.ovf
cp base.qcow2 many
(cd many && sums base.qcow2 m.ovf >m.mf)
expect_fail 2 "has no digest of 'x.000000000' and 999 files more" "$IMG" check many/m.ovf
[ "$(wc -l <expect_fail.err)" -lt 20 ] || fail "$(wc -l <expect_fail.err) lines"
grep -qF "more than 8192 files together" expect_fail.err || fail "all of them were looked at"

note "thousands of disks of one File"
{
    echo "$head<File ovf:id='f' ovf:href='x' ovf:size='1000' ovf:chunkSize='1'/></References><DiskSection>"
    for n in {1..4096}; do
        echo "<Disk ovf:diskId='d$n' ovf:fileRef='f'/>"
    done
    echo "</DiskSection></Envelope>"
} >many/m.ovf
(cd many && for n in {0..999}; do printf x >"x.$(printf %09d "$n")"; done &&
    tar -cf m.ova m.ovf x.* && "$IMG" info --output=json m.ova >info)
[ "$(grep -c '"file-size": 1000' many/info)" = 4096 ] || fail "the size of a File that is shared"

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# OVAs that tar and qemu-img made are read here, and those made here are read by tar, sha256sum,
# xmllint and qemu-img.
. "$(dirname "$0")/../lib.sh"

need "$QEMU_IMG" "$QEMU_IO" tar xmllint

# ------------------------------------------------------------ what others made

"$QEMU_IMG" create -q -f raw disk.raw 40M
"$QEMU_IO" -f raw -c 'write -P 7 1M 3M' -c 'write -P 9 20M 100k' -c 'write -P 3 39M 1M' disk.raw >qemu-io.out
"$QEMU_IMG" convert -f raw -O vmdk -o subformat=streamOptimized disk.raw stream.vmdk
"$QEMU_IMG" convert -f raw -O vmdk disk.raw sparse.vmdk
"$QEMU_IMG" convert -f raw -O vpc -o force_size=on disk.raw disk.vhd
"$QEMU_IMG" convert -f raw -O qcow2 -c disk.raw disk.qcow2
cp disk.raw 'a disk.raw'
files=(stream.vmdk sparse.vmdk disk.vhd disk.qcow2 'a disk.raw')

# document HREF...: an OVF with a disk for each, and an empty one.
document() {
    local n=0 href
    echo '<?xml version="1.0" encoding="UTF-8"?>'
    echo '<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"><References>'
    for href; do
        n=$((n + 1))
        echo "<File ovf:id='file$n' ovf:href='$href'/>"
    done
    echo '</References><DiskSection><Info/><Disk ovf:diskId="empty" ovf:capacity="1024"/>'
    for ((; n > 0; n--)); do
        echo "<Disk ovf:diskId='disk$n' ovf:fileRef='file$n' ovf:capacity='40' ovf:capacityAllocationUnits='byte * 2^20'/>"
    done
    echo '</DiskSection><VirtualSystem ovf:id="vm"><Name>machine</Name></VirtualSystem></Envelope>'
}

# manifest ALGORITHM FILE...
manifest() {
    local algorithm=$1 file
    shift
    for file; do
        printf '%s(%s)= %s\n' "$algorithm" "$file" "$("${algorithm,,}sum" <"$file" | cut -d' ' -f1)"
    done
}

# check_files FILE: all files are what the manifest says. The padding behind qemu-img's streams is what
# is found: leaks.
check_files() {
    local status=0
    "$IMG" check -q "$1" 2>findings || status=$?
    [ $status = 3 ] && ! grep -q ERROR findings || fail "check $1: status $status: $(cat findings)"
}

document stream.vmdk sparse.vmdk disk.vhd disk.qcow2 a%20disk.raw >m.ovf
! "$IMG" info m.ovf 2>&1 | grep -q libxml2-dev || skip "built without libxml2"
for algorithm in SHA1 SHA256 SHA512; do
    manifest $algorithm m.ovf "${files[@]}" >m.mf
    for form in ustar gnu posix; do
        note "$algorithm $form"
        tar --format=$form -cf m.ova m.ovf "${files[@]}" m.mf
        for disk in disk1 disk2 disk3 disk4 disk5; do
            "$IMG" convert --disk=$disk -O raw m.ova out.raw 2>warnings
            [ ! -s warnings ] || fail "$(cat warnings)"
            same out.raw disk.raw
        done
        check_files m.ova
    done
done
"$IMG" compare -q --disk=3 --b-disk=disk4 m.ova m.ova # numbers follow the document, and disk5 is the second
"$IMG" info --disk=2 m.ova | grep -qx 'file format: raw' || fail "the second disk is disk5, which is raw"
"$IMG" info --disk=3 m.ova | grep -qx 'file format: qcow2' || fail "the third disk is disk4"
"$IMG" convert --image-opts -O raw driver=ova,disk=disk4,file.filename=m.ova out.raw
same out.raw disk.raw
expect_fail 1 "it has no file" "$IMG" info --disk=empty m.ova
expect_fail 1 "no disk '7': it has 6" "$IMG" info --disk=7 m.ova
expect_fail 1 "can only be read" "$IMG" resize m.ova +1M
"$IMG" dd if=m.ova of=out.raw bs=1M count=2 && cmp -n $((2 << 20)) out.raw disk.raw
"$IMG" map --disk=disk5 --output=json m.ova >map
offset=$(sed -n 's/.*"data": true, "offset": \([0-9]*\).*/\1/p' map | head -n 1)
start=$(sed -n 's/.*"start": \([0-9]*\),.*"data": true.*/\1/p' map | head -n 1)
cmp -n 65536 -i "$((offset + (1 << 20) - start)):$((1 << 20))" m.ova disk.raw ||
    fail "map does not say where the disk lies in the archive"

note "the OVF with its files"
"$IMG" convert --disk=disk4 -O raw m.ovf out.raw
same out.raw disk.raw
check_files m.ovf

note "chunks"
mkdir chunks
split -b 1000000 -d -a 9 stream.vmdk chunks/stream.vmdk.
size=$(stat -c %s stream.vmdk)
document stream.vmdk | sed "s/href='stream.vmdk'/& ovf:size='$size' ovf:chunkSize='1000000'/" >chunks/m.ovf
(cd chunks && manifest SHA256 m.ovf stream.vmdk.* >m.mf && tar -cf m.ova m.ovf m.mf stream.vmdk.*)
for file in m.ovf m.ova; do
    "$IMG" convert -O raw chunks/$file out.raw
    same out.raw disk.raw
    check_files chunks/$file
done

note "a member of 9 GiB, and one behind it"
truncate -s 9G huge.raw
document huge.raw disk.qcow2 >h.ovf
for form in gnu posix; do
    # tar's headers, with a hole for what tar would write of the hole.
    tar --format=$form -cf - h.ovf huge.raw | head -c 1M >first
    headers=$(($(grep -abo 'ustar' first | tail -n 1 | cut -d: -f1) - 257 + 512))
    head -c $headers first >h.ova
    truncate -s $((headers + (9 << 30))) h.ova
    tar -cf - disk.qcow2 >>h.ova
    poke h.ova $((headers + (8800 << 20))) "$(printf '05%.0s' {1..512})"
    "$IMG" io -r -c 'read -P 5 8800M 512' --image-opts driver=ova,disk=disk1,file.filename=h.ova >io.out ||
        fail "$form: $(cat io.out)"
    "$IMG" convert --disk=disk2 -O raw h.ova out.raw 2>warnings
    grep -q "no manifest" warnings || fail "nothing said of the missing manifest"
    same out.raw disk.raw
done
rm huge.raw h.ova

# ---------------------------------------------------------------- what we make

note "an OVA of two disks"
"$IMG" convert -O ova -o 'name=a <machine> & more,memory=2G,cpus=2,digest=sha256' disk.raw disk.qcow2 new.ova
mkdir new
tar -tvf new.ova >list
[ "$(awk '{print $6}' list | tr '\n' ' ')" = "new.ovf new.mf new-disk1.vmdk new-disk2.vmdk " ] ||
    fail "members: $(cat list)"
grep -qv '^-rw-r--r-- 0/0 .* 1970-01-01 00:00' list && fail "headers: $(cat list)"
tar -C new -xf new.ova
xmllint --noout new/new.ovf
(cd new && sed 's/^SHA256(\(.*\))= \(.*\)$/\2  \1/' new.mf | sha256sum -c --quiet) || fail "the manifest"
[ "$(grep -c . new/new.mf)" = 3 ] || fail "the manifest: $(cat new/new.mf)"
for n in 1 2; do
    "$QEMU_IMG" compare -q -f vmdk -F raw new/new-disk$n.vmdk disk.raw
    grep -q "href=\"new-disk$n.vmdk\" ovf:id=\"file$n\" ovf:size=\"$(stat -c %s new/new-disk$n.vmdk)\"" new/new.ovf ||
        fail "the size of disk $n"
    "$IMG" compare -q --disk=$n -F raw new.ova disk.raw
done
strings new/new-disk1.vmdk | grep -E '^(CID|ddb.uuid)' >ids1
strings new/new-disk2.vmdk | grep -E '^(CID|ddb.uuid)' >ids2
! grep -qxFf ids1 ids2 || fail "two disks have the same identifier: $(cat ids1 ids2)"
grep -q 'ovf:capacity="41943040"' new/new.ovf || fail "the capacity"
"$IMG" check -q new.ova
"$IMG" info new.ova | grep -qx 'virtual machine: a <machine> & more' || fail "the name"

note "the same for any number of threads, and each time"
mkdir again
for threads in 1 3 8; do
    (cd again && "$IMG" convert -m $threads -O ova -o 'name=a <machine> & more,memory=2G,cpus=2' \
        ../disk.raw ../disk.raw new.ova)
    same again/new.ova new.ova
done
(cd again && SOURCE_DATE_EPOCH=86400 "$IMG" convert -O ova ../disk.raw new.ova)
tar -tvf again/new.ova | grep -qv '1970-01-02 00:00' && fail "SOURCE_DATE_EPOCH"

note "other choices"
"$IMG" convert -O ova -o digest=sha512,controller=sata,network=none,hwversion=21,ostype=debian12_64Guest \
    disk.raw new.ova
tar -C new -xf new.ova
grep -q '^SHA512(new-disk1.vmdk)= ' new/new.mf || fail "the digest"
grep -q '<vssd:VirtualSystemType>vmx-21<' new/new.ovf || fail "the hardware version"
grep -q 'ovf:id="96" vmw:osType="debian12_64Guest"' new/new.ovf || fail "the system"
grep -q 'vmware.sata.ahci' new/new.ovf || fail "the controller"
! grep -q Network new/new.ovf || fail "there is a network"
"$IMG" check -q new.ova

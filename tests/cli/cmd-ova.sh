#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Appliances that are damaged, or made by somebody who means harm; and an OVA that cannot be
# written to its end.
. "$(dirname "$0")/../lib.sh"

head='<Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">'
disks='<DiskSection><Disk ovf:diskId="d" ovf:fileRef="f"/></DiskSection></Envelope>'

# document ATTRIBUTES: an OVF with one disk, whose File element has these.
document() {
    echo "$head<References><File ovf:id=\"f\" $1/></References>$disks"
}

"$IMG" create -q -f qcow2 disk.qcow2 1M
"$IMG" io -c 'write -P 9 0 64k' disk.qcow2 >io.out
document 'ovf:href="disk.qcow2"' >m.ovf
! "$IMG" info m.ovf 2>&1 | grep -q libxml2-dev || skip "built without libxml2"

# sums FILE...: a manifest.
sums() {
    sha256sum "$@" | sed 's/^\([0-9a-f]*\)  \(.*\)$/SHA256(\2)= \1/'
}

# refused STATUS FRAGMENT [OPTION...]: whatever is done with m.ovf, and with an OVA of it and disk.qcow2.
refused() {
    local status=$1 fragment=$2 file
    shift 2
    tar -cf m.ova m.ovf disk.qcow2
    for file in m.ovf m.ova; do
        expect_fail "$status" "$fragment" "$IMG" convert "$@" -O raw $file out.raw
        [ ! -e out.raw ] || fail "$file: there is a target"
    done
}

note "what a document may not name"
mkdir sub
cp disk.qcow2 sub
echo secret >../"${PWD##*/}.secret"
trap 'rm -rf "$test_dir" "$test_dir.secret"' EXIT
document "ovf:href=\"../${PWD##*/}.secret\"" >m.ovf && refused 1 "leads out of the appliance"
document "ovf:href=\"$PWD/disk.qcow2\"" >m.ovf && refused 1 "leads out of the appliance"
document 'ovf:href="sub/../disk.qcow2"' >m.ovf && refused 1 "leads out of the appliance"
document 'ovf:href="missing.vmdk"' >m.ovf && refused 1 "missing.vmdk"
document 'ovf:href="http://127.0.0.1:1/disk.vmdk"' >m.ovf && refused 1 "http://127.0.0.1:1/disk.vmdk"
document 'ovf:href=""' >m.ovf && refused 1 ""
document 'ovf:href="disk.qcow2" ovf:compression="gzip"' >m.ovf && refused 1 "compressed as a whole (gzip)"
document 'ovf:href="disk.qcow2" ovf:chunkSize="0"' >m.ovf && refused 1 "chunkSize is 0"
document 'ovf:href="disk.qcow2" ovf:chunkSize="1" ovf:size="9999999999"' >m.ovf && refused 1 "over the limit"
document 'ovf:href="disk.qcow2" ovf:chunkSize="512"' >m.ovf && refused 1 "disk.qcow2.000000000"
document 'ovf:href="sub/disk.qcow2"' >m.ovf
expect_fail 1 "lies outside the directory" "$IMG" info --disk=1 m.ovf
document 'ovf:href="link"' >m.ovf
ln -s ../"${PWD##*/}.secret" link
expect_fail 1 "lies outside the directory" "$IMG" info --disk=1 m.ovf
rm link

note "disks that name files"
"$IMG" create -q -f qcow2 -b disk.qcow2 -F qcow2 over.qcow2
document 'ovf:href="over.qcow2"' >m.ovf
tar -cf m.ova m.ovf over.qcow2
expect_fail 1 "the policy forbids opening 'disk.qcow2'" "$IMG" convert -O raw m.ova out.raw
"$IMG" convert -O raw m.ovf out.raw 2>warnings
same <(head -c 65536 out.raw) <(printf '\x09%.0s' {1..65536})
rm out.raw

note "documents that do harm"
deep=$(printf '<a>%.0s' {1..100})
for hostile in \
    '<!DOCTYPE a [<!ENTITY l "lol"><!ENTITY m "&l;&l;&l;&l;&l;&l;&l;&l;&l;">]>' \
    "<!DOCTYPE a [<!ENTITY f SYSTEM \"file://$PWD.secret\">]>" \
    '<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd" [<!ENTITY % p SYSTEM "http://127.0.0.1:1/b"> %p;]>'; do
    { echo "$hostile"; document 'ovf:href="&m;&f;disk.qcow2"'; } >m.ovf && refused 1 "declarations"
done
{ document 'ovf:href="disk.qcow2"' | sed "s,</Envelope>,$deep,"; } >m.ovf && refused 1 "nest deeper"
{ echo "$head<a b=\""; head -c 100M /dev/zero | tr '\0' x; echo '"/></Envelope>'; } >m.ovf
refused 1 "over the limit"
document 'ovf:href="disk.qcow2"' | tr -d '>' >m.ovf && refused 1 "XML: line 1"

note "a manifest that differs"
document 'ovf:href="disk.qcow2"' >m.ovf
for damaged in m.ovf disk.qcow2; do
    sums m.ovf disk.qcow2 | sed "/($damaged)/{s/= 0/= 1/;t;s/= ./= 0/}" >m.mf
    tar -cf m.ova m.ovf disk.qcow2 m.mf
    sums m.ovf disk.qcow2 >right
    ! cmp -s right m.mf || fail "the manifest is right"
    for file in m.ovf m.ova; do
        : >out.raw
        expect_fail 1 "" "$IMG" convert -O raw $file out.raw
        [ ! -s out.raw ] || fail "a target of what differs"
        expect_fail 2 "" "$IMG" check $file
        "$IMG" convert --no-verify -O raw $file out.raw
        [ -s out.raw ] || fail "--no-verify"
    done
done
sums m.ovf >m.mf
expect_fail 1 "has no digest of 'disk.qcow2'" "$IMG" convert -O raw m.ovf new.raw
expect_fail 2 "has no digest of 'disk.qcow2'" "$IMG" check m.ovf
echo 'MD5(m.ovf)= 00' >m.mf
expect_fail 1 "the algorithm 'MD5'" "$IMG" convert -O raw m.ovf new.raw
rm m.mf

note "the same of a disk whose format has a check of its own"
"$IMG" convert -O vmdk -o subformat=streamOptimized disk.qcow2 disk.vmdk
document 'ovf:href="disk.vmdk"' >m.ovf
sums m.ovf disk.vmdk | sed "/(disk.vmdk)/{s/= 0/= 1/;t;s/= ./= 0/}" >m.mf
tar -cf m.ova m.ovf disk.vmdk m.mf
for file in m.ovf m.ova; do
    expect_fail 2 "'disk.vmdk' is not what the manifest" "$IMG" check $file
    expect_fail 1 "'disk.vmdk' is not what the manifest" "$IMG" convert -O raw $file new.raw
done
document 'ovf:href="disk.qcow2"' >m.ovf

note "an OVA cut at every block"
"$IMG" convert -O ova disk.qcow2 whole.ova
"$IMG" convert -O raw disk.qcow2 disk.raw
size=$(stat -c %s whole.ova)
for ((at = 0; at < size - 1024; at += 512)); do
    head -c $at whole.ova >cut.ova
    status=0
    "$IMG" convert -f ova -O raw cut.ova out.raw 2>message || status=$?
    [ $status = 1 ] || fail "cut at $at: status $status"
    [ -s message ] || fail "cut at $at: nothing is said"
    status=0
    "$IMG" info cut.ova >/dev/null 2>&1 || status=$?
    [ $status -le 1 ] || fail "info, cut at $at: status $status"
done
head -c $((size - 1024)) whole.ova >cut.ova
"$IMG" convert -O raw cut.ova out.raw
same out.raw disk.raw

note "each byte of its headers"
for ((at = 0; at < 512; at += 3)); do
    cp whole.ova bad.ova
    poke bad.ova $at ff
    status=0
    "$IMG" convert -O raw -f ova bad.ova out.raw 2>message || status=$?
    [ $status = 1 ] || fail "byte $at: status $status"
done

note "an OVA that cannot be written to its end"
"$IMG" create -q -f raw noise.raw 3M
head -c 1M "$IMG" >noise && dd if=noise of=noise.raw conv=notrunc status=none
trap '' XFSZ
for limit in 0 1 2 4 8 16 64 128 200 300; do
    cp whole.ova target.ova
    status=0
    (ulimit -f $limit && "$IMG" convert -O ova noise.raw noise.raw target.ova 2>message) || status=$?
    [ $status = 1 ] || fail "limit $limit: status $status: $(cat message)"
    same target.ova whole.ova
    [ -z "$(find . -name '.img-*')" ] || fail "something is left behind"
done

note "what cannot be made"
for options in digest=md5 controller=nvme hwversion=x hwversion=vmx-0 cpus=0 memory=1000 memory=0 nic=x \
    name= name="$(printf 'x%.0s' {1..100})" name=$'a\nb' subformat=monolithicFlat network= ostype= \
    name=$'\xff' name=$'a\xc0\xaf' name=$'\xed\xa0\x80' name=$'\xef\xbf\xbf' name=$'\xc2\x85' network=$'a\tb' \
    ostype=$'\x01' network=$'\xe4' controller=ide,adapter_type=lsilogic adapter_type=ide; do
    expect_fail 1 "" "$IMG" convert -O ova -o "$options" disk.raw bad2.ova
    [ ! -e bad2.ova ] || fail "$options: there is an OVA"
done
expect_fail 1 "takes 1 to 4 disks" "$IMG" convert -O ova -o controller=ide disk.raw disk.raw disk.raw \
    disk.raw disk.raw bad2.ova
expect_fail 1 "an OVA is not written to a pipe" "$IMG" convert -O ova disk.raw -
[ ! -e ./- ] || fail "there is a file named -"
mkfifo pipe
expect_fail 1 "an OVA is not written to a pipe" "$IMG" convert -O ova disk.raw pipe
for option in --disk=1 -fova -fovf; do
    expect_fail 1 "cannot be read from a pipe" "$IMG" convert $option -O raw - out2.raw <whole.ova
    expect_fail 1 "cannot be read from a pipe" "$IMG" info $option - <whole.ova
done
expect_fail 1 "-n cannot be used" "$IMG" convert -n -O ova disk.raw whole.ova
expect_fail 1 "convert -O ova" "$IMG" create -f ova bad2.ova 1M

note "the adapter of a disk fits its controller"
for pair in ide=ide lsilogic=lsilogic pvscsi=lsilogic sata=lsilogic lsilogicsas=lsilogic buslogic=buslogic; do
    "$IMG" convert -O ova -o "controller=${pair%=*},name=ä €" disk.raw new.ova
    grep -aqF "ddb.adapterType = \"${pair#*=}\"" new.ova || fail "$pair"
done

if [ "$(id -u)" != 0 ]; then
    note "a manifest that cannot be read"
    document 'ovf:href="disk.qcow2"' >m.ovf
    sums m.ovf disk.qcow2 >m.mf
    chmod 0 m.mf
    expect_fail 1 "m.mf" "$IMG" convert -O raw m.ovf out3.raw
fi

note "what the help offers"
"$IMG" convert --help | grep -q -- "-O ova" || fail "convert does not tell of OVAs"
for command in amend bitmap commit rebase resize; do
    ! "$IMG" "$command" --help | grep -q -- --disk || fail "$command offers disks that are only read"
done

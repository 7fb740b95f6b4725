#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# VMDK images that stand for devices of the host: read and written where the user allows it, refused
# before anything is opened otherwise.
. "$(dirname "$0")/../lib.sh"
need losetup

truncate -s 4M disk.raw
seq 1 100000 | dd of=disk.raw conv=notrunc status=none
device=$(losetup -f --show disk.raw 2>/dev/null) || skip "no loop device can be had"
trap 'losetup -d "$device"; rm -rf "$test_dir"' EXIT
head -c 32256 disk.raw >table-pt.vmdk

describe() { # FILE TYPE LINES
    printf '# Disk DescriptorFile\nversion=1\nCID=12\nparentCID=ffffffff\ncreateType="%s"\n%b' \
        "$2" "# Extent description\n$3" >"$1"
}
describe full.vmdk fullDevice "RW 8192 FLAT \"$device\" 0\n"
describe parts.vmdk partitionedDevice \
    "RW 63 FLAT \"table-pt.vmdk\" 0\nRW 4033 FLAT \"$device\" 63\nNOACCESS 4096 FLAT \"$device\" 4096\n"
describe flat.vmdk monolithicFlat "RW 8192 FLAT \"$device\" 0\n"
describe raw.vmdk vmfsRDM "RW 8192 VMFSRDM \"$device\"\n"
describe long.vmdk fullDevice "RW 8193 FLAT \"$device\" 0\n"
allow=driver=vmdk,devices=on,file.filename

note "nobody has allowed it"
for image in full parts raw; do
    expect_fail 1 'devices=on' "$IMG" convert -O raw $image.vmdk out.raw
    [ ! -e out.raw ] || fail "$image: an output"
done
expect_fail 1 'is a block device' "$IMG" info flat.vmdk

note "allowed"
"$IMG" info --image-opts $allow=full.vmdk | grep -q 'create type: fullDevice' || fail "no info"
for image in full flat raw; do
    "$IMG" convert --image-opts -O raw $allow=$image.vmdk out.raw
    same out.raw disk.raw
done
expect_fail 1 'fewer than' "$IMG" info --image-opts $allow=long.vmdk

note "a part without access"
"$IMG" dd -f raw -O raw bs=512 count=4096 if=disk.raw of=half.raw
expect_fail 1 'NOACCESS' "$IMG" convert --image-opts -O raw $allow=parts.vmdk out.raw
"$IMG" convert --salvage --image-opts -O raw $allow=parts.vmdk out.raw 2>salvage.err
truncate -s 4M half.raw
same out.raw half.raw

note "written"
seq 5 50000 | head -c 65536 >new.raw
truncate -s 4M new.raw
"$IMG" convert -n --target-image-opts -f raw new.raw $allow=full.vmdk
sync "$device"
cmp new.raw "$device" || fail "not on the device"

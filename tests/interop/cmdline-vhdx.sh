#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Command lines about VHDX images. Given to qemu-img and to img, see sidebyside.bash.

. "$(dirname "$0")/sidebyside.bash"

make_fixtures_vhdx() {
    (
        cd fixtures
        "$QEMU_IMG" convert -O vhdx data.raw data.vhdx
        "$QEMU_IMG" convert -O vhdx -o subformat=fixed,block_size=1M data.raw fixed.vhdx
        "$QEMU_IMG" create -q -f vhdx empty.vhdx 10G
        "$QEMU_IMG" convert -O vhdx other.raw other.vhdx
        cp data.vhdx torn.vhdx
        printf X | dd of=torn.vhdx bs=1 seek=65600 conv=notrunc status=none
        head -c 2M data.vhdx >half.vhdx
    )
    reset
}

# same_shape ARGS...: as same_err, and the images they make are described alike: all but their disk
# size, where ours has holes.
same_shape() {
    local side
    same_err "$@"
    for side in theirs ours; do
        (cd $side && "$QEMU_IMG" info new.vhdx && "$QEMU_IMG" check new.vhdx) |
            grep -v "^disk size" >$side.shape
    done
    cmp -s theirs.shape ours.shape || report "$* (shape)" theirs.shape ours.shape
}
make_fixtures_vhdx

# --------------------------------------------------------------------- create

differs 0 'no other level has options' create -f vhdx -o help
same_err create -f vhdx new.vhdx 1G
for size in 0 1 1000 1M 2G 101G 33T 64T; do
    same_shape create -f vhdx new.vhdx $size
done
for options in log_size=1 log_size=1500k log_size=3M block_size=512k block_size=1M block_size=64M \
    block_size=256M block_size=1G block_size=300M block_size=1000000 subformat=fixed,block_size=1M subformat=dynamic block_state_zero=off \
    block_state_zero=on,block_size=2M,log_size=2M,subformat=fixed; do
    same_shape create -f vhdx -o $options new.vhdx 20M
done
for options in nonsense=1 block_state_zero=x backing_file=data.vhdx; do
    same_err create -f vhdx -o $options bad.vhdx 20M
done
for options in log_size=0 log_size=4G log_size=5G block_size=3M block_size=255M subformat=foo \
    subformat=; do
    differs 1 "nothing is formatted, so nothing says so" create -f vhdx -o $options bad.vhdx 20M
    plain_errors theirs.err >theirs.plain
    plain_errors ours.err >ours.plain
    cmp -s theirs.plain ours.plain || report "create -o $options (stderr)" theirs.plain ours.plain
done
differs 1 "nothing is formatted, so nothing says so" create -f vhdx bad.vhdx 65T
same_err create -f vhdx -b data.vhdx -F vhdx bad.vhdx
same_err create -f vhdx bad.vhdx
reset

# ----------------------------------------------------------------------- look

for image in data.vhdx fixed.vhdx empty.vhdx; do
    same_err info $image
    same_json info --output=json $image
    same_err check $image
    same_err check -r all $image
    same_json check --output=json $image
    same_err check -r leaks -q $image
    same_err snapshot -l $image
    same_err compare data.raw $image
done
same_err compare data.vhdx other.vhdx
same_err compare fixed.vhdx data.vhdx
same snapshot -c x data.vhdx
same_err amend -f vhdx -o size=10M data.vhdx
same_err rebase -b data.raw -F raw data.vhdx
same_err rebase -u -b data.raw -F raw data.vhdx
same_err rebase -b '' data.vhdx
same_err commit data.vhdx
same_err info torn.vhdx
same_err convert -O raw data.vhdx out.raw
same_err convert -c -O vhdx data.raw out.vhdx

# -------------------------------------------------------------------- convert

same_disk out.vhdx convert -O vhdx data.raw out.vhdx
same_disk out.vhdx convert -O vhdx over.qcow2 out.vhdx
same_disk out.vhdx convert -O vhdx -o subformat=fixed data.vhdx out.vhdx
same_disk out.qcow2 convert -O qcow2 fixed.vhdx out.qcow2
same_disk out.raw convert -f vhdx -O raw data.vhdx out.raw
same_err convert -O vhdx -B data.raw -F raw over.qcow2 bad.vhdx
same_disk out.vhdx convert -n -O vhdx data.raw data.vhdx
same_disk data.vhdx dd -f raw -O vhdx bs=64k count=3 if=data.raw of=data.vhdx
reset

# ------------------------------------------------------------- what is better

differs 0 "blocks that are not there are as holes are" compare -s data.vhdx data.raw
differs 0 'qemu-img cannot resize a VHDX image' resize data.vhdx 10M
differs 0 'qemu-img does not measure VHDX' measure -O vhdx data.raw
differs 0 'blocks that are not there, and holes, are no data' map data.vhdx
differs 0 'blocks that are not there, and holes, are no data' map --output=json data.vhdx
differs 2 'a damaged header copy is told' check torn.vhdx
finish

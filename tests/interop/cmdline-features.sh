#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Command lines that look at images with every feature of the formats.
# Given to qemu-img and to img, see sidebyside.bash.

. "$(dirname "$0")/sidebyside.bash"

SECRET=secret,id=s,file=pw

# The images are made once, so that both sides have the same identifiers.
make_features() {
    local side
    printf 'a passphrase' >pw
    $QEMU_IMG create -q -f qcow2 -o extended_l2=on subclusters.qcow2 10M
    $QEMU_IO -c 'write 0 4k' -c 'write -z 100k 8k' -c 'write 1M 64k' subclusters.qcow2 >/dev/null
    $QEMU_IMG create -q -f qcow2 -o data_file=outside.raw outside.qcow2 10M
    $QEMU_IO -c 'write 0 64k' -c 'write 1M 64k' outside.qcow2 >/dev/null
    $QEMU_IMG create -q -f qcow2 -o data_file=same.raw,data_file_raw=on same.qcow2 1M
    $QEMU_IO -c 'write 0 64k' same.qcow2 >/dev/null
    # By ours: qemu-img cannot measure a short time on a busy machine.
    "$IMG" create -q --object $SECRET -f qcow2 \
        -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 luks.qcow2 1M
    $QEMU_IMG create -q --object $SECRET -f qcow2 -o encrypt.format=aes,encrypt.key-secret=s \
        aes.qcow2 1M
    "$IMG" create -q --object $SECRET -f luks -o key-secret=s,iter-time=10 disk.luks 1M
    $QEMU_IMG create -q -f qcow2 -o lazy_refcounts=on dirty.qcow2 1M
    ("$IMG" io -c 'write 0 64k' -c flush -c 'sigraise 9' dirty.qcow2 >/dev/null) 2>/dev/null || :
    $QEMU_IMG create -q -f qcow2 -o cluster_size=4k bitmaps.qcow2 1M
    $QEMU_IMG bitmap --add bitmaps.qcow2 first
    $QEMU_IMG bitmap --add --disable -g 4k bitmaps.qcow2 second
    $QEMU_IO -c 'write 0 64k' bitmaps.qcow2 >/dev/null
    $QEMU_IMG snapshot -c snapshot bitmaps.qcow2
    $QEMU_IO -c 'write 64k 64k' bitmaps.qcow2 >/dev/null
    $QEMU_IMG create -q -f qcow2 -o compression_type=zstd,refcount_bits=64 zstd.qcow2 1M
    $QEMU_IO -c 'write -c 0 64k' zstd.qcow2 >/dev/null
    $QEMU_IMG create -q -f qcow2 -b subclusters.qcow2 -F qcow2 top.qcow2
    $QEMU_IMG create -q -f qcow2 -o preallocation=metadata metadata.qcow2 1M
    for side in theirs ours; do
        cp -a --sparse=always ./* ../$side/
    done
}
mkdir features
(cd features && make_features)

PLAIN="subclusters outside same bitmaps zstd top metadata"
for name in $PLAIN dirty; do
    same_err info $name.qcow2
    same_json info --output=json $name.qcow2
    same_err info --backing-chain $name.qcow2
    same_json info --backing-chain --output=json $name.qcow2
    same_err compare $name.qcow2 top.qcow2
done
for name in subclusters outside bitmaps zstd top dirty; do
    same_err map $name.qcow2
    same_err map --output=json $name.qcow2
    same_err measure -O qcow2 $name.qcow2
    same_err measure -O qcow2 -o extended_l2=on $name.qcow2
done
for name in $PLAIN; do
    same_err check $name.qcow2
    same_json check --output=json $name.qcow2
    same_disk out.raw convert $name.qcow2 out.raw
    same_disk out.qcow2 convert -O qcow2 $name.qcow2 out.qcow2
    same info out.qcow2
done

same_err check dirty.qcow2

# Without the passphrase, with it, with another one.
for name in luks.qcow2 aes.qcow2 disk.luks; do
    same_err info $name
    same_json info --output=json $name
    same_err info --backing-chain $name
    same_err map $name
    same_err compare $name $name
    same_err convert $name out.raw
    same_err convert -O qcow2 $name out.qcow2
    key=encrypt.key-secret
    [ $name != disk.luks ] || key="key-secret"
    options=driver=${name#*.},file.filename=$name
    same_err map --output=json --object $SECRET --image-opts $options,$key=s
    same_err map --image-opts $options,$key=none
    same_err measure --object $SECRET --image-opts -O raw $options,$key=s
    same_disk out.raw convert --object $SECRET --image-opts $options,$key=s out.raw
    same_err compare --object $SECRET --image-opts $options,$key=s driver=raw,file.filename=out.raw
    same_err check --object $SECRET --image-opts $options,$key=s
done
for name in luks.qcow2 disk.luks; do
    key=encrypt.key-secret
    [ $name != disk.luks ] || key="key-secret"
    same_err map --object secret,id=s,data=wrong --image-opts \
        driver=${name#*.},file.filename=$name,$key=s
done

# The data file elsewhere than the image says.
for side in theirs ours; do
    mv $side/outside.raw $side/moved.raw
done
same_err map outside.qcow2
same_disk out.raw convert --image-opts \
    driver=qcow2,file.filename=outside.qcow2,data-file.driver=file,data-file.filename=moved.raw \
    out.raw
same_err map --image-opts driver=qcow2,file.filename=data.qcow2,data-file.filename=moved.raw

# ------------------------------------------------------- intended differences

differs 0 'what is checked needs no passphrase' check luks.qcow2
for name in same metadata; do
    differs 0 'holes inside of allocated clusters are not looked for' map $name.qcow2
    differs 0 'holes inside of allocated clusters are not looked for' measure -O qcow2 $name.qcow2
done
differs 0 'an option of later versions' \
    map --image-opts driver=qcow2,file.filename=data.qcow2,discard-no-unref=on

finish

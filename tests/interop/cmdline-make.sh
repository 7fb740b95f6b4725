#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Command lines that make images.
# Given to qemu-img and to img, see sidebyside.bash.

. "$(dirname "$0")/sidebyside.bash"

# --------------------------------------------------------------------- create

same_err create -f qcow2 new.qcow2 10G
same_err create -f qcow2 -o cluster_size=4k,compat=0.10 new.qcow2 1M
same_err create -f qcow2 -o cluster_size=4k -o lazy_refcounts=on new.qcow2 1M
same_err create -f qcow2 -o lazy_refcounts new.qcow2 1M
same_err create -f qcow2 -o compat=1.1,refcount_bits=8,compression_type=zstd new.qcow2 1G
same_err create -f qcow2 -o preallocation=metadata new.qcow2 1M
same_err create -f qcow2 -o size=1G new.qcow2
same_err create -f qcow2 -o size=1G new.qcow2 2G
same_err create -f qcow2 -q new.qcow2 1G
same_err create -f qcow2 new.qcow2 0
same_err create -f qcow2 new.qcow2 1000
same_err create -f qcow2 new.qcow2 1.5k
same_err create -f qcow2 new.qcow2 0x1000
same_err create -f qcow2 new.qcow2 512b
same_err create -f qcow2 new.qcow2 1g
same_err create new.raw 1.5M
same_err create -f raw -o preallocation=full new.raw 1M
same_err create -f raw -o preallocation=off new.raw 1M
same_err create -f qcow2 -b data.raw -F raw new.qcow2
same_err create -f qcow2 -b data.qcow2 -F qcow2 new.qcow2 20M
same_err create -f qcow2 -b data.raw -F raw new.qcow2 0
same_err create -f qcow2 -o backing_file=data.raw,backing_fmt=raw new.qcow2
same_err create -f qcow2 -o backing_file=other.raw -b data.raw -F raw new.qcow2
same_err create -f qcow2 -b base.qcow2 -F qcow2 sub/new.qcow2
same_err create -f qcow2 -u -b gone.qcow2 -F qcow2 new.qcow2 1G
same_err create -f qcow2 -u -b 'a b,c.qcow2' -F raw new.qcow2 1M
same_err create -f qcow2 -u -b gone.qcow2 -F qcow2 new.qcow2
for subformat in monolithicSparse monolithicFlat streamOptimized; do
    same_err create -f vmdk -o subformat=$subformat new.vmdk 1G
done
same_err create -f vmdk new.vmdk 1000
same_err create -f vmdk -o adapter_type=lsilogic,compat6=on new.vmdk 1M
same_err create -f vmdk -o hwversion=4 new.vmdk 1M
same_err create -f vmdk -b monolithicSparse.vmdk -F vmdk new.vmdk
same_err create -f qcow2 bad.qcow2
same_err create -f qcow2 bad.qcow2 abc
same_err create -f qcow2 bad.qcow2 1Q
same_err create -f qcow2 bad.qcow2 ''
same_err create -f qcow2 bad.qcow2 1e3
same_err create -f qcow2 bad.qcow2 -- -1
same_err create -f qcow2 bad.qcow2 99999999999999999999
same_err create -f qcow2 bad.qcow2 10E
same_err create -f qcow2 bad.qcow2 1G 2G
same_err create -f nonsense bad.qcow2 1G
same_err create -f qcow2 -o nonsense=1 bad.qcow2 1G
same_err create -f qcow2 -o lazy_refcounts=maybe bad.qcow2 1G
same_err create -f qcow2 -o '' bad.qcow2 1G
same_err create -f raw -b data.raw -F raw bad.raw 1M
same_err create -f raw -o backing_file=data.raw bad.raw 1M
same_err create -f nonsense -o help

# -------------------------------------------------------------------- measure

for format in raw qcow2; do
    for image in data.raw empty.raw empty.qcow2 data.qcow2 packed.qcow2 over.qcow2 \
        monolithicSparse.vmdk streamOptimized.vmdk; do
        same_err measure -O $format $image
    done
    same_json measure -O $format --output=json data.qcow2
    for size in 0 1 1M 1G 10T; do
        same_err measure -O $format --size $size
    done
done
same_err measure --size 1G
same_err measure -O qcow2 -o cluster_size=4k data.qcow2
same_err measure -O qcow2 -o cluster_size=2M --size 10T
same_err measure -O qcow2 -o preallocation=full data.raw
same_err measure -O qcow2 -o preallocation=metadata,backing_file=data.raw,backing_fmt=raw data.qcow2
same_err measure --output=json -O qcow2 -o preallocation=falloc,extended_l2=on data.qcow2
same_err measure -O qcow2 -o refcount_bits=1 --size 1T
same_err measure -O nonsense data.raw
same_err measure
same_err measure --size 1G data.raw
same_err measure --size nonsense
same_err measure one two
same_err measure missing.raw
same_err measure --output=xml --size 1G

# -------------------------------------------------------------------- convert

for source in data.raw odd.raw nothing.raw v2.qcow2 data.qcow2 packed.qcow2 zstd.qcow2 over.qcow2 \
    monolithicFlat.vmdk streamOptimized.vmdk; do
    same_disk out.raw convert -O raw $source out.raw
    same_disk out.qcow2 convert -O qcow2 $source out.qcow2
    same_disk out.vmdk convert -O vmdk $source out.vmdk
done
same_disk out.qcow2 convert -c -O qcow2 data.raw out.qcow2
same_disk out.qcow2 convert -c -O qcow2 -o compression_type=zstd data.raw out.qcow2
same_disk out.vmdk convert -O vmdk -o subformat=streamOptimized data.raw out.vmdk
same_disk out.vmdk convert -c -O vmdk -o subformat=streamOptimized data.raw out.vmdk
for subformat in monolithicSparse twoGbMaxExtentSparse; do # plain grains
    same_disk out.vmdk convert -c -O vmdk -o subformat=$subformat data.raw out.vmdk
done
for subformat in monolithicFlat twoGbMaxExtentFlat; do
    differs 1 'qemu-img blames the cluster size' \
        convert -c -O vmdk -o subformat=$subformat data.raw out.vmdk
done
for format in vdi vpc vhdx raw; do
    same_err convert -c -O $format data.raw out.$format
done
same_disk out.qcow2 convert -f raw -O qcow2 data.qcow2 out.qcow2
same_disk out.raw convert data.raw over.qcow2 out.raw
same_disk out.qcow2 convert -O qcow2 -o size=1M data.raw out.qcow2
same_disk out.qcow2 convert -O qcow2 -S 0 data.raw out.qcow2
same_disk out.qcow2 convert -O qcow2 -S 64k -m 4 -W -t none -T none data.raw out.qcow2
same_disk out.qcow2 convert -O qcow2 -C -r 100M -q data.raw out.qcow2
same_disk out.qcow2 convert -O qcow2 -U --salvage data.qcow2 out.qcow2
same_disk large.qcow2 convert -n -O qcow2 data.raw large.qcow2
same_disk other.raw convert -n -O raw data.qcow2 other.raw
same_disk out.qcow2 convert -O qcow2 -B data.raw -F raw over.qcow2 out.qcow2
same_disk out.qcow2 convert -O qcow2 -o backing_file=data.raw,backing_fmt=raw over.qcow2 out.qcow2
reset
same_err convert one
same_err convert missing.raw out.raw
same_err convert -f qcow2 -O raw missing.raw out.raw
same_err convert -f qcow2 -O raw data.raw out.raw
same_err convert -f nonsense -O raw data.raw out.raw
same_err convert -O nonsense data.raw out.raw
same_err convert -O nonsense missing.raw out.raw
same_err convert -O qcow2 -o nonsense=1 data.raw out.qcow2
same_err convert -O qcow2 data.raw missing/out.qcow2
same_err convert -c -O raw data.raw out.raw
same_err convert -O qcow2 -c -o preallocation=metadata data.raw out.qcow2
same_err convert -n -O qcow2 data.raw missing.qcow2
same_err convert -n -O qcow2 data.raw small.qcow2
same_err convert -n -O qcow2 data.raw other.raw
same_err convert -n -O qcow2 -o cluster_size=4k data.raw large.qcow2
same_err convert -O qcow2 --target-is-zero data.raw out.qcow2
same_err convert -O qcow2 -B data.raw data.raw out.qcow2
same_err convert -O qcow2 -o backing_file=data.raw data.raw out.qcow2
same_err convert -O raw -B data.raw -F raw data.raw out.raw
same_err convert -O qcow2 -B data.raw -F raw data.raw other.raw out.qcow2
for number in 1000 32M; do
    same_err convert -S $number data.raw out.raw
done
for option in -S -r; do
    same_err convert $option nonsense data.raw out.raw
    same_err convert $option -4 data.raw out.raw
    same_err convert $option 10E data.raw out.raw
done
same_err convert -t nonsense data.raw out.raw
same_err convert -T nonsense data.raw out.raw
same_err convert -C -S 4k data.raw out.raw
same_err convert -C -c data.raw out.raw
same_err convert -C --salvage data.raw out.raw
same_err convert -l nonsense data.qcow2 data.qcow2 out.raw
same_err convert orphan.qcow2 out.raw

# ------------------------------------------------------------------- progress

same convert -p -O qcow2 odd.raw out.qcow2
same convert -p -q -O qcow2 data.raw out.qcow2
same convert -p nothing.raw out.raw
same compare -p data.raw longer.raw -q

# ------------------------------------------------------- intended differences

differs 1 'lost data is an error, not zeros: the image is cut in half' \
    convert -O raw half.qcow2 out.raw
differs 0 'VMDK can be measured' measure -O vmdk data.raw
differs 1 'the target is a source: refused without the help of locks' convert data.raw data.raw
differs 0 'more threads are allowed' convert -m 64 data.raw out.raw
differs 1 'threads, not coroutines' convert -m 65 data.raw out.raw
differs 1 'threads, not coroutines' convert -m x data.raw out.raw
differs 1 'nothing is formatted, so nothing says so' \
    create -f qcow2 -o cluster_size=3k bad.qcow2 1G
differs 1 'nothing is formatted, so nothing says so' create -f qcow2 missing/bad.qcow2 1G
differs 1 'nothing is formatted, so nothing says so' create -f qcow2 -F raw bad.qcow2 1G
differs 1 'one line: the format is not guessed to tell it' create -f qcow2 -b data.qcow2 bad.qcow2
differs 1 'one line, in our own words' create -f qcow2 -b gone.raw -F raw bad.qcow2
differs 0 'compression_level is ours' create -f qcow2 -o help
differs 0 'the list of options is shown for measure too' measure -O qcow2 -o help
differs 1 'an error of -B and --target-is-zero is a failure' \
    convert -n -O qcow2 --target-is-zero -B data.raw -F raw data.raw large.qcow2

same_err create -u -f qcow2 -b self.qcow2 -F qcow2 self.qcow2 1M
same_err create -f qcow2 -b self.qcow2 -F qcow2 self.qcow2 1M
finish

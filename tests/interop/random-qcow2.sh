#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Random writes to qcow2 images, by us and by qemu-io in turn, checked by both after each round.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/random.bash"

size=$((8 << 20))
for options in "" compat=0.10 cluster_size=512 cluster_size=2M refcount_bits=1 refcount_bits=64 \
    lazy_refcounts=on compat=0.10,cluster_size=4k; do
    random_rounds qcow2 "$options" "$QEMU_IMG" "$IMG"
    random_rounds qcow2 "$options" "$IMG" "$QEMU_IMG"
done
for options in extended_l2=on extended_l2=on,cluster_size=16k,refcount_bits=1; do
    random_rounds qcow2 "$options" "$QEMU_IMG" "$IMG"
    random_compressed qcow2 "$options"
done
for options in data_file=image.data,cluster_size=4k data_file=image.data,extended_l2=on \
    data_file=image.data,data_file_raw=on,cluster_size=512; do
    random_rounds qcow2 "$options" "$QEMU_IMG" "$IMG"
done
cmp -n $size image.data twin.raw || fail "a raw data file is not the disk"
random_backed qcow2 data_file=image.data,cluster_size=4k
random_backed qcow2 cluster_size=4k
random_backed qcow2 extended_l2=on
random_backed qcow2 extended_l2=on,preallocation=metadata
random_backed qcow2 compat=0.10
random_compressed qcow2 cluster_size=4k
random_compressed qcow2 compression_type=zstd

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Interop matrix: qcow2 version 3, from the smallest to the largest clusters,
# and with metadata allocated beforehand.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/matrix.bash"

backing=raw
for cluster in 512 4096 65536 2097152; do
    row qcow2 cluster_size=$cluster "" $cluster
done
row qcow2 lazy_refcounts=on "" 65536
for cluster in 16384 2097152; do
    row qcow2 extended_l2=on,cluster_size=$cluster "" $cluster
    row qcow2 extended_l2=on,cluster_size=$cluster -c $cluster
done
row qcow2 extended_l2=on,preallocation=metadata "" 65536
row qcow2 data_file=data "" 65536
row qcow2 data_file=data,extended_l2=on,cluster_size=16k "" 16384
backing=
row qcow2 data_file=data,data_file_raw=on,cluster_size=4k "" 4096
for preallocation in metadata falloc full; do
    row qcow2 preallocation=$preallocation "" 65536
done
matrix_end

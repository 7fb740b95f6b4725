#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Interop matrix: qcow2 compressed with zlib; with 1-bit refcounts no two streams may
# share a cluster.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/matrix.bash"

backing=raw
for cluster in 512 4096 65536 2097152; do
    row qcow2 cluster_size=$cluster -c $cluster
done
row qcow2 compat=0.10 -c 65536
row qcow2 refcount_bits=1 -c 65536
row qcow2 refcount_bits=2,cluster_size=4096 -c 4096
matrix_end

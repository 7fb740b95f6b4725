#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Interop matrix: qcow2 compressed with zstd.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/matrix.bash"

backing=raw
for cluster in 512 4096 65536 2097152; do
    row qcow2 compression_type=zstd,cluster_size=$cluster -c $cluster
done
row qcow2 compression_type=zstd "" 65536
matrix_end

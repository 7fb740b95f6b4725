#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Interop matrix: qcow2 version 2, from the smallest to the largest clusters.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/matrix.bash"

backing=qcow2
for cluster in 512 4096 65536 2097152; do
    row qcow2 compat=0.10,cluster_size=$cluster "" $cluster
done
matrix_end

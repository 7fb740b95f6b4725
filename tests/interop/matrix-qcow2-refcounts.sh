#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Interop matrix: qcow2 with every width of its refcounts.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/matrix.bash"

backing=raw
for bits in 1 2 4 8 16 32 64; do
    row qcow2 refcount_bits=$bits,cluster_size=4096 "" 4096
done
matrix_end

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Interop matrix: QED, which we only read.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/matrix.bash"

backing=qed
row qed "" "" 65536 written_by_qemu
row qed cluster_size=4k,table_size=2 "" 4096 written_by_qemu
backing=raw
row qed cluster_size=2M,table_size=2 "" 2097152 written_by_qemu
matrix_end

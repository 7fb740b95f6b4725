#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Interop matrix: VMDK with a sparse extent in one file.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/matrix.bash"

backing=vmdk
row vmdk "" "" 65536
row vmdk subformat=monolithicSparse,adapter_type=lsilogic,hwversion=7 "" 65536
row vmdk subformat=monolithicSparse,zeroed_grain=on "" 65536
matrix_end

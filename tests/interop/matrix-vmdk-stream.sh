#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Interop matrix: VMDK for streaming, with compressed grains.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/matrix.bash"

backing=
row vmdk subformat=streamOptimized "" 65536
row vmdk subformat=streamOptimized,adapter_type=lsilogic,hwversion=7 "" 65536
matrix_end

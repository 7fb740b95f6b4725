#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Interop matrix: VMDK for streaming, with compressed grains.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/matrix.bash"

backing=
them_status=3 # qemu-img's streams lack the end that importers want
row vmdk subformat=streamOptimized "" 65536
row vmdk subformat=streamOptimized,adapter_type=lsilogic,hwversion=7 "" 65536
matrix_end

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Interop matrix: VMDK with a flat extent, and the two kinds that are split into several
# files, which are read only.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/matrix.bash"

backing=
row vmdk subformat=monolithicFlat "" 65536
row vmdk subformat=monolithicFlat,adapter_type=buslogic "" 65536
row vmdk subformat=twoGbMaxExtentSparse "" 65536 written_by_qemu
row vmdk subformat=twoGbMaxExtentFlat "" 65536 written_by_qemu
matrix_end

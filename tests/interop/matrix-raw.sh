#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Interop matrix: raw, with each kind of preallocation.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/matrix.bash"

backing=
row raw "" "" 65536
for preallocation in falloc full; do
    row raw preallocation=$preallocation "" 65536
done
matrix_end

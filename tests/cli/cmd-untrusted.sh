#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# --untrusted and IMG_UNTRUSTED: an image names no other file; who types a name
# may name any.

. "$(dirname "$0")/../lib.sh"

seq 20000 | head -c 64k >base.raw
"$IMG" create -q -f qcow2 -b base.raw -F raw overlay.qcow2
"$IMG" convert -O qcow2 base.raw alone.qcow2

"$IMG" map overlay.qcow2 >/dev/null || fail "an overlay is not read as ever"
expect_fail 1 "base.raw" "$IMG" map --untrusted overlay.qcow2
expect_fail 1 "base.raw" "$IMG" convert --untrusted -O raw overlay.qcow2 out.raw
[ ! -e out.raw ] || fail "there is an output"
expect_fail 2 "base.raw" "$IMG" compare --untrusted overlay.qcow2 base.raw
expect_fail 1 "base.raw" "$IMG" dd if=overlay.qcow2 of=out.raw --untrusted
expect_fail 1 "base.raw" "$IMG" io --untrusted -r -c "read 0 512" overlay.qcow2
IMG_UNTRUSTED=1 expect_fail 1 "base.raw" "$IMG" map overlay.qcow2
IMG_UNTRUSTED=0 "$IMG" map overlay.qcow2 >/dev/null || fail "0 is no"
IMG_UNTRUSTED='' "$IMG" map overlay.qcow2 >/dev/null || fail "nothing is no"
expect_fail 1 '"code": "denied"' "$IMG" map --untrusted --output=json overlay.qcow2

"$IMG" compare --untrusted base.raw alone.qcow2 >/dev/null || fail "typed names are refused"
"$IMG" convert --untrusted -O qcow2 alone.qcow2 copy.qcow2
"$IMG" compare -q base.raw copy.qcow2 || fail "the copy differs"

# Nor do the commands that look into guests, or work with what they know of them.
refused() {
    expect_fail 1 "base.raw" "$IMG" "$@" --untrusted
    IMG_UNTRUSTED=1 expect_fail 1 "base.raw" "$IMG" "$@"
}
mkdir point
for command in ls find df filesystems inspect; do
    refused "$command" overlay.qcow2
done
refused sparsify overlay.qcow2 out
refused cat overlay.qcow2 /x
refused tar overlay.qcow2 /x -
refused cp overlay.qcow2:/x out
refused diff overlay.qcow2 base.raw
refused diff base.raw overlay.qcow2
if [ -x "$builddir/fuse/imgmount" ]; then
    PATH=$builddir/fuse:$PATH refused mount overlay.qcow2 point
fi
refused convert --skip-free -O raw overlay.qcow2 out.raw
[ ! -e out.raw ] && [ ! -e out ] || fail "there is an output"
# This one needs no backing file, and opens none.
"$IMG" compact -q --untrusted overlay.qcow2 || fail "compact opens a backing file"

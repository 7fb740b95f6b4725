#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A target of more than 1 GiB does not fill the page cache, though its cache
# mode is the default one. The source is small: one image, many times over.
. "$(dirname "$0")/../lib.sh"

need fincore
case $(stat -f -c %T .) in
tmpfs | ramfs) skip "this filesystem is the page cache" ;;
esac

yes | head -c $((64 << 20)) >part.raw
"$IMG" convert -c -f raw -O qcow2 part.raw part.qcow2
parts=()
for _ in {1..24}; do
    parts+=(part.qcow2)
done

"$IMG" convert -O raw "${parts[@]}" out.raw
cached=$(fincore -b -n -r -o RES out.raw)
note "$cached bytes of $(stat -c %s out.raw) are in the page cache"
[ "$cached" -le $((1280 << 20)) ] || fail "the page cache is flooded"

[ "$(stat -c %s out.raw)" = $((24 * 64 << 20)) ] || fail "the size is wrong"
tail -c $((64 << 20)) out.raw >last.raw
same part.raw last.raw

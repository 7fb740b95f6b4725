#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The public functions are said in three places that must agree: the header,
# the version script, and what the shared library really exports. In the
# static library every name that could clash has one of our prefixes.

. "$(dirname "$0")/../lib.sh"
: "${NM:=nm}"
need "${NM%% *}"
lib=$builddir/.libs
[ -e "$lib/libimg.so" ] || skip "there is no shared library"

sed -n '/IMG_API/,/;/p' "$srcdir/libimg/libimg.h" | grep -v '^#' |
    grep -oE '\bimg_[a-z0-9_]+\(' | tr -d '(' | sort >header
grep -oE '^ *img_[a-z0-9_]+;' "$srcdir/libimg/libimg.map" | tr -d ' ;' | sort >map
$NM -D --defined-only "$lib/libimg.so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
    sort >exported

[ -s header ] || fail "no function was found in the header"
diff -u header map >&2 || fail "libimg.h and libimg.map do not name the same functions"
diff -u header exported >&2 || fail "libimg.so does not export what libimg.h declares"

$NM -g --defined-only "$lib/libimg.a" | awk 'NF == 3 && $2 ~ /[A-Z]/ { print $3 }' |
    grep -vE '^(imgi?_|(raw|qcow2|vdi|vhd|vhdx|dmg|vmdk)_|__(asan|odr_asan|tsan|ubsan|sanitizer))' >stray || true
[ ! -s stray ] || fail "names without a prefix of ours: $(tr '\n' ' ' <stray)"

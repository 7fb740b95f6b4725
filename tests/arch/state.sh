#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The library keeps no state of its own: none of its objects has writable
# data, at file scope or static in a function. Tables of pointers are
# read-only after relocation (.data.rel.ro) and do not count.

. "$(dirname "$0")/../lib.sh"
: "${NM:=nm}"
need objdump "${NM%% *}"
archive=$builddir/.libs/libimgall.a
[ -e "$archive" ] || skip "the library is not built"
if $NM -u "$archive" | grep -qE '__(asan|tsan|gcov)_'; then
    note "not looked at: sanitizers and gcov add data of their own"
    exit 0
fi

# A line is "address flags section <tab> size name"; the flag d is for the sections themselves.
objdump -t "$archive" | awk -F '\t' '
    / file format / { object = $1; sub(/:.*/, "", object) }
    NF == 2 && $1 ~ / (\.(data|bss|tdata|tbss)|\*COM\*)/ && $1 !~ /( d | \.data\.rel\.ro)/ {
        sub(/^[0-9a-f]+ +/, "", $2)
        print object ": " $2
    }' >state
[ ! -s state ] || fail "writable data:" "$(cat state)"

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# info: chains that lead nowhere or in a circle, names that are no UTF-8.

. "$(dirname "$0")/../lib.sh"

"$IMG" create -q -f qcow2 base.qcow2 1M
"$IMG" create -q -f qcow2 -b base.qcow2 -F qcow2 middle.qcow2
"$IMG" create -q -f qcow2 -b middle.qcow2 -F qcow2 top.qcow2

"$IMG" info --backing-chain top.qcow2 >chain.txt
grep '^image: ' chain.txt | cmp - <(printf 'image: %s.qcow2\n' top middle base) >&2 ||
    fail "the chain is $(cat chain.txt)"
[ "$("$IMG" info top.qcow2 | grep -c '^image: ')" = 1 ] || fail "info alone shows the chain"

mkdir elsewhere
"$IMG" info elsewhere/../top.qcow2 |
    grep -qxF 'backing file: middle.qcow2 (actual path: elsewhere/../middle.qcow2)' ||
    fail "the actual path of the backing file"

# A missing link: the top alone can be told of.
rm base.qcow2
"$IMG" info middle.qcow2 >/dev/null || fail "info needs the backing image"
expect_fail 1 "Could not open 'base.qcow2'" "$IMG" info --backing-chain top.qcow2
[ ! -s expect_fail.out ] || fail "half a chain was printed"

# A circle.
"$IMG" create -q -f qcow2 -u -b top.qcow2 -F qcow2 base.qcow2 1M
expect_fail 1 "creates an infinite loop" "$IMG" info --backing-chain top.qcow2
"$IMG" info top.qcow2 >/dev/null || fail "info of one image in a circle"

# A name that is no UTF-8 still makes valid JSON.
name=$(printf 'disk-\377.raw')
truncate -s 1M "$name"
"$IMG" info --output=json "$name" >info.json || fail "info of a name that is no UTF-8"
if command -v python3 >/dev/null; then
    python3 -c 'import json; json.load(open("info.json", encoding="utf-8"))' || fail "no JSON"
fi

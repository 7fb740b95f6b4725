#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The worked example: it is built against the public header and the shared library, it
# works, and what README.md quotes of it is what it says.
. "$(dirname "$0")/../lib.sh"

example=$builddir/tests/example/convert
[ -x "$example" ] || skip "tests/example/convert is not built"

"$IMG" convert -O vmdk "$srcdir/fixtures/qcow2/zlib.qcow2" disk.vmdk
"$example" "$srcdir/fixtures/qcow2/zlib.qcow2" out.qcow2 qcow2 >out 2>err
grep -q 'zlib.qcow2: qcow2, 1049088 bytes' out || { cat out; fail "no facts"; }
grep -q '"virtual-size": 1049088' out || fail "no information as JSON"
grep -q 'data, compressed' out || fail "no map"
grep -q '100.0%' err || fail "no progress"
"$IMG" compare out.qcow2 disk.vmdk

expect_fail 1 "No such file" "$example" missing out.raw raw
expect_fail 1 "" "$example" disk.vmdk out.raw no-such-format
[ ! -e out.raw ] || fail "a target was left behind"

note "what README.md quotes"
sed -n '/^```c$/,/^```$/p' "$srcdir/README.md" | grep -v '^```' | sed '/^[[:space:]]*$/d' >quoted
[ -s quoted ] || fail "README.md quotes no C"
while IFS= read -r line; do
    grep -qxF -- "$line" "$srcdir/tests/example/convert.c" || fail "README.md quotes '$line'"
done <quoted

note "what the manual page names"
sed -n 's/.*\b\(img_[a-z_]*\)(.*/\1/p' "$srcdir/libimg/libimg.h" | grep -v '_fn$' | sort -u |
    while read -r name; do
        grep -q "^\.Fn $name\b" "$srcdir/libimg/libimg.3" || fail "libimg(3) does not have $name"
    done

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Every public function is in libimg(3), the manual pages are well-formed, and the
# example in README.md is the file that the tests compile and run. (That img(1) has
# every option is tests/cli/cmd-manpage.sh's to see.)

. "$(dirname "$0")/../lib.sh"
need man
bad=0
complain() {
    echo "$*" >&2
    bad=$((bad + 1))
}

for name in $(grep -oE '^ *img_[a-z0-9_]+;' "$srcdir/libimg/libimg.map" | tr -d ' ;'); do
    grep -qw "$name" "$srcdir/libimg/libimg.3" || complain "libimg.3: $name is missing"
done

for page in libimg/libimg.3 cmd/img.1 fuse/imgmount.1; do
    man --warnings -l -Tutf8 -Z "$srcdir/$page" 2>warnings >/dev/null
    [ ! -s warnings ] || complain "$page: $(cat warnings)"
done

# README.md quotes the file between ```c and ```.
awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' "$srcdir/README.md" >quoted.c
diff -u "$srcdir/tests/example/convert.c" quoted.c >&2 ||
    complain "README.md does not quote tests/example/convert.c as it is"

[ $bad = 0 ] || fail "$bad findings"

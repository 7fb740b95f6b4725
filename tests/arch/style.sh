#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What every source file has: its licence, lines without tabs or blanks at
# their end (C), and a size that can be read.

. "$(dirname "$0")/../lib.sh"
cd "$srcdir"
longest=800 # lines; more needs a reason, and a line here

bad=0
complain() {
    echo "$*" >&2
    bad=$((bad + 1))
}

mapfile -t files < <(find libimg formats cmd fuse tests fixtures autogen.sh .ci configure.ac \
    Makefile.am -type f \( -name '*.[ch]' -o -name '*.cc' -o -name '*.sh' -o -name '*.mk' \
    -o -name '*.map' -o -name '*.am' -o -name '*.ac' -o -path '.ci/*' -o -path 'tests/tools/*' \) \
    ! -path '*/.deps/*' ! -name '*.o' ! -name '*.log' ! -name '*.trs' -print)
[ ${#files[@]} -gt 20 ] || fail "the sources were not found"

for file in "${files[@]}"; do
    grep -qI . "$file" || continue # a binary that a build left in the source tree
    head -n 12 "$file" | grep -q 'SPDX-License-Identifier: BSD-2-Clause' ||
        complain "$file: no licence line"
    lines=$(wc -l <"$file")
    # All that the library offers is in one header.
    [ "$lines" -le $longest ] || [ "$file" = libimg/libimg.h ] || complain "$file: $lines lines"
    if grep -nE '[[:blank:]]+$' "$file" >&2; then
        complain "$file: blanks at the end of a line"
    fi
    case $file in
    *.[ch] | *.cc) ! grep -nP '\t' "$file" >&2 || complain "$file: a tab" ;;
    esac
done
[ $bad = 0 ] || fail "$bad findings"

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The library never prints, never ends the process and touches no signal: its
# objects do not refer to the functions that do.

. "$(dirname "$0")/../lib.sh"
: "${NM:=nm}"
need "${NM%% *}"
archive=$builddir/.libs/libimgall.a
[ -e "$archive" ] || skip "the library is not built"

$NM -uA "$archive" >undefined
[ -s undefined ] || fail "no symbols in $archive"
forbidden='(__)?v?f?printf(_chk)?|puts|fputs|putchar|fputc|putc|fwrite|perror|v?syslog'
forbidden+='|std(out|err)|_?_?exit|_Exit|quick_exit|abort|v?errx?|v?warnx?|error'
forbidden+='|signal|sigaction|raise|kill|system|popen'
if grep -E " U ($forbidden)\$" undefined >&2; then
    fail "the library uses what only a program may use"
fi

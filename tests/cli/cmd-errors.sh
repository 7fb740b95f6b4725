#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Errors: one line on stderr that begins with the program's name, nothing on
# stdout, the right exit status; JSON objects after --output=json.

. "$(dirname "$0")/../lib.sh"

truncate -s 1M disk.raw
printf 'QFI\373\0\0\0\11' >future.qcow2
head -c 64k /dev/zero >other.raw
printf x | dd of=other.raw conv=notrunc status=none

# one_line STATUS FRAGMENT ARGS...
one_line() {
    expect_fail "$1" "$2" "$IMG" "${@:3}"
    [ "$(wc -l <expect_fail.err)" = 1 ] || fail "'img ${*:3}' says more than one line"
    grep -q '^img: ' expect_fail.err || fail "'img ${*:3}' does not begin with the program's name"
    [ ! -s expect_fail.out ] || fail "'img ${*:3}' fails and writes to stdout"
}

one_line 1 "Not enough arguments"
one_line 1 "Command not found: nonsense" nonsense
one_line 1 "try 'img convert --help'" convert --nonsense
one_line 1 "unrecognized option '-Z'" check -qZ disk.raw
one_line 1 "unrecognized option '-Z'" convert --salvage -Zq disk.raw out
one_line 1 "unrecognized option '--salvage=yes'" convert --salvage=yes disk.raw out
one_line 1 "missing argument for option '-f'" info -f
one_line 1 "missing argument for option '--format'" info --format
one_line 1 "Invalid image size specified. You may use" create new.raw 1X
one_line 1 "Must be between 0 and 9223372036854775807" create new.raw 8E
one_line 1 "Could not open 'missing': No such file or directory" info missing
one_line 1 "Could not open 'future.qcow2': " info future.qcow2
one_line 1 "Could not open '.': is a directory" info .
one_line 1 "Could not create 'missing/new': No such file or directory" create missing/new 1M
one_line 1 "cannot be converted onto itself" convert disk.raw ./disk.raw
one_line 1 "Invalid parameter 'nonsense'" convert -O qcow2 -o nonsense=1 disk.raw out
one_line 1 "does not support temporarily loading internal snapshots" convert -l one disk.raw out
one_line 1 "--progress must be used with" convert --progress=nonsense disk.raw out
one_line 1 "no file name with --formats" info --formats disk.raw
one_line 63 "This image format does not support checks" check disk.raw
one_line 2 "Could not open 'missing'" compare disk.raw missing
[ ! -e out ] && [ ! -e new.raw ] || fail "a failed command left a file"

# Names with what a terminal would act on stay one line.
one_line 1 "Could not open" info $'no\nsuch\033[31mfile'

# A result that could not be written is a failure.
if [ -w /dev/full ]; then
    status=0
    "$IMG" info disk.raw >/dev/full 2>err.txt || status=$?
    [ "$status" = 1 ] && grep -q 'error writing the output' err.txt || fail "a full stdout: $status"
fi

# json_error CODE ARGS...
json_error() {
    local status=0
    "$IMG" "${@:2}" >out.txt 2>err.txt || status=$?
    [ "$status" = 1 ] || [ "$status" = 2 ] || fail "'img ${*:2}' ended with $status"
    [ "$(wc -l <err.txt)" = 1 ] || fail "'img ${*:2}' says more than one line"
    grep -q "^{\"error\": {\"code\": \"$1\", \"image\": \".*\", \"place\": \".*\", \"message\": " \
        err.txt || fail "'img ${*:2}' says $(cat err.txt)"
    if command -v python3 >/dev/null; then
        python3 -c 'import json, sys; json.load(sys.stdin)' <err.txt ||
            fail "no JSON: $(cat err.txt)"
    fi
}

json_error noent info --output=json missing
json_error noent info missing --output json
json_error inval info --output=json --nonsense
json_error inval info --nonsense --output=json
json_error inval create --output=json new.raw 1X
json_error noent convert --output=json missing out.raw
json_error noent compare --output=json disk.raw missing
json_error noent info --output=json $'no\n"such\\\377file'

# Results as JSON where qemu-img has none.
"$IMG" create --output=json new.raw 1M | grep -q '"virtual-size": 1048576' || fail "create"
"$IMG" convert --output=json disk.raw out.raw | grep -q '"salvaged": 0' || fail "convert"
"$IMG" compare --output=json disk.raw out.raw | grep -q '"equal": true' || fail "compare"
status=0
"$IMG" compare --output=json disk.raw other.raw >out.txt || status=$?
[ "$status" = 1 ] && grep -q '"offset": 0' out.txt || fail "compare of different disks"
"$IMG" resize --output=json -f raw out.raw 2M | grep -q '"virtual-size": 2097152' || fail "resize"

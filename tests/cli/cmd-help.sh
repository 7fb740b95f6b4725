#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Help: for the program and for every command, by every way of asking; the
# version; the program's name through a link.

. "$(dirname "$0")/../lib.sh"

# check_help FILE WHAT: it is help, for people with a terminal of 100 columns.
check_help() {
    grep -q '^Usage: ' "$1" || fail "$2 has no usage"
    grep -q '^Examples:' "$1" || fail "$2 has no examples"
    ! awk 'length > 100' "$1" | grep . || fail "$2 has lines of more than 100 characters"
}

for ask in --help -h help; do
    "$IMG" $ask >help.txt 2>err.txt
    check_help help.txt "img $ask"
    [ ! -s err.txt ] || fail "img $ask wrote to stderr"
done

commands=$("$IMG" help --commands)
for command in create info convert check compare map measure resize; do
    echo "$commands" | grep -qx "$command" || fail "img help --commands lacks $command"
done

for command in $commands; do
    grep -q "^  $command " help.txt || fail "img --help does not name $command"
    "$IMG" help "$command" >by-help.txt
    check_help by-help.txt "img help $command"
    asks=--help
    ! grep -q '^  -h, --help' by-help.txt || asks="--help -h" # some have another -h
    for ask in $asks; do
        "$IMG" "$command" $ask >by-option.txt 2>err.txt
        same by-help.txt by-option.txt
        [ ! -s err.txt ] || fail "img $command $ask wrote to stderr"
    done
    # What the table of options has, the help shows.
    "$IMG" help --options "$command" | sed -n 's/^\(-.\)$/\1/p' | while read -r option; do
        grep -q -- "^  $option\>" by-help.txt || fail "img $command --help does not show $option"
    done
done
expect_fail 1 "Command not found: nonsense" "$IMG" help nonsense

# The examples are command lines that are understood: only the files are missing.
for command in $commands; do
    "$IMG" help "$command" | sed -n 's/^  img \(.*\)/\1/p' >examples.txt
    [ -s examples.txt ] || fail "img $command has no examples"
    while read -r line; do
        case $line in *" create "* | create* | *"-o help") continue ;; esac
        # shellcheck disable=SC2086
        "$IMG" $line >/dev/null 2>err.txt || :
        ! grep -E 'unrecognized|missing argument|Must specify|Expecting|--help' err.txt ||
            fail "the example 'img $line' is not understood"
    done <examples.txt
done

"$IMG" --version >version.txt
grep -qx 'img [0-9.]* (libimg [0-9.]*)' version.txt || fail "the version is odd"
[ "$(wc -l <version.txt)" -gt 1 ] || fail "--version names no features"
"$IMG" -V | cmp - version.txt || fail "-V and --version differ"

ln -s "$IMG" qemu-img
./qemu-img --version | grep -q '^qemu-img [0-9.]* ' || fail "the version under another name"
./qemu-img convert --help | grep -q '^Usage: qemu-img convert' || fail "help under another name"
expect_fail 1 "qemu-img: Could not open 'missing'" ./qemu-img info missing

"$IMG" info --formats >formats.txt
for format in raw qcow2 vmdk; do
    grep -qx $format formats.txt || fail "info --formats lacks $format"
done

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The manual page names every command and every option that there is, and none
# that there is not.

. "$(dirname "$0")/../lib.sh"

page=$srcdir/cmd/img.1

# The options in a command's section: "-f" and "--format", one a line.
documented() {
    awk -v want=".Ss img $1" '$0 == want {on = 1; next} /^\.S[hs]/ {on = 0} on && /^\.It/' "$page" |
        sed 's/Ns = Ns/ /g; s/Ns Op = Ns/ /g' | grep -o 'Fl [^ ]*\|, -[^ ]*' |
        sed 's/^Fl /-/; s/^, -/--/; s/^\(-[^-].*\),$/\1/; s/,$//; s/^---*/--/' | sort -u
}

listed() {
    "$IMG" help --options "$1" | sed 's/=$//' | sort -u
}

commands=$("$IMG" help --commands)
for command in $commands; do
    grep -qx ".Ss img $command" "$page" || fail "the manual has no section on $command"
    grep -qx ".Cm $command" "$page" || fail "the synopsis lacks $command"
    # A single dash and several letters is a long option: .It Fl f , -format
    documented "$command" | sed 's/^-\([^-].\)/--\1/' | sort -u >documented.txt
    listed "$command" >listed.txt
    diff -u listed.txt documented.txt >&2 || fail "img $command --help and the manual differ"
done

# It is a page that the formatters accept.
if command -v groff >/dev/null; then
    groff -mandoc -Tutf8 -ww -z "$page" 2>groff.txt
    [ ! -s groff.txt ] || fail "groff complains: $(cat groff.txt)"
fi
if command -v mandoc >/dev/null; then
    mandoc -T lint -W error "$page" >&2 || fail "mandoc complains"
fi

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Who may include whom. Every #include "..." of the library, the formats and
# the commands is resolved to a file, and that file's room must be one that
# the including file's room may use. The rooms, from the bottom up:
#
#   public  libimg/libimg.h                 nothing of ours
#   base    libimg/error.h                  public
#   util    libimg/util/                    base
#   codec   libimg/codec/, libimg/crypto/   util, base
#   io      libimg/io/                      util, base
#   driver  libimg/driver.h and what it includes   all of the above
#   core    libimg/, and its job/, guest/, serve/   everything in libimg/
#   format  formats/NAME*, formats/NAME/    driver, and itself
#   app     cmd/, fuse/                     public, and itself

. "$(dirname "$0")/../lib.sh"
cd "$srcdir"

# room FILE: the room it is in. A format and an app are rooms of their own.
room() {
    case $1 in
    libimg/libimg.h) echo public ;;
    libimg/error.h) echo base ;;
    libimg/util/*) echo util ;;
    libimg/codec/* | libimg/crypto/*) echo codec ;;
    libimg/io/*) echo io ;;
    libimg/driver.h | libimg/cache.h | libimg/options.h | libimg/policy.h | \
        libimg/seen.h) echo driver ;;
    libimg/*) echo core ;;
    formats/*/*) echo "format ${1%/*}" ;;
    formats/*) echo "format ${1%.*}" ;;
    cmd/* | fuse/*) echo "app ${1%%/*}" ;;
    esac
}

# allowed FROM TO: whether a file of room FROM may include one of room TO.
allowed() {
    [ "$1" != "$2" ] || return 0
    case "$1" in
    public) return 1 ;;
    base) [ "$2" = public ] ;;
    util) [[ $2 == @(public|base) ]] ;;
    codec | io) [[ $2 == @(public|base|util) ]] ;;
    driver) [[ $2 == @(public|base|util|codec|io) ]] ;;
    core) [[ $2 == @(public|base|util|codec|io|driver) ]] ;;
    format*) [[ $2 == @(public|driver) ]] ;;
    app*) [ "$2" = public ] ;;
    *) return 1 ;;
    esac
}

# resolve FROM NAME: the file that #include "NAME" in FROM means.
resolve() {
    local dir
    for dir in "${1%/*}" libimg formats; do
        if [ -f "$dir/$2" ]; then
            realpath --relative-to=. "$dir/$2"
            return
        fi
    done
    echo missing
}

bad=0 seen=0
while IFS=: read -r file line text; do
    name=${text#*\"} name=${name%%\"*}
    [ "$name" != config.h ] || continue
    target=$(resolve "$file" "$name")
    seen=$((seen + 1))
    if ! allowed "$(room "$file")" "$(room "$target")"; then
        echo "$file:$line: may not include \"$name\" ($target)" >&2
        bad=$((bad + 1))
    fi
done < <(grep -rnE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' \
    libimg formats cmd fuse)

[ $seen -gt 0 ] || fail "no #include line was found"
[ $bad = 0 ] || fail "$bad of $seen #include lines break the rules"

# A way around the rules: our headers by <...>.
if grep -rnE --include='*.[ch]' '#[[:space:]]*include[[:space:]]*<(libimg|driver|io/|codec/|util/)' \
    libimg formats cmd fuse >&2; then
    fail "our own headers are included with \"...\""
fi

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
#   ./autogen.sh                   make ./configure
#   ./autogen.sh demo              on a bare Debian 12: install what is needed, build, and
#                                  take the disk of a real guest through every format
#   ./autogen.sh check [STAGE...]  on a bare Debian 12: install what is needed, build, run
#                                  the tests (stages: see tests/tools/check)
set -eu
cd "$(dirname "$0")"

make_configure() {
    missing=
    for tool in autoconf automake libtoolize pkg-config; do
        command -v $tool >/dev/null 2>&1 || missing="$missing $tool"
    done
    if [ -n "$missing" ]; then
        echo "autogen.sh: not installed:$missing" >&2
        echo "autogen.sh: on Debian: apt-get install autoconf automake libtool pkg-config" >&2
        exit 1
    fi
    mkdir -p m4
    autoreconf -fi
}

mode=${1:-configure}
[ $# = 0 ] || shift
case $mode in
configure)
    make_configure
    echo "Now run ./configure && make"
    ;;
demo)
    exec tests/tools/demo "$@"
    ;;
check)
    exec tests/tools/check "$@"
    ;;
*)
    sed -n 's/^#   //p' "$0" >&2
    exit 2
    ;;
esac

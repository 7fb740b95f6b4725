#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What every shell test begins with:
#
#   . "$(dirname "$0")/../lib.sh"
#
# The test then stands in a private, empty directory (removed at the end) with
# srcdir, builddir, IMG, QEMU_IMG and QEMU_IO set. It ends with 0 (passed),
# 77 (cannot run here) or anything else (failed).

set -eu
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin

srcdir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The build to test: the one that make check names, or the one we stand in,
# or the source tree itself.
if [ -z "${builddir:-}" ] || [ ! -x "$builddir/cmd/img" ]; then
    builddir=$srcdir
    [ ! -x "$PWD/cmd/img" ] || builddir=$PWD
fi
builddir=$(cd "$builddir" && pwd)

: "${IMG:=$builddir/cmd/img}" "${QEMU_IMG:=qemu-img}" "${QEMU_IO:=qemu-io}"
export srcdir builddir IMG QEMU_IMG QEMU_IO

# A sanitizer's finding must never look like an ordinary failure of the
# command (status 1); allocations are held to what the policy allows.
: "${ASAN_OPTIONS:=abort_on_error=1:exitcode=134:max_allocation_size_mb=288}"
: "${UBSAN_OPTIONS:=abort_on_error=1:print_stacktrace=1}"
: "${TSAN_OPTIONS:=halt_on_error=1:exitcode=134}"
export ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS

test_dir=$(mktemp -d "${TMPDIR:-/tmp}/img-test.XXXXXX")
trap 'rm -rf "$test_dir"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
cd "$test_dir"

# fail MESSAGE...: the test has failed.
fail() {
    echo "FAIL: $*" >&2
    exit 1
}

# skip REASON...: the test cannot run here.
skip() {
    echo "SKIP: $*" >&2
    exit 77
}

# note TEXT...: say in the log what happens now.
note() {
    echo "-- $*"
}

# need PROGRAM...: skip the test where one of them is not installed.
need() {
    local program
    for program; do
        command -v "$program" >/dev/null || skip "$program is not installed"
    done
}

# peek FILE OFFSET BYTES: what is there, in hexadecimal digits.
peek() {
    od -An -v -tx1 -j $(($2)) -N "$3" "$1" | tr -d ' \n'
}

# poke FILE OFFSET DIGITS: overwrite what is there.
poke() {
    printf "$(sed 's/../\\x&/g' <<<"$3")" | dd of="$1" bs=1 seek=$(($2)) conv=notrunc status=none
}

# expect_fail STATUS FRAGMENT COMMAND...: the command must end with exactly that
# status and say FRAGMENT on stderr. A crash (128 and above) is always a failure.
expect_fail() {
    local want=$1 fragment=$2 status=0
    shift 2
    "$@" >expect_fail.out 2>expect_fail.err || status=$?
    if [ "$status" -ge 128 ]; then
        cat expect_fail.err >&2
        fail "'$*' died with status $status"
    fi
    if [ "$status" -ne "$want" ]; then
        cat expect_fail.err >&2
        fail "'$*' ended with status $status, not $want"
    fi
    if ! grep -qF -- "$fragment" expect_fail.err; then
        cat expect_fail.err >&2
        fail "'$*' did not say '$fragment'"
    fi
}

# same FILE FILE: the two files must hold the same bytes.
same() {
    cmp -- "$1" "$2" >&2 || fail "$1 and $2 differ"
}

# need_fuse: skip the test where imgmount cannot mount anything; set IMGMOUNT, also in PATH.
need_fuse() {
    IMGMOUNT=$builddir/fuse/imgmount
    [ -x "$IMGMOUNT" ] || skip "imgmount was not built"
    need fusermount3 mke2fs
    [ -w /dev/fuse ] || skip "there is no /dev/fuse"
    mkdir need_fuse.dir
    mke2fs -q need_fuse.img 1M
    "$IMGMOUNT" need_fuse.img need_fuse.dir 2>need_fuse.err || {
        grep -q 'not permitted' need_fuse.err && skip "mounting is not permitted here"
        fail "imgmount: $(cat need_fuse.err)"
    }
    "$IMG" umount need_fuse.dir
    export IMGMOUNT PATH="$builddir/fuse:$PATH"
}

# guest_image: set guest_image to the path of a raw Debian guest disk, made at
# the first call on this machine and kept in the cache. Not to be changed.
guest_image() {
    need mmdebstrap sfdisk mkfs.vfat mke2fs
    guest_image=$("$srcdir/tests/tools/make-guest" --cached) || fail "no guest image"
}

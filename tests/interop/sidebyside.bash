# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# What the cmdline-*.sh begin with: the same command lines given to qemu-img
# and to img, in twin directories: standard output and exit status must be
# equal, standard error where it is said so. What is different on purpose stands at the end of each file, with its
# reason. The last line of a file is: finish
#
#   same ARGS...          stdout and status
#   same_err ARGS...      stdout, status and stderr
#   same_findings ARGS... as same_err, but the lines of stderr may come in another order
#   same_json ARGS...     as same; members of an object may be in another order
#   same_disk FILE ARGS...  as same, and both make a FILE that holds the same disk
#   differs STATUS REASON ARGS...  ours ends with STATUS, and is not like qemu-img's

. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"

# Called by this name, img says it too, so that texts can be compared as they are.
mkdir bin fixtures
ln -s "$IMG" bin/qemu-img
OURS=$PWD/bin/qemu-img
cases=0 bad=0

# ------------------------------------------------------------------- fixtures

make_fixtures() {
    local n
    # Whole clusters: qemu-img's map shows holes of the file inside of a cluster, ours does not.
    seq 200000 | gzip -n | head -c 320k >data.raw
    truncate -s 3M data.raw
    cp data.raw other.raw
    printf X | dd of=other.raw bs=1 seek=100000 conv=notrunc status=none
    cp data.raw longer.raw
    truncate -s 5M longer.raw
    cp longer.raw tail.raw
    printf X | dd of=tail.raw bs=1 seek=4000000 conv=notrunc status=none
    truncate -s 2M empty.raw
    truncate -s 0 nothing.raw
    head -c 1000 data.raw >odd.raw
    $QEMU_IMG create -q -f qcow2 empty.qcow2 10G
    $QEMU_IMG create -q -f qcow2 -o compat=0.10,cluster_size=4k v2.qcow2 1M
    $QEMU_IMG create -q -f qcow2 -o lazy_refcounts=on,refcount_bits=8 lazy.qcow2 1M
    $QEMU_IMG convert -O qcow2 data.raw data.qcow2
    $QEMU_IMG convert -c -O qcow2 data.raw packed.qcow2
    $QEMU_IMG convert -c -O qcow2 -o compression_type=zstd data.raw zstd.qcow2
    $QEMU_IMG create -q -f qcow2 -b data.raw -F raw over.qcow2 5M
    $QEMU_IO -c 'write -P 5 64k 64k' -c 'write -z 1M 64k' over.qcow2 >/dev/null
    mkdir sub
    $QEMU_IMG create -q -f qcow2 sub/base.qcow2 1M
    $QEMU_IMG create -q -f qcow2 -b base.qcow2 -F qcow2 sub/top.qcow2
    $QEMU_IMG create -q -f qcow2 -u -b gone.qcow2 -F qcow2 orphan.qcow2 1M
    $QEMU_IMG create -q -f qcow2 snap.qcow2 1M
    $QEMU_IMG snapshot -c one snap.qcow2
    $QEMU_IMG snapshot -c 'a snapshot with a long name' snap.qcow2
    cp data.qcow2 leak.qcow2
    printf '\0\1' | dd of=leak.qcow2 bs=1 seek=$((131072 + 2 * 40)) conv=notrunc status=none
    truncate -s 3M leak.qcow2
    cp data.qcow2 corrupt.qcow2
    printf '\0\0' | dd of=corrupt.qcow2 bs=1 seek=$((131072 + 2 * 5)) conv=notrunc status=none
    for n in monolithicSparse monolithicFlat twoGbMaxExtentSparse twoGbMaxExtentFlat \
        streamOptimized; do
        $QEMU_IMG convert -O vmdk -o subformat=$n data.raw $n.vmdk
    done
    $QEMU_IMG create -q -f vmdk -b monolithicSparse.vmdk -F vmdk over.vmdk
    $QEMU_IMG create -q -f qcow2 small.qcow2 1M
    $QEMU_IMG create -q -f qcow2 large.qcow2 10M
    head -c $(($(stat -c %s data.qcow2) * 3 / 4)) data.qcow2 >half.qcow2
}

# Both sides begin with the same files.
reset() {
    rm -rf theirs ours
    cp -a fixtures theirs
    cp -a fixtures ours
}

# ------------------------------------------------------------------ comparing

# run_side DIRECTORY PROGRAM ARGS...: into DIRECTORY.{out,err,status}
run_side() {
    local side=$1 status=0
    shift
    (cd "$side" && exec "$@") >"$side.out" 2>"$side.err" </dev/null || status=$?
    echo "$status" >"$side.status"
    [ "$status" -lt 128 ] || fail "$*: status $status"
}

# One error is one line with us; qemu-img breaks lines, repeats its name, and adds a hint.
plain_errors() {
    grep -v "^Try 'qemu-img" "$1" | sed "s/ (try 'qemu-img [^)]*')\$//" | tr '\n' ' ' |
        sed 's/\([^ ]\) qemu-img: /\1 /g; s/ *$//'
}

run_both() {
    cases=$((cases + 1))
    run_side theirs "$QEMU_IMG" "$@"
    run_side ours "$OURS" "$@"
}

report() {
    bad=$((bad + 1))
    echo "DIFFERENT: img $1" >&2
    diff -u "$2" "$3" >&2 || :
}

compare_sides() {
    if ! cmp -s theirs.status ours.status; then
        report "$* (status)" theirs.status ours.status
        cat ours.err >&2
    elif ! cmp -s theirs.out ours.out; then
        report "$*" theirs.out ours.out
    fi
}

same() {
    run_both "$@"
    compare_sides "$@"
}

same_err() {
    run_both "$@"
    compare_sides "$@"
    plain_errors theirs.err >theirs.plain
    plain_errors ours.err >ours.plain
    cmp -s theirs.plain ours.plain || report "$* (stderr)" theirs.plain ours.plain
}

same_findings() {
    same "$@"
    cmp -s <(sort theirs.err) <(sort ours.err) || report "$* (findings)" theirs.err ours.err
}

# Members in any order: the lines, without indent and comma, as a set.
same_json() {
    local side
    run_both "$@"
    for side in theirs ours; do
        sed 's/^ *//; s/,$//' $side.out | sort >$side.sorted
        mv $side.sorted $side.out
    done
    compare_sides "$@"
}

same_disk() {
    local file=$1
    shift
    same "$@"
    [ "$(cat ours.status)" = 0 ] || return 0
    $QEMU_IMG compare "theirs/$file" "ours/$file" >/dev/null || {
        bad=$((bad + 1))
        echo "DIFFERENT: img $*: another disk" >&2
    }
}

differs() {
    local want=$1 reason=$2
    shift 2
    run_both "$@"
    [ "$(cat ours.status)" = "$want" ] || report "$* (status, not $want: $reason)" \
        theirs.status ours.status
    if cmp -s theirs.status ours.status && cmp -s theirs.out ours.out &&
        [ "$(plain_errors theirs.err)" = "$(plain_errors ours.err)" ]; then
        bad=$((bad + 1))
        echo "NO LONGER DIFFERENT ($reason): img $*" >&2
    fi
}

# finish: the verdict on all of the file.
finish() {
    [ "$bad" = 0 ] || fail "$bad of $cases command lines behave differently"
    note "$cases command lines"
}

(cd fixtures && make_fixtures)
reset

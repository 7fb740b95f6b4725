#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The same command lines given to qemu-img and to img, in twin directories:
# standard output and exit status must be equal, standard error where it is
# said so. What is different on purpose stands at the end, each with its reason.
#
#   same ARGS...          stdout and status
#   same_err ARGS...      stdout, status and stderr
#   same_findings ARGS... as same_err, but the lines of stderr may come in another order
#   same_json ARGS...     as same; members of an object may be in another order
#   same_disk FILE ARGS...  as same, and both make a FILE that holds the same disk
#   differs STATUS REASON ARGS...  ours ends with STATUS, and is not like qemu-img's

. "$(dirname "$0")/../lib.sh"
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

(cd fixtures && make_fixtures)
reset

# --------------------------------------------------------------- command line

same_err
same_err nonsense
same_err --nonsense
same_err -Z
for command in check compare convert create info map; do
    same_err $command
    same_err $command -Z
    same_err $command --nonsense
    same_err $command -f
done
for command in check info map; do
    same_err $command one two
    same_err $command --output=xml data.raw
    same_err $command missing.raw
    same_err $command -f qcow2 data.raw
    same_err $command -f nonsense data.raw
    same_err $command -f qcow2 missing.raw
    same_err $command sub/missing/x.raw
done

# ----------------------------------------------------------------------- info

for image in data.raw empty.raw nothing.raw odd.raw empty.qcow2 v2.qcow2 lazy.qcow2 data.qcow2 \
    packed.qcow2 zstd.qcow2 over.qcow2 sub/top.qcow2 orphan.qcow2 snap.qcow2 monolithicSparse.vmdk \
    monolithicFlat.vmdk twoGbMaxExtentSparse.vmdk twoGbMaxExtentFlat.vmdk streamOptimized.vmdk \
    over.vmdk corrupt.qcow2; do
    same_err info $image
    same_json info --output=json $image
done
same_err info --backing-chain over.qcow2
same_err info --backing-chain sub/top.qcow2
same_err info --backing-chain data.qcow2
same_json info --backing-chain --output=json over.qcow2
same_json info --backing-chain --output json data.raw
same_err info --backing-chain orphan.qcow2
same_err info -f raw data.qcow2
same_err info -U data.qcow2
same_err info --force-share data.qcow2
same_err info data.qcow2 -f qcow2
same_err info -f qcow2 -- data.qcow2
same_err info --back over.qcow2
for size in 1 511 1023488 1047552 1072693248 1234567890123; do
    truncate -s $size theirs/size.raw ours/size.raw
    same info -f raw size.raw
done

# ------------------------------------------------------------------------ map

for image in data.raw empty.raw nothing.raw odd.raw empty.qcow2 v2.qcow2 data.qcow2 packed.qcow2 \
    zstd.qcow2 over.qcow2 sub/top.qcow2 snap.qcow2 monolithicSparse.vmdk twoGbMaxExtentSparse.vmdk \
    streamOptimized.vmdk over.vmdk; do
    same_err map $image
    same_err map --output=json $image
done
same_err map monolithicFlat.vmdk
same_err map twoGbMaxExtentFlat.vmdk
same_err map --output=json -s 64k -l 100k data.qcow2
same_err map --output=json -s 1000 -l 100k data.qcow2
same_err map --output=json --start-offset=64k --max-length=1M over.qcow2
same_err map --output=json -s 1000M data.qcow2
same_err map --output=json -l 0 data.qcow2
same_err map -s 64k -l 64k data.qcow2
same_err map -s xx data.qcow2
same_err map --max-length=xx data.qcow2
same_err map --max-length=-5 data.qcow2
same_err map -s 10E data.qcow2
same_err map -U over.qcow2
same_err map orphan.qcow2

# ---------------------------------------------------------------------- check

for image in empty.qcow2 v2.qcow2 data.qcow2 packed.qcow2 over.qcow2 snap.qcow2 \
    monolithicSparse.vmdk monolithicFlat.vmdk twoGbMaxExtentSparse.vmdk streamOptimized.vmdk; do
    same_err check $image
    same_json check --output=json $image
done
same_findings check leak.qcow2
same_json check --output=json leak.qcow2
same_findings check corrupt.qcow2
same_json check --output=json corrupt.qcow2
same_err check -q data.qcow2
same_findings check -q corrupt.qcow2
same_err check data.raw
same_err check -q data.raw
same_err check -U data.qcow2
same_err check -f qcow2 -T none data.qcow2
same_err check -T nonsense data.qcow2
same_err check -r nonsense data.qcow2
same_err check orphan.qcow2

# -------------------------------------------------------------------- compare

same_err compare data.raw data.raw
same_err compare data.raw data.qcow2
same_err compare data.raw other.raw
same_err compare other.raw data.qcow2
same_err compare -q data.raw other.raw
same_err compare data.raw longer.raw
same_err compare longer.raw data.raw
same_err compare -q longer.raw data.raw
same_err compare data.raw tail.raw
same_err compare tail.raw data.raw
same_err compare -s data.raw longer.raw
same_err compare -s data.raw data.raw
same_err compare -s data.qcow2 data.qcow2
same_err compare -s data.raw data.qcow2
same_err compare -f raw -F qcow2 data.raw data.qcow2
same_err compare -f raw data.qcow2 data.raw
same_err compare -f qcow2 data.raw data.raw
same_err compare -F qcow2 data.raw data.raw
same_err compare -f nonsense data.raw data.raw
same_err compare missing.raw data.raw
same_err compare data.raw missing.raw
same_err compare data.raw data.raw data.raw
same_err compare -T nonsense data.raw data.raw
same_err compare -T none -U data.raw data.qcow2
same_err compare data.raw monolithicSparse.vmdk
same_err compare streamOptimized.vmdk twoGbMaxExtentSparse.vmdk

# --------------------------------------------------------------------- create

same_err create -f qcow2 new.qcow2 10G
same_err create -f qcow2 -o cluster_size=4k,compat=0.10 new.qcow2 1M
same_err create -f qcow2 -o cluster_size=4k -o lazy_refcounts=on new.qcow2 1M
same_err create -f qcow2 -o lazy_refcounts new.qcow2 1M
same_err create -f qcow2 -o compat=1.1,refcount_bits=8,compression_type=zstd new.qcow2 1G
same_err create -f qcow2 -o preallocation=metadata new.qcow2 1M
same_err create -f qcow2 -o size=1G new.qcow2
same_err create -f qcow2 -o size=1G new.qcow2 2G
same_err create -f qcow2 -q new.qcow2 1G
same_err create -f qcow2 new.qcow2 0
same_err create -f qcow2 new.qcow2 1000
same_err create -f qcow2 new.qcow2 1.5k
same_err create -f qcow2 new.qcow2 0x1000
same_err create -f qcow2 new.qcow2 512b
same_err create -f qcow2 new.qcow2 1g
same_err create new.raw 1.5M
same_err create -f raw -o preallocation=full new.raw 1M
same_err create -f raw -o preallocation=off new.raw 1M
same_err create -f qcow2 -b data.raw -F raw new.qcow2
same_err create -f qcow2 -b data.qcow2 -F qcow2 new.qcow2 20M
same_err create -f qcow2 -b data.raw -F raw new.qcow2 0
same_err create -f qcow2 -o backing_file=data.raw,backing_fmt=raw new.qcow2
same_err create -f qcow2 -o backing_file=other.raw -b data.raw -F raw new.qcow2
same_err create -f qcow2 -b base.qcow2 -F qcow2 sub/new.qcow2
same_err create -f qcow2 -u -b gone.qcow2 -F qcow2 new.qcow2 1G
same_err create -f qcow2 -u -b 'a b,c.qcow2' -F raw new.qcow2 1M
same_err create -f qcow2 -u -b gone.qcow2 -F qcow2 new.qcow2
for subformat in monolithicSparse monolithicFlat streamOptimized; do
    same_err create -f vmdk -o subformat=$subformat new.vmdk 1G
done
same_err create -f vmdk new.vmdk 1000
same_err create -f vmdk -o adapter_type=lsilogic,compat6=on new.vmdk 1M
same_err create -f vmdk -o hwversion=4 new.vmdk 1M
same_err create -f vmdk -b monolithicSparse.vmdk -F vmdk new.vmdk
same_err create -f qcow2 bad.qcow2
same_err create -f qcow2 bad.qcow2 abc
same_err create -f qcow2 bad.qcow2 1Q
same_err create -f qcow2 bad.qcow2 ''
same_err create -f qcow2 bad.qcow2 1e3
same_err create -f qcow2 bad.qcow2 -- -1
same_err create -f qcow2 bad.qcow2 99999999999999999999
same_err create -f qcow2 bad.qcow2 10E
same_err create -f qcow2 bad.qcow2 1G 2G
same_err create -f nonsense bad.qcow2 1G
same_err create -f qcow2 -o nonsense=1 bad.qcow2 1G
same_err create -f qcow2 -o lazy_refcounts=maybe bad.qcow2 1G
same_err create -f qcow2 -o '' bad.qcow2 1G
same_err create -f raw -b data.raw -F raw bad.raw 1M
same_err create -f raw -o backing_file=data.raw bad.raw 1M
same_err create -f nonsense -o help

# -------------------------------------------------------------------- measure

for format in raw qcow2; do
    for image in data.raw empty.raw empty.qcow2 data.qcow2 packed.qcow2 over.qcow2 \
        monolithicSparse.vmdk streamOptimized.vmdk; do
        same_err measure -O $format $image
    done
    same_json measure -O $format --output=json data.qcow2
    for size in 0 1 1M 1G 10T; do
        same_err measure -O $format --size $size
    done
done
same_err measure --size 1G
same_err measure -O qcow2 -o cluster_size=4k data.qcow2
same_err measure -O qcow2 -o cluster_size=2M --size 10T
same_err measure -O qcow2 -o preallocation=full data.raw
same_err measure -O qcow2 -o refcount_bits=1 --size 1T
same_err measure -O vmdk data.raw
same_err measure -O nonsense data.raw
same_err measure
same_err measure --size 1G data.raw
same_err measure --size nonsense
same_err measure one two
same_err measure missing.raw
same_err measure --output=xml --size 1G

# -------------------------------------------------------------------- convert

for source in data.raw odd.raw nothing.raw v2.qcow2 data.qcow2 packed.qcow2 zstd.qcow2 over.qcow2 \
    monolithicFlat.vmdk streamOptimized.vmdk; do
    same_disk out.raw convert -O raw $source out.raw
    same_disk out.qcow2 convert -O qcow2 $source out.qcow2
    same_disk out.vmdk convert -O vmdk $source out.vmdk
done
same_disk out.qcow2 convert -c -O qcow2 data.raw out.qcow2
same_disk out.qcow2 convert -c -O qcow2 -o compression_type=zstd data.raw out.qcow2
same_disk out.vmdk convert -O vmdk -o subformat=streamOptimized data.raw out.vmdk
same_disk out.vmdk convert -c -O vmdk -o subformat=streamOptimized data.raw out.vmdk
same_disk out.qcow2 convert -f raw -O qcow2 data.qcow2 out.qcow2
same_disk out.raw convert data.raw over.qcow2 out.raw
same_disk out.qcow2 convert -O qcow2 -o size=1M data.raw out.qcow2
same_disk out.qcow2 convert -O qcow2 -S 0 data.raw out.qcow2
same_disk out.qcow2 convert -O qcow2 -S 64k -m 4 -W -t none -T none data.raw out.qcow2
same_disk out.qcow2 convert -O qcow2 -C -r 100M -q data.raw out.qcow2
same_disk out.qcow2 convert -O qcow2 -U --salvage data.qcow2 out.qcow2
same_disk large.qcow2 convert -n -O qcow2 data.raw large.qcow2
same_disk other.raw convert -n -O raw data.qcow2 other.raw
same_disk out.qcow2 convert -O qcow2 -B data.raw -F raw over.qcow2 out.qcow2
same_disk out.qcow2 convert -O qcow2 -o backing_file=data.raw,backing_fmt=raw over.qcow2 out.qcow2
reset
same_err convert one
same_err convert missing.raw out.raw
same_err convert -f qcow2 -O raw missing.raw out.raw
same_err convert -f qcow2 -O raw data.raw out.raw
same_err convert -f nonsense -O raw data.raw out.raw
same_err convert -O nonsense data.raw out.raw
same_err convert -O nonsense missing.raw out.raw
same_err convert -O qcow2 -o nonsense=1 data.raw out.qcow2
same_err convert -O qcow2 data.raw missing/out.qcow2
same_err convert -c -O raw data.raw out.raw
same_err convert -O qcow2 -c -o preallocation=metadata data.raw out.qcow2
same_err convert -n -O qcow2 data.raw missing.qcow2
same_err convert -n -O qcow2 data.raw small.qcow2
same_err convert -n -O qcow2 data.raw other.raw
same_err convert -n -O qcow2 -o cluster_size=4k data.raw large.qcow2
same_err convert -O qcow2 --target-is-zero data.raw out.qcow2
same_err convert -O qcow2 -B data.raw data.raw out.qcow2
same_err convert -O qcow2 -o backing_file=data.raw data.raw out.qcow2
same_err convert -O raw -B data.raw -F raw data.raw out.raw
same_err convert -O qcow2 -B data.raw -F raw data.raw other.raw out.qcow2
for number in 1000 32M; do
    same_err convert -S $number data.raw out.raw
done
for option in -S -r; do
    same_err convert $option nonsense data.raw out.raw
    same_err convert $option -4 data.raw out.raw
    same_err convert $option 10E data.raw out.raw
done
same_err convert -t nonsense data.raw out.raw
same_err convert -T nonsense data.raw out.raw
same_err convert -C -S 4k data.raw out.raw
same_err convert -C -c data.raw out.raw
same_err convert -C --salvage data.raw out.raw
same_err convert -l nonsense data.qcow2 data.qcow2 out.raw
same_err convert orphan.qcow2 out.raw

# ------------------------------------------------------------------- progress

same convert -p -O qcow2 odd.raw out.qcow2
same convert -p -q -O qcow2 data.raw out.qcow2
same convert -p nothing.raw out.raw
same compare -p data.raw longer.raw -q

# ---------------------------------------------------------------------- amend

same amend -f qcow2 -o help
same amend -f qcow2 -o help missing.qcow2
same amend -o help data.qcow2
same amend -o size=2M,help data.qcow2
same_err amend -o help
same_err amend -o help missing.qcow2
same_err amend -o help -f nonsense data.qcow2
same_err amend -o help -f raw
same_err amend
same_err amend data.qcow2
same_err amend -o
same_err amend -o '' data.qcow2
same_err amend -o compat=1.1
same_err amend -o compat=1.1 data.qcow2 other.raw
same_err amend -f nonsense -o compat=1.1 data.qcow2
same_err amend -f qcow2 -o compat=1.1 missing.qcow2
same_err amend -f raw -o size=2M data.raw
same_err amend -t nonsense -o compat=1.1 data.qcow2
same_err amend -o nonsense=1 data.qcow2
same_err amend -o cluster_size=64k data.qcow2
same_err amend -o preallocation=full data.qcow2
same_err amend -o compression_type=zstd data.qcow2
same_err amend -o extended_l2=on data.qcow2
same_err amend -o encryption=on data.qcow2
same_err amend -o encrypt.format=luks data.qcow2
same_err amend -o encrypt.state=active data.qcow2
same_err amend -o compat=0.9 data.qcow2
same_err amend -o refcount_bits=7 data.qcow2
same_err amend -o refcount_bits=128 data.qcow2
same_err amend -o refcount_bits=x data.qcow2
same_err amend -o compat=0.10,refcount_bits=8 data.qcow2
same_err amend -o compat=0.10,lazy_refcounts=on data.qcow2
same_err amend -o compat=0.10 lazy.qcow2
same_err amend -o lazy_refcounts=maybe data.qcow2
same_err amend -o refcount_bits=8 v2.qcow2
same_err amend -o size=1000 data.qcow2
same amend -o size=x data.qcow2
same_err amend -o data_file=x data.qcow2
same_err amend -o data_file_raw=on data.qcow2
same_err amend -o data_file_raw=off data.qcow2
same_err amend -o backing_file=data.raw over.qcow2
same_err amend -o backing_fmt=raw over.qcow2
same_err amend -o backing_file=other.raw,backing_fmt=raw over.qcow2
same_err amend -o backing_file=data.raw,backing_fmt=raw over.qcow2
same_err amend -o backing_file= data.qcow2
same_err amend -o refcount_bits=1 snap.qcow2
same_err amend -o size=2M snap.qcow2
same_err amend -o compat=0.10 snap.qcow2
same_err amend -o compat=v2 data.qcow2
same check data.qcow2
same_err amend -o compat=v3,lazy_refcounts=on,refcount_bits=32,size=4M data.qcow2
same_err amend --force -q -o size=0 -o size=2M data.qcow2
same_err amend -o compat=1.1 v2.qcow2
same info v2.qcow2
reset

# --------------------------------------------------------------------- resize

same_err resize
same_err resize data.raw
same_err resize one two three
same_err resize -f raw data.raw 4M
same_err resize -f raw data.raw +1M
same_err resize -f raw data.raw 5M
same_err resize -f raw --shrink data.raw -1M
same_err resize -q -f raw data.raw 5M
same_err resize -f raw --preallocation=off data.raw 6M
same_err resize -f raw data.raw xx
same_err resize -f raw data.raw +xx
same_err resize -f raw data.raw -100M
same_err resize -f raw missing.raw 1M
same_err resize -f raw --preallocation=nonsense data.raw 7M
same_err resize -f raw --shrink --preallocation=full data.raw 1M
same_err resize -f raw --preallocation=full data.raw 1M
same_err resize -f raw --preallocation=metadata data.raw 70M
same_err resize data.qcow2 1000001
same_err resize data.qcow2 1M
same_err resize --shrink data.qcow2 0
same_err resize --shrink data.qcow2 1M
same_err resize --preallocation=metadata data.qcow2 2M
same check data.qcow2
same_err resize v2.qcow2 +1M
same resize -f raw data.raw 1M
same resize data.raw 7M
same info data.raw
same_err resize monolithicSparse.vmdk 10M
reset

# --------------------------------------------------------------------- commit

same_disk data.raw commit over.qcow2
same_disk over.qcow2 commit -q over.qcow2
reset
same_disk over.qcow2 commit -d over.qcow2
same_disk data.raw commit -b data.raw over.qcow2
same_disk sub/base.qcow2 commit sub/top.qcow2
same_disk monolithicSparse.vmdk commit over.vmdk
reset
same_err commit
same_err commit one two
same_err commit -Z over.qcow2
same_err commit missing.qcow2
same_err commit -f raw data.raw
same_err commit data.qcow2
same_err commit -f nonsense over.qcow2
same_err commit -b nonsense over.qcow2
same_err commit -b over.qcow2 over.qcow2
same_err commit -t nonsense over.qcow2
same_err commit -r nonsense over.qcow2
same_err commit -r 10E over.qcow2
same_err commit orphan.qcow2

# --------------------------------------------------------------------- rebase

same_disk over.qcow2 rebase -b other.raw -F raw over.qcow2
same_disk over.qcow2 rebase -b '' over.qcow2
same_disk over.qcow2 rebase -b data.qcow2 -F qcow2 over.qcow2
reset
for name in data.raw gone.raw ''; do
    same_err rebase -u -b "$name" -F raw over.qcow2
    same info -U orphan.qcow2
done
same_err rebase -u over.qcow2
reset
same_err rebase
same_err rebase over.qcow2
same_err rebase -b data.raw
same_err rebase -b data.raw over.qcow2
same_err rebase -u -b data.raw over.qcow2
same_err rebase -b data.raw -F raw one two
same_err rebase -b data.raw -F raw missing.qcow2
same_err rebase -b data.raw -F nonsense over.qcow2
same_err rebase -b gone.raw -F raw over.qcow2
same_err rebase -b data.raw -F raw orphan.qcow2
same_err rebase -t nonsense -b data.raw -F raw over.qcow2
same_err rebase -T nonsense -b data.raw -F raw over.qcow2
same_err rebase -f raw -b data.raw other.raw
same_err rebase -f raw -b data.raw -F raw other.raw
same_err rebase -f nonsense -b data.raw -F raw over.qcow2
same_err rebase -u -b data.raw -F raw over.vmdk
same_err rebase -b base.qcow2 -F raw sub/top.qcow2
reset

# -------------------------------------------------------------------- bitmaps

# What the images list, as the other program sees it too.
bitmaps() {
    local file side
    for file; do
        run_both info --output=json "$file"
        for side in theirs ours; do
            sed '/actual-size/d; s/^ *//; s/,$//' $side.out | sort >$side.sorted
            mv $side.sorted $side.out
        done
        compare_sides info --output=json "$file"
        cmp <("$QEMU_IMG" info "ours/$file") <("$OURS" info "ours/$file") ||
            report "info of our $file" theirs.out ours.out
    done
}
same_err bitmap
same_err bitmap small.qcow2 b
same_err bitmap --add
same_err bitmap --add small.qcow2
same_err bitmap --add small.qcow2 b more
same_err bitmap --nonsense small.qcow2 b
same_err bitmap --enable -g 512 small.qcow2 b
same_err bitmap --add -g nonsense small.qcow2 b
same_err bitmap -F qcow2 --merge b small.qcow2 b
same_err bitmap -b large.qcow2 --add small.qcow2 b
same_err bitmap --add missing.qcow2 b
same bitmap --add -f vmdk small.qcow2 b
same_err bitmap --add -f nonsense small.qcow2 b
same_err bitmap --add small.qcow2 ''
same_err bitmap --add -g 1000 small.qcow2 b
same_err bitmap --add -g 256 small.qcow2 b
same_err bitmap --add -g 4G small.qcow2 b
for action in --remove --clear --enable --disable '--merge none'; do
    # shellcheck disable=SC2086 # two words
    same_err bitmap $action small.qcow2 none
done
same_err bitmap --remove monolithicSparse.vmdk none
same_err bitmap --remove -f raw data.raw none
same bitmap --add -f raw data.raw b
same bitmap --add monolithicSparse.vmdk b
same bitmap --add v2.qcow2 b
same bitmap --add small.qcow2 "$(printf 'n%.0s' {1..1024})"
same_err bitmap --add small.qcow2 one
same_err bitmap --add small.qcow2 one
same_err bitmap --add --disable small.qcow2 two
same_err bitmap --add -g 512 small.qcow2 three
same_err bitmap --add -g 2G small.qcow2 four
same_err bitmap --add -g 0 small.qcow2 five
same_err bitmap --add small.qcow2 "$(printf 'n%.0s' {1..1023})"
bitmaps small.qcow2
same_err bitmap --merge one small.qcow2 two
same_err bitmap --merge one small.qcow2 one
same_err bitmap --merge three small.qcow2 none
same_err bitmap --merge none small.qcow2 one
same_err bitmap --enable --disable --clear small.qcow2 one
same_err bitmap --disable --enable small.qcow2 two
same_err bitmap --remove --add small.qcow2 three
same_err bitmap --add --remove small.qcow2 gone
same_err bitmap --add --merge none small.qcow2 half
bitmaps small.qcow2
same_err bitmap --add large.qcow2 one
same_err bitmap --merge one -b large.qcow2 -F qcow2 small.qcow2 one
same_err bitmap --merge one -b missing.qcow2 -F qcow2 small.qcow2 one
same_err bitmap --merge one -b large.qcow2 -F raw small.qcow2 one
same bitmap --add --merge one -b large.qcow2 large.qcow2 two
same_err convert --skip-broken-bitmaps -O qcow2 small.qcow2 out.qcow2
same_err convert --bitmaps -O raw data.raw out.raw
same_err convert --bitmaps -O qcow2 data.raw out.qcow2
same_err convert --bitmaps -O qcow2 v2.qcow2 out.qcow2
same_err convert --bitmaps -O raw small.qcow2 out.raw
same_err convert --bitmaps -O qcow2 -o compat=0.10 small.qcow2 out.qcow2
same_err convert --bitmaps -O qcow2 small.qcow2 large.qcow2 out.qcow2
same_err convert --bitmaps -O qcow2 small.qcow2 out.qcow2
bitmaps out.qcow2
same_err convert --bitmaps -O qcow2 -c -o cluster_size=4k small.qcow2 out.qcow2
bitmaps out.qcow2
same_err convert --bitmaps -n -O qcow2 large.qcow2 empty.qcow2
same convert --bitmaps -n -O qcow2 large.qcow2 large.qcow2
$QEMU_IMG create -q -f qcow2 theirs/other.qcow2 10M
cp theirs/other.qcow2 ours/other.qcow2
same_err convert --bitmaps -n -O qcow2 large.qcow2 other.qcow2
bitmaps other.qcow2
same_err convert --bitmaps -n -O qcow2 large.qcow2 other.qcow2
same measure -O qcow2 small.qcow2
same measure -O qcow2 -o cluster_size=512 small.qcow2
same measure -O qcow2 -o compat=0.10 small.qcow2
same measure -O raw small.qcow2
same_err resize small.qcow2 3M
same_err resize --shrink small.qcow2 512k
bitmaps small.qcow2
same check -q small.qcow2
# What a writer left that died: the flag "in use" in the records of b1 and b2.
for side in theirs ours; do
    $QEMU_IMG create -q -f qcow2 $side/dead.qcow2 1M
    for name in b1 b2; do
        $QEMU_IMG bitmap --add $side/dead.qcow2 $name
    done
    directory=$(grep -oba b1 $side/dead.qcow2 | tail -1 | cut -d: -f1)
    printf '\3' | dd of=$side/dead.qcow2 bs=1 seek=$((directory - 9)) conv=notrunc status=none
done
bitmaps dead.qcow2
same_err bitmap --add dead.qcow2 b1
for action in --clear --enable --disable '--merge b2'; do
    # shellcheck disable=SC2086 # two words
    same_err bitmap $action dead.qcow2 b1
done
same_err bitmap --merge b1 dead.qcow2 b2
same convert --bitmaps -O qcow2 dead.qcow2 out.qcow2
same_err convert --bitmaps --skip-broken-bitmaps -O qcow2 dead.qcow2 out.qcow2
bitmaps out.qcow2
same resize dead.qcow2 2M
same_err measure -O qcow2 dead.qcow2
same_err bitmap --remove dead.qcow2 b1
bitmaps dead.qcow2
same_err resize dead.qcow2 2M
same_err bitmap --remove dead.qcow2 b2
bitmaps dead.qcow2
same check -q dead.qcow2
reset

# ----------------------------------------------------- an image that is in use

# qemu-io holds both sides' data.qcow2 open for writing until its input ends.
mkfifo holder
(cd theirs && exec "$QEMU_IO" data.qcow2) <holder >held 2>&1 &
holder_pid=$!
exec 9>holder
echo length >&9
for _ in $(seq 100); do
    ! grep -q iB held || break
    sleep 0.05
done
grep -q iB held || fail "qemu-io does not open the image: $(cat held)"
in_use() {
    cases=$((cases + 1))
    local status=0
    "$OURS" "$@" >ours.out 2>ours.err || status=$?
    "$QEMU_IMG" "$@" >theirs.out 2>theirs.err || echo $? >theirs.status
    [ "$status" = "$(cat theirs.status)" ] || report "$* (status $status)" theirs.err ours.err
    grep -q 'Failed to get .*"write" lock' ours.err || report "$* (stderr)" theirs.err ours.err
}
in_use info theirs/data.qcow2
in_use map theirs/data.qcow2
in_use check theirs/data.qcow2
in_use compare theirs/data.qcow2 theirs/data.raw
in_use convert -O raw theirs/data.qcow2 theirs/out.raw
in_use convert -n -O qcow2 theirs/data.raw theirs/data.qcow2
in_use convert -O qcow2 theirs/data.raw theirs/data.qcow2
in_use create -f qcow2 theirs/data.qcow2 1M
"$OURS" info -U theirs/data.qcow2 >/dev/null || fail "info -U of an image in use"
exec 9>&-
wait "$holder_pid"

# ------------------------------------------------------- intended differences

differs 1 'lost data is an error, not zeros: the image is cut in half' \
    convert -O raw half.qcow2 out.raw
differs 1 'the target is a source: refused without the help of locks' convert data.raw data.raw
differs 1 'strict means allocation, whether compressed or not' compare -s data.raw packed.qcow2
differs 0 'a hole of a flat extent is no data' map --output=json monolithicFlat.vmdk
differs 0 'a hole of a flat extent is no data' map --output=json twoGbMaxExtentFlat.vmdk
differs 0 'more threads are allowed' convert -m 64 data.raw out.raw
differs 1 'threads, not coroutines' convert -m 65 data.raw out.raw
differs 1 'threads, not coroutines' convert -m x data.raw out.raw
differs 1 'nothing is formatted, so nothing says so' \
    create -f qcow2 -o cluster_size=3k bad.qcow2 1G
differs 1 'nothing is formatted, so nothing says so' create -f qcow2 missing/bad.qcow2 1G
differs 1 'nothing is formatted, so nothing says so' create -f qcow2 -F raw bad.qcow2 1G
differs 1 'one line: the format is not guessed to tell it' create -f qcow2 -b data.qcow2 bad.qcow2
differs 1 'one line, in our own words' create -f qcow2 -b gone.raw -F raw bad.qcow2
differs 0 'help is for the command it is asked of' info --help
differs 0 'help is for the command it is asked of' -h
differs 0 'our own version' --version
differs 0 'compression_level is ours' create -f qcow2 -o help
differs 0 'the list of options is shown for measure too' measure -O qcow2 -o help
differs 1 'an error of -B and --target-is-zero is a failure' \
    convert -n -O qcow2 --target-is-zero -B data.raw -F raw data.raw large.qcow2
differs 1 'our own words for what is no file' info sub
differs 1 'our own words for what is no file' info ''

[ "$bad" = 0 ] || fail "$bad of $cases command lines behave differently"
note "$cases command lines"

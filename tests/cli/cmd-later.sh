#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What later versions of qemu-img have and 7.2, which the other tests compare
# with, has not: long names for all options, info --limits.

. "$(dirname "$0")/../lib.sh"

seq 50000 | head -c 256k >data.raw
truncate -s 1M data.raw
"$IMG" create -q -f qcow2 empty.qcow2 1M
"$IMG" convert -O qcow2 data.raw data.qcow2

# like COMMAND LONG... -- SHORT...: both forms say the same and end the same.
like() {
    local command=$1 long=() one=0 two=0
    shift
    while [ "$1" != -- ]; do
        long+=("$1")
        shift
    done
    shift
    "$IMG" "$command" "${long[@]}" >long.out 2>long.err || one=$?
    "$IMG" "$command" "$@" >short.out 2>short.err || two=$?
    cmp long.out short.out && cmp long.err short.err && [ $one = $two ] ||
        fail "img $command ${long[*]} ($one) is not like $* ($two)"
    ! grep -q unrecognized long.err || fail "$(cat long.err)"
}
like check --format qcow2 --repair all --cache none --force-share --quiet data.qcow2 -- \
    -f qcow2 -r all -T none -U -q data.qcow2
like check --format=qcow2 --cache=writeback data.qcow2 -- -f qcow2 -T writeback data.qcow2
like compare --a-format raw --b-format qcow2 --strict --cache none data.raw data.qcow2 -- \
    -f raw -F qcow2 -s -T none data.raw data.qcow2
like map --format qcow2 --start-offset 64k --max-length 128k data.qcow2 -- \
    -f qcow2 -s 64k -l 128k data.qcow2
like measure --target-format qcow2 --target-format-options cluster_size=4k --size 1G -- \
    -O qcow2 -o cluster_size=4k -s 1G
like measure --target-format=qcow2 --options=cluster_size=4k --format=raw data.raw -- \
    -O qcow2 -o cluster_size=4k -f raw data.raw
like bench --count 10 --depth 1 --format nonsense data.raw -- -c 10 -d 1 -f nonsense data.raw
like bench --buffer-size x data.raw -- -s x data.raw
like bench --step-size x data.raw -- -S x data.raw
like bench --offset x data.raw -- -o x data.raw
like bench --aio x data.raw -- -i x data.raw
like resize --format=raw --quiet data.raw xx -- -f raw -q data.raw xx
like info --format=raw --force-share --cache=none data.qcow2 -- -f raw -U -t none data.qcow2
like snapshot --list data.qcow2 -- -l data.qcow2

# made LONG... -- SHORT...: both make the same file; OUT stands for its name.
made() {
    local words=() word
    for word; do
        [ "$word" != -- ] || {
            SOURCE_DATE_EPOCH=1 "$IMG" "${words[@]//OUT/one}"
            words=()
            continue
        }
        words+=("$word")
    done
    SOURCE_DATE_EPOCH=1 "$IMG" "${words[@]//OUT/two}"
    cmp one two || fail "$*"
    rm one two
}
made create --format qcow2 --options cluster_size=4k --backing data.raw --backing-format raw \
    --quiet OUT -- create -f qcow2 -o cluster_size=4k -b data.raw -F raw -q OUT
made create --format=qcow2 --backing=gone --backing-format=raw --backing-unsafe --quiet OUT 1M -- \
    create -f qcow2 -b gone -B raw -u -q OUT 1M
made convert --source-format raw --target-format qcow2 --target-format-options cluster_size=4k \
    --target-cache none --source-cache none --parallel 2 --sparse-size 64k --oob-writes \
    --rate-limit 1G --force-share data.raw OUT -- \
    convert -f raw -O qcow2 -o cluster_size=4k -t none -T none -m 2 -S 64k -W -r 1G -U data.raw OUT
made convert --compress --target-format=qcow2 data.raw OUT -- convert -c -O qcow2 data.raw OUT
made convert --copy-range-offloading data.raw OUT -- convert -C data.raw OUT
made convert --source-image-opts driver=raw,file.filename=data.raw OUT -- \
    convert --image-opts driver=raw,file.filename=data.raw OUT
made convert --target-format qcow2 --backing data.raw --backing-format raw data.raw OUT -- \
    convert -O qcow2 -B data.raw -F raw data.raw OUT
made dd --format raw --target-format qcow2 if=data.raw of=OUT bs=4k count=3 -- \
    dd -f raw -O qcow2 if=data.raw of=OUT bs=4k count=3

# What changes an image, on two copies of it.
changed() {
    "$IMG" create -q -f qcow2 -b data.raw -F raw one
    "$IMG" io -c 'write -P 5 64k 64k' one >/dev/null
    cp one two
    made_in_place "$@"
    "$IMG" compare one two >/dev/null || fail "$*"
    [ "$("$IMG" info --output=json one | grep backing)" = \
        "$("$IMG" info --output=json two | grep backing)" ] || fail "$*: other backing images"
    rm one two
}
made_in_place() {
    local words=() word
    for word; do
        [ "$word" != -- ] || {
            "$IMG" "${words[@]//OUT/one}" >/dev/null
            words=()
            continue
        }
        words+=("$word")
    done
    "$IMG" "${words[@]//OUT/two}" >/dev/null
}
changed commit --format qcow2 --drop --cache none --rate-limit 1G OUT -- \
    commit -f qcow2 -d -t none -r 1G OUT
changed commit --base data.raw --quiet OUT -- commit -b data.raw -q OUT
changed rebase --backing data.qcow2 --backing-format qcow2 --compress --cache none \
    --backing-cache none OUT -- rebase -b data.qcow2 -F qcow2 -c -t none -T none OUT
changed rebase --backing-unsafe --backing empty.qcow2 --backing-format qcow2 OUT -- \
    rebase -u -b empty.qcow2 -B qcow2 OUT
changed snapshot --create=s OUT -- snapshot -c s OUT
changed amend --options lazy_refcounts=on --cache none --quiet OUT -- \
    amend -o lazy_refcounts=on -t none -q OUT

# Limits, of both forms of output, and of every image of a chain.
"$IMG" info --limits data.qcow2 >text
grep -qx '    discard alignment: 65536' text || fail "info --limits: $(cat text)"
"$IMG" create -q -f qcow2 -b data.raw -F raw over.qcow2
"$IMG" info --limits --output=json --backing-chain over.qcow2 >text
[ "$(grep -c '"request-alignment": 1' text)" = 2 ] || fail "info --limits: $(cat text)"
grep -q '"discard-alignment": 1,' text || fail "info --limits of raw: $(cat text)"
! "$IMG" info data.qcow2 | grep -q limits || fail "limits although nobody asked"

# Traces may be asked for, and there are none.
for trace in '-T x' -Tx '--trace x' --trace=x '-T x -T y'; do
    # shellcheck disable=SC2086 # two words
    "$IMG" $trace info data.qcow2 | grep -q '^image: data.qcow2' || fail "img $trace"
done
expect_fail 1 unrecognized "$IMG" -T

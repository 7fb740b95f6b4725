#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Encrypted qcow2 and luks images in all that is done with images: each step is looked at with
# qemu-img, and each of its images by us.

. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/encryption.bash"

head -c 1500000 /dev/urandom >data.raw
truncate -s 3M data.raw
dd if=/dev/urandom of=data.raw bs=1k seek=2500 count=123 conv=notrunc status=none

note "converted, with any number of threads"
for threads in 1 8; do
    img convert -m $threads -O qcow2 -o "$luks" data.raw ours.qcow2
    sound ours.qcow2
    holds qcow2 ours.qcow2 data.raw
    img convert -m $threads --image-opts "$(opts qcow2 ours.qcow2)" -O raw back.raw
    same data.raw back.raw
    img convert -m $threads --image-opts "$(opts qcow2 ours.qcow2)" -O luks \
        -o key-secret=s,iter-time=10 ours.luks
    holds luks ours.luks data.raw
    img convert -m $threads --image-opts "$(opts luks ours.luks)" -O qcow2 plain.qcow2
    img convert -O raw plain.qcow2 back.raw
    same data.raw back.raw
done
quemu convert -O qcow2 -o "$luks" data.raw theirs.qcow2
img convert --image-opts "$(opts qcow2 theirs.qcow2)" -O raw back.raw
same data.raw back.raw
"$IMG" map --output=json --image-opts "${secrets[@]}" "$(opts qcow2 ours.qcow2)" >ours.json
"$QEMU_IMG" map --output=json --image-opts "${secrets[@]}" "$(opts qcow2 ours.qcow2)" >theirs.json
diff theirs.json ours.json >&2 || fail "map differs"

note "the old encryption"
img create -q -f qcow2 -o encrypt.format=aes,encrypt.key-secret=s old.qcow2 3M
img convert -n --image-opts --target-image-opts "$(opts raw data.raw)" "$(opts qcow2 old.qcow2)"
holds qcow2 old.qcow2 data.raw
quemu convert -O qcow2 -o encryption=on,encrypt.key-secret=s data.raw theirs.qcow2
holds qcow2 theirs.qcow2 data.raw
"$QEMU_IMG" info theirs.qcow2 >theirs.txt
"$IMG" info theirs.qcow2 >ours.txt
diff theirs.txt ours.txt >&2 || fail "info of the old encryption"

note "all kinds of qcow2"
for more in cluster_size=512 extended_l2=on,cluster_size=16k compat=0.10 \
    encrypt.cipher-alg=aes-128,cluster_size=2M refcount_bits=1; do
    img convert -O qcow2 -o "$luks,$more" data.raw ours.qcow2
    sound ours.qcow2
    holds qcow2 ours.qcow2 data.raw
done

note "written by turns, at any alignment"
img create -q -f qcow2 -o "$luks" turns.qcow2 1M
img create -q -f luks -o key-secret=s,iter-time=10 turns.luks 1M
truncate -s 1M turns.raw
for format in qcow2 luks; do
    "$QEMU_IO" "${secrets[@]}" --image-opts "$(opts $format turns.$format)" -c 'write -z 0 1M' \
        >/dev/null
done
seed=${SEED:-7}
RANDOM=$seed
note "seed $seed"
for n in {1..12}; do
    offset=$(((RANDOM << 15 | RANDOM) % 900000)) length=$((RANDOM % 70000 + 1))
    write="write -P $((n + 1)) $offset $length"
    "$QEMU_IO" -f raw -c "$write" turns.raw >/dev/null
    for format in qcow2 luks; do
        if [ $((n % 2)) = 0 ]; then
            "$IMG" io "${secrets[@]}" --image-opts "$(opts $format turns.$format)" -c "$write" >/dev/null
        else
            "$QEMU_IO" "${secrets[@]}" --image-opts "$(opts $format turns.$format)" -c "$write" \
                >/dev/null
        fi
    done
done
sound turns.qcow2
holds qcow2 turns.qcow2 turns.raw
holds luks turns.luks turns.raw

note "overlays: an encrypted one on a plain image, and the other way round"
"$QEMU_IMG" convert -f raw -O qcow2 data.raw plain.qcow2
img create -q -f qcow2 -b plain.qcow2 -F qcow2 -o "$luks" over.qcow2
cp data.raw model.raw
"$QEMU_IO" -f raw -c 'write -P 5 70001 9000' -c 'write -P 6 1m 300' model.raw >/dev/null
"$IMG" io "${secrets[@]}" --image-opts "$(opts qcow2 over.qcow2)" -c 'write -P 5 70001 9000' \
    -c 'write -P 6 1m 300' >/dev/null
sound over.qcow2
holds qcow2 over.qcow2 model.raw
img commit -q --image-opts "$(opts qcow2 over.qcow2)"
holds plain plain.qcow2 model.raw

img convert -O qcow2 -o "$luks" data.raw base.qcow2
"$IMG" create -q -f qcow2 -b base.qcow2 -F qcow2 over.qcow2
expect_fail 1 "Could not open backing file: Parameter 'encrypt.key-secret' is required for cipher" \
    "$IMG" convert -O raw over.qcow2 back.raw
named=$(opts plain over.qcow2),backing.encrypt.key-secret=s
quemu convert --image-opts "$named" -O raw back.raw
same data.raw back.raw
img convert --image-opts "$named" -O raw back.raw
same data.raw back.raw
cp data.raw model.raw
"$QEMU_IO" -f raw -c 'write -P 8 65000 70000' model.raw >/dev/null
"$IMG" io "${secrets[@]}" --image-opts "$named" -c 'write -P 8 65000 70000' >/dev/null
img commit -q --image-opts "$named"
holds qcow2 base.qcow2 model.raw

note "snapshots, resize, dd, rebase"
img convert -O qcow2 -o "$luks" data.raw disk.qcow2
img snapshot -c one --image-opts "$(opts qcow2 disk.qcow2)"
"$IMG" io "${secrets[@]}" --image-opts "$(opts qcow2 disk.qcow2)" -c 'write -P 9 0 2m' >/dev/null
sound disk.qcow2
img convert --image-opts -l snapshot.name=one "$(opts qcow2 disk.qcow2)" -O raw back.raw
same data.raw back.raw
img snapshot -a one --image-opts "$(opts qcow2 disk.qcow2)"
holds qcow2 disk.qcow2 data.raw
img resize -q --image-opts "$(opts qcow2 disk.qcow2)" 4M
truncate -s 4M model.raw
cp data.raw model.raw && truncate -s 4M model.raw
holds qcow2 disk.qcow2 model.raw
img dd --image-opts "if=$(opts qcow2 disk.qcow2)" of=back.raw bs=64k
same model.raw back.raw
img create -q -f qcow2 -b plain.qcow2 -F qcow2 -o "$luks" over.qcow2
quemu convert --image-opts "$(opts qcow2 over.qcow2)" -O raw model.raw
img rebase --image-opts -b '' "$(opts qcow2 over.qcow2)"
holds qcow2 over.qcow2 model.raw
sound over.qcow2

note "measure"
for options in "$luks" "$luks,encrypt.cipher-alg=aes-128,cluster_size=4k"; do
    [ "$(img measure -O qcow2 -o "$options" --size 100M)" = \
        "$(quemu measure -O qcow2 -o "$options" --size 100M)" ] || fail "measure $options"
done
[ "$(img measure -O luks -o key-secret=s,iter-time=10 --size 1M)" = \
    "$(quemu measure -O luks -o key-secret=s,iter-time=10 --size 1M)" ] || fail "measure luks"
expect_fail 1 "Parameter 'encrypt.key-secret' is required for cipher" \
    "$IMG" measure -O qcow2 -o encrypt.format=luks --size 1M

note "key slots"
# amend PREFIX FORMAT FILE: add a passphrase, take the first one away.
amend() {
    img amend --image-opts -o "$1state=active,$1new-secret=w,$1iter-time=10" "$(opts "$2" "$3")"
    img amend --image-opts -o "$1state=inactive,$1old-secret=s" "$(opts "$2" "$3")"
    expect_fail 1 'Invalid password, cannot unlock any keyslot' \
        img map --image-opts "$(opts "$2" "$3")"
    local other
    other=$(opts "$2" "$3")
    other=${other/secret=s/secret=w}
    quemu compare -q --image-opts "$other" "$(opts raw "$4")" || fail "$3: qemu-img finds no key"
    expect_fail 1 'Attempt to erase the only active keyslot 1 which will erase all the data' \
        img amend --image-opts -o "$1state=inactive,$1keyslot=1" "$other"
    quemu amend --image-opts -o "$1state=active,$1new-secret=s,$1iter-time=100" "$other"
    holds "$2" "$3" "$4"
    img amend --image-opts -o "$1state=inactive,$1old-secret=s" "$other"
    img amend --force --image-opts -o "$1state=inactive,$1keyslot=1" "$other"
    expect_fail 1 'Invalid password' img map --image-opts "$other"
}
amend encrypt. qcow2 turns.qcow2 turns.raw
amend '' luks turns.luks turns.raw
expect_fail 1 "Can't amend encryption options - encryption not present" \
    img amend -f qcow2 -o encrypt.state=active,encrypt.new-secret=w plain.qcow2
expect_fail 1 'Only LUKS encryption options can be amended' \
    img amend --image-opts -o encrypt.state=active,encrypt.new-secret=w "$(opts qcow2 old.qcow2)"

note "what is missing or wrong"
expect_fail 1 "Could not open 'disk.qcow2': Parameter 'encrypt.key-secret' is required for cipher" \
    "$IMG" convert -O raw disk.qcow2 back.raw
expect_fail 1 "No secret with id 's'" "$IMG" map --image-opts "$(opts qcow2 disk.qcow2)"
expect_fail 1 "x.qcow2: No secret with id 's'" "$IMG" create -q -f qcow2 -o "$luks" x.qcow2 1M
expect_fail 1 "x.qcow2: Parameter 'encrypt.format' is missing" \
    img create -q -f qcow2 -o encrypt.key-secret=s x.qcow2 1M
expect_fail 1 "'encrypt.format' and its alias 'encryption' can't be used at the same time" \
    img create -q -f qcow2 -o "$luks,encryption=on" x.qcow2 1M
expect_fail 1 "Parameter 'encrypt.cipher-alg' is unexpected" \
    img create -q -f qcow2 -o encryption=on,encrypt.key-secret=s,encrypt.cipher-alg=aes-128 x.qcow2 1M
expect_fail 1 'Compression and encryption not supported at the same time' \
    img convert -c -O qcow2 -o "$luks" data.raw x.qcow2
img create -q -f qcow2 -o "$luks" -b data.raw -F raw over.qcow2
expect_fail 1 'Compression and encryption not supported at the same time' \
    img rebase -c -b '' --image-opts "$(opts qcow2 over.qcow2)"
[ ! -e x.qcow2 ] || fail "a failed creation left a file"

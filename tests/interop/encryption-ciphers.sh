#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Every cipher, mode, IV generator and hash that qemu-img makes, both ways: what one program
# writes the other reads, and what info says is the same.

. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/encryption.bash"

head -c 40000 "$IMG" >data.raw
truncate -s 128k data.raw

# both OPTION...: an image of each program with those options (names without "encrypt.").
both() {
    local options=key-secret=s,iter-time=1 option
    for option; do
        options+=,$option
    done
    note "$*"
    img convert -f raw -O luks -o "$options" data.raw ours.luks
    holds luks ours.luks data.raw
    "$QEMU_IMG" info --output=json ours.luks | grep -v actual-size >theirs.json
    "$IMG" info --output=json ours.luks | grep -v actual-size >ours.json
    diff theirs.json ours.json >&2 || fail "info of $*"
}

# theirs OPTION...: and one that qemu-img makes.
theirs() {
    local options=key-secret=s,iter-time=10 option
    for option; do
        options+=,$option
    done
    quemu convert -f raw -O luks -o "$options" data.raw theirs.luks
    holds luks theirs.luks data.raw
}

# With 192 bits qemu-img makes images in mode xts only: in others an assertion of its own fails.
for alg in aes-128 aes-256 serpent-128 serpent-256 twofish-128 twofish-256; do
    both "cipher-alg=$alg" cipher-mode=xts ivgen-alg=plain64
    both "cipher-alg=$alg" cipher-mode=cbc ivgen-alg=essiv ivgen-hash-alg=sha256
done
for alg in aes-192 serpent-192 twofish-192; do
    both "cipher-alg=$alg" cipher-mode=xts ivgen-alg=plain
done
for alg in aes-256 serpent-256 cast5-128 twofish-128; do
    both "cipher-alg=$alg" cipher-mode=ecb ivgen-alg=plain
    both "cipher-alg=$alg" cipher-mode=cbc ivgen-alg=plain64
    both "cipher-alg=$alg" cipher-mode=ctr ivgen-alg=plain64
done
both cipher-alg=cast5-128 cipher-mode=cbc ivgen-alg=essiv ivgen-hash-alg=md5
for hash in md5 sha1 sha224 sha256 sha384 sha512 ripemd160; do
    both hash-alg=$hash
done
theirs
theirs cipher-alg=serpent-256
theirs cipher-alg=twofish-256 cipher-mode=cbc ivgen-alg=essiv hash-alg=sha512
theirs cipher-alg=cast5-128 cipher-mode=cbc hash-alg=sha1
theirs cipher-alg=aes-192 ivgen-alg=plain hash-alg=ripemd160

if command -v cryptsetup >/dev/null; then
    note "cryptsetup"
    img create -q -f luks -o key-secret=s,iter-time=10 ours.luks 1M
    cryptsetup luksDump ours.luks >dump.txt || fail "cryptsetup does not know our header"
    cryptsetup open --test-passphrase --key-file right.pw ours.luks || fail "cryptsetup: the key"
    truncate -s 8M theirs.luks
    cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations 1000 theirs.luks right.pw
    quemu convert --image-opts "$(opts luks theirs.luks)" -O raw theirs.raw
    img convert --image-opts "$(opts luks theirs.luks)" -O raw ours.raw
    same theirs.raw ours.raw
fi

note "what is no cipher"
expect_fail 1 "x.luks: Parameter 'cipher-alg' does not accept value 'foo'" \
    img create -q -f luks -o key-secret=s,cipher-alg=foo x.luks 1M
expect_fail 1 "x.luks: Algorithm '3des' not supported" \
    img create -q -f luks -o key-secret=s,cipher-alg=3des x.luks 1M
expect_fail 1 "x.luks: Unsupported cipher mode xts" \
    img create -q -f luks -o key-secret=s,cipher-alg=cast5-128 x.luks 1M
expect_fail 1 "x.luks: No AES cipher with key size 20 available" \
    img create -q -f luks -o key-secret=s,ivgen-alg=essiv,ivgen-hash-alg=sha1 x.luks 1M

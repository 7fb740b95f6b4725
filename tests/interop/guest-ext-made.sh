#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# ext2, ext3 and ext4 that mke2fs filled from a directory, which needs no
# privileges: what is in them is what was in the directory. Then filesystems
# that are not as they should be: what is said of them, and what is refused.

. "$(dirname "$0")/../lib.sh"
need mke2fs debugfs
list=$builddir/tests/tools/guest-list/guest-list

mkdir -p tree/few tree/many
printf 'hello\n' >$'tree/new\nline'
printf x >$'tree/not\xff\xfeutf8'
: >"tree/$(printf '%255s' '' | tr ' ' n)"
(cd tree/many && seq -f 'a-rather-long-file-name-%06g' 3000 | xargs touch)
for size in 1 60 61 150 4096 70000 3000000; do
    head -c "$size" /dev/urandom >"tree/random-$size"
done
for length in 5 59 60 61 150 1000; do
    ln -s "$(printf "%${length}s" '' | tr ' ' l)" "tree/link-$length"
done
truncate -s 20M tree/sparse
echo middle | dd of=tree/sparse bs=1 seek=12345678 conv=notrunc status=none
mkfifo tree/fifo
touch -d '2020-02-29 12:34:56' tree/few/old
chmod 2750 tree/few

# made NAME MKE2FS-OPTION...
made() {
    local name=$1
    shift
    truncate -s 64M "$name"
    mke2fs -q -F -d tree "$@" "$name" || fail "$name: cannot be made"
}

keys=mode,target,sha256
"$list" -k "$keys" -l tree | sed 1d >want
while read -r name options; do
    # shellcheck disable=SC2086 # several options
    made "$name" $options
    "$list" -k "$keys" "$name" | sed '1d; /^\/lost+found /d' >got
    # With inline data, mke2fs 1.47.0 makes another file of a sparse one.
    [ "$name" != inline ] || sed -i '/^\/sparse /d' got want
    cmp want got || { diff want got | head; fail "$name: not the same files"; }
    "$list" -k size,mtime -l tree | grep '^/few/old' >want.old
    "$list" -k size,mtime "$name" | grep '^/few/old' | cmp - want.old || fail "$name: times"
    note "$name: $(wc -l <got) files are the same"
done <<'END'
ext2 -t ext2
ext2-1k -t ext2 -b 1024 -I 128 -O ^filetype
ext3 -t ext3
ext4 -t ext4
ext4-2k -t ext4 -b 2048 -O ^metadata_csum,^64bit
bigalloc -t ext4 -O bigalloc -C 16384
inline -t ext4 -O inline_data -I 256
END

note "not clean"
cp ext4 dirty
debugfs -w -R 'feature needs_recovery' dirty >/dev/null 2>&1
"$list" dirty >dirty.list 2>dirty.err
grep -q 'journal has not been replayed' dirty.err || fail "nothing is said of the journal"
"$list" ext4 | cmp - dirty.list || fail "an unclean filesystem reads otherwise"
expect_fail 1 'journal has not been replayed' "$list" -u dirty

cp ext4 faulty
debugfs -w -R 'ssv state 2' faulty 2>/dev/null
"$list" faulty 2>faulty.err >/dev/null
grep -q 'marked as damaged' faulty.err || fail "nothing is said of the errors"
expect_fail 1 'marked as damaged' "$list" -u faulty

note "cut off"
truncate -s 50M short && dd if=ext4 of=short bs=1M count=50 conv=notrunc status=none
"$list" short >short.list 2>short.err || :
grep -q 'of which /dev/sda has only' short.err || fail "nothing is said of what is missing"
expect_fail 1 'larger than its volume' "$list" -u short

note "features that nobody knows"
cp ext4-2k unknown
poke unknown $((1024 + 0x60)) c2020082
expect_fail 1 'FEATURE_I25 FEATURE_I31' "$list" unknown

note "what is encrypted"
cp ext4-2k secret
debugfs -w secret >/dev/null 2>&1 <<'END'
feature encrypt
sif few flags 0x800
sif random-4096 flags 0x80800
sif link-1000 flags 0x80800
END
status=0
"$list" secret >secret.list 2>secret.err || status=$?
[ "$status" = 1 ] || fail "what is encrypted has been read"
for path in /few /random-4096 /link-1000; do
    grep -q "^$path: .*encrypted: Required key not available" secret.err || fail "$path: not refused"
done
[ "$(wc -l <secret.err)" = 3 ] || { cat secret.err; fail "more than that has been refused"; }

note "checksums"
made sums -t ext4
inode=$(debugfs -R 'stat random-70000' sums 2>/dev/null | sed -n 's/^Inode: *\([0-9]*\).*/\1/p')
place=$(debugfs -R 'imap random-70000' sums 2>/dev/null |
    sed -n 's/.*block \([0-9]*\), offset \(0x[0-9a-f]*\).*/\1 \2/p')
poke sums $((${place% *} * 1024 + ${place#* } + 8)) ffffffff
expect_fail 1 "inode $inode: " "$list" sums
grep -q '^/random-70000: stat: .*checksum' expect_fail.err || fail "another file is said to be damaged"
[ "$(wc -l <expect_fail.err)" = 1 ] || fail "more than that has been refused"

note "a directory that has a block twice"
made again -t ext2 -b 1024
block=$(debugfs -R 'bmap many 1' again 2>/dev/null)
debugfs -w -R "sif many block[2] $block" again 2>/dev/null
"$IMG" ls again /few >/dev/null || fail "another directory is refused"
expect_fail 1 "block $block is in the directory twice" "$IMG" ls again /many

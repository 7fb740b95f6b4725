#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# df of a filesystem whose groups say nonsense: an error, and no numbers of its own making.
. "$(dirname "$0")/../lib.sh"
need mke2fs debugfs openssl

garbage() {
    openssl enc -aes-128-ctr -nosalt -pass pass:descriptors </dev/zero 2>/dev/null | head -c 1024
}

for features in metadata_csum ^metadata_csum,^uninit_bg; do
    note "$features"
    rm -f disk.raw
    mke2fs -q -t ext4 -b 1024 -O "$features" disk.raw 20M
    "$IMG" df disk.raw >df.txt || fail "df: status $?"
    garbage | dd of=disk.raw bs=1024 seek=2 conv=notrunc status=none
    expect_fail 1 "group 0: " "$IMG" df disk.raw
done

note "what only the sum shows"
rm disk.raw
mke2fs -q -t ext4 -b 1024 -O ^metadata_csum,^uninit_bg disk.raw 20M
debugfs -w -R "set_bg 2 free_blocks_count 8192" disk.raw 2>/dev/null
debugfs -w -R "set_bg 1 free_blocks_count 8192" disk.raw 2>/dev/null
debugfs -w -R "set_bg 0 free_blocks_count 8192" disk.raw 2>/dev/null
"$IMG" df --csv disk.raw >df.txt
awk -F, 'NR == 2 && $4 > $2 { exit 1 }' df.txt || fail "more is free than there is: $(cat df.txt)"

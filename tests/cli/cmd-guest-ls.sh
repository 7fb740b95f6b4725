#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# img ls: names, long lines, virt-ls's lines, CSV, JSON, patterns, errors.

. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/guest.bash"
need mke2fs debugfs setfattr

awkward_tree tree
ext4_of tree disk.raw
nanoseconds tree disk.raw dir/numbers
"$IMG" convert -O qcow2 disk.raw disk.qcow2
export TZ=UTC

"$IMG" ls disk.qcow2 /dir >names.txt
(cd tree/dir && printf '%s\n' *) | sort >expected.txt
sort names.txt | diff - expected.txt || fail "the names in a directory"
[ "$("$IMG" ls disk.raw | tr '\n' ' ')" = "absolute dir empty etc loop lost+found many outside " ] ||
    fail "the root"
[ "$("$IMG" ls disk.raw /absolute)" = /absolute ] || fail "a file"
[ "$("$IMG" ls disk.raw many '/etc/*' | head -1)" = /many: ] || fail "no headings"

# -l, as ls has it.
"$IMG" ls -l disk.raw /dir/nothing /dir/sub/number-link /dir/pipe | tr -s ' ' >long.txt
grep -qx -- '-rwsr-xr-x 1 0 0 0 2021-02-03 04:05 /dir/nothing' long.txt || fail "-l of a file: $(cat long.txt)"
grep -q '^prw' long.txt || fail "-l of a pipe"
"$IMG" ls -l disk.raw /dir/sub | grep -q 'number-link -> \.\./numbers$' || fail "-l of a link"
"$IMG" ls -l disk.raw / | grep -q '^drwxrwxrwt .* empty$' || fail "-l of a sticky directory"
"$IMG" ls -lh disk.raw /dir | grep -q ' 9.0M .* sparse$' || fail "-lh"

# -R and -lR
"$IMG" ls -R disk.raw /dir/sub >recursive.txt
printf '%s\n' deep deep/hello.txt hard number-link relative | diff recursive.txt - || fail "-R"
"$IMG" ls -lR disk.raw /dir/sub >recursive.txt
grep -qx 'd 0755 *4096 /dir/sub' recursive.txt || fail "-lR has not the directory itself"
grep -qx -- '- 0600 *6 /dir/sub/deep/hello.txt' recursive.txt || fail "-lR of a file"
grep -qx 'l 0777 *10 /dir/sub/number-link -> ../numbers' recursive.txt || fail "-lR of a link"
sum=$(sha256sum <tree/dir/sub/deep/hello.txt | cut -d' ' -f1)
"$IMG" ls -lR --csv --uids --times --extra-stats --checksum=sha256 disk.raw /dir/sub >fields.txt
time='"2021-02-03 04:05:06"'
grep -Eqx -- "-,0600,6,0,0,\"[^,]*,$time,\"[^,]*,8:0,[0-9]+,1,0:0,8,$sum,/dir/sub/deep/hello.txt" fields.txt ||
    fail "the fields: $(grep hello fields.txt)"
md5=$(md5sum <tree/dir/sub/deep/hello.txt | cut -d' ' -f1)
"$IMG" ls -lR --checksum disk.raw /dir/sub | grep -q " $md5 /dir/sub/deep/hello.txt$" || fail "md5"
"$IMG" ls -lR --time-t --csv disk.raw /dir/sub/deep/hello.txt |
    grep -Eq '^-,0600,6,[0-9]+,1612325106,' || fail "--time-t"
expect_fail 1 "no such digest: nonsense" "$IMG" ls -lR --checksum=nonsense disk.raw /dir
"$IMG" ls -l --csv disk.raw /dir | grep -qF '"/dir/a file with blanks"' || fail "CSV is not quoted"

# JSON of names that are no text.
"$IMG" ls --output=json disk.raw /dir >ls.json
grep -qF '"path": "/dir/line\nfeed"' ls.json || fail "a line feed in JSON"
grep -qF '"path": "/dir/no \ufffd utf-8"' ls.json || fail "invalid UTF-8 in JSON"
grep -qF '"path": "/dir/escape\u001b[31m"' ls.json || fail "an escape in JSON"
grep -qF '"mtime": "2021-02-03T04:05:06.123456789Z"' ls.json || fail "nanoseconds in JSON"

# Patterns.
[ "$("$IMG" ls disk.raw '/many/file0[12]5' | tr '\n' ' ')" = "/many/file015 /many/file025 " ] ||
    fail "a pattern"
[ "$("$IMG" ls disk.raw '/d*/sub/d??p/*.txt')" = /dir/sub/deep/hello.txt ] || fail "a deep pattern"
[ "$("$IMG" ls disk.raw '/dir/star*')" = '/dir/star*' ] || fail "a name that looks like a pattern"
expect_fail 1 "nothing in the guest matches" "$IMG" ls disk.raw '/etc/*.none'
expect_fail 1 "/etc/*: No such file" "$IMG" ls --no-glob disk.raw '/etc/*'

# Errors are said, the rest is done.
expect_fail 1 "/nothing: No such file or directory" "$IMG" ls disk.raw /nothing /etc
grep -qx fstab expect_fail.out || fail "the second path was not listed"
expect_fail 1 "Too many levels of symbolic links" "$IMG" ls disk.raw /loop
expect_fail 1 "Not a directory" "$IMG" ls disk.raw /etc/fstab/x
expect_fail 1 "Expecting the name of an image" "$IMG" ls
expect_fail 1 "Could not open 'none.raw'" "$IMG" ls none.raw /
truncate -s 1M blank.raw
expect_fail 1 "blank.raw: no filesystem was found in it" "$IMG" ls blank.raw
expect_fail 1 '"code": "noent"' "$IMG" ls --output=json disk.raw /nothing

# On a terminal nothing acts on it.
if command -v script >/dev/null; then
    script -qec "$IMG ls disk.raw /dir" /dev/null >terminal.txt </dev/null
    ! grep -q $'\e' terminal.txt || fail "an escape sequence reached the terminal"
    grep -q 'escape?\[31m' terminal.txt || fail "a name is not shown on a terminal"
fi

# Errors name the image, of several the one that has the filesystem.
"$IMG" ls disk.qcow2 /nothing 2>error.txt && fail "no error"
[ "$(cat error.txt)" = "img: disk.qcow2: /nothing: No such file or directory" ] ||
    fail "an error says: $(cat error.txt)"
for command in ls cat find; do
    expect_fail 1 '"image": "disk.raw", "place": "/nothing"' \
        "$IMG" "$command" --output=json disk.raw /nothing
done
cp --sparse=always disk.raw second.raw
expect_fail 1 "img: second.raw: /empty/x: No such file" \
    "$IMG" ls -a disk.raw -a second.raw -m /dev/sda -m /dev/sdb:/empty /empty/x
expect_fail 1 "img: disk.raw: /etc/x: No such file" \
    "$IMG" ls -a disk.raw -a second.raw -m /dev/sda -m /dev/sdb:/empty /etc/x
expect_fail 1 "img: disk.qcow2: snapshot 'nix': " "$IMG" ls --snapshot=nix disk.qcow2 /
expect_fail 1 "img: disk.raw: snapshot 'nix': " "$IMG" ls --snapshot=nix disk.raw /

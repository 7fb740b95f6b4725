#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# img diff: each kind of difference, between two images, and between an image and its snapshots.

. "$(dirname "$0")/../lib.sh"
need mke2fs debugfs jq

# The same tree and the same times in both: debugfs then changes the second.
mkdir -p tree/etc tree/dir/sub tree/many
printf 'UUID=x / ext4 defaults 0 1\n' >tree/etc/fstab
for name in same changed gone mode owner touched content accessed; do
    echo "$name" >"tree/etc/$name"
done
echo below >tree/dir/sub/file
ln -s old tree/link
printf '\200 odd' >"tree/$(printf 'not\200utf8')"
for n in $(seq 300); do
    echo "$n" >"tree/many/$n"
done
truncate -s 12M a.img
mke2fs -q -F -t ext4 -O ^has_journal -d tree a.img
cp a.img b.img

# debug COMMANDS: change the second image.
debug() {
    debugfs -w -f - b.img >debugfs.out 2>&1 || fail "debugfs: $(cat debugfs.out)"
}

note "equal images"
[ -z "$("$IMG" diff a.img b.img)" ] || fail "a copy is not equal"
"$IMG" diff --exit-code a.img b.img || fail "equal images end with $?"

echo "longer than before" >longer
echo CONTENT >content
debug <<'END'
rm /etc/gone
rm /etc/changed
write longer /etc/changed
write content /etc/added
mkdir /newdir
write longer /newdir/in
rm /dir/sub/file
rmdir /dir/sub
rm /link
symlink /link elsewhere
sif /etc/mode mode 0100600
sif /etc/owner uid 1000
sif /etc/touched mtime @0x60000000
sif /etc/accessed atime @0x60000000
write content /many/x
rm /many/x
END
# Other bytes and the same size and times.
block=$(debugfs -R 'blocks /etc/content' b.img 2>/dev/null)
size=$(dumpe2fs -h b.img 2>/dev/null | sed -n 's/^Block size: *//p')
printf CONTENT | dd of=b.img bs=1 seek=$((block * size)) conv=notrunc status=none

# lines OPTION...: sign and path of each line.
lines() {
    "$IMG" diff "$@" a.img b.img | sed -n 's/^\([-+=]\) .* \(\/[^ ]*\)\( -> .*\)\{0,1\}$/\1 \2/p'
}
cat >want <<'END'
- /dir/sub
- /dir/sub/file
+ /etc/added
= /etc/changed
- /etc/gone
= /etc/mode
= /etc/owner
= /etc/touched
= /link
+ /newdir
+ /newdir/in
END

note "each kind of difference"
lines >got
diff -u want got >&2 || fail "these are not the differences"
# changed PATH: what has changed there.
changed() {
    "$IMG" diff "$@" a.img b.img | grep -A1 " $path\( \|$\)" | sed -n 's/^# changed: //p'
}
path=/etc/mode
[ "$(changed)" = st_mode ] || fail "of $path: $(changed)"
path=/etc/owner
[ "$(changed)" = st_uid ] || fail "of $path: $(changed)"
path=/etc/touched
[ "$(changed)" = st_mtime_sec ] || fail "of $path: $(changed)"
path=/link
[[ $(changed) == *checksum* ]] || fail "of $path: $(changed)"

note "content, digests, access times, directories"
path=/etc/content
[ "$(changed --content)" = checksum ] || fail "of $path: $(changed --content)"
[ "$(changed --checksum)" = checksum ] || fail "of $path: $(changed --checksum)"
"$IMG" diff --checksum=sha256 a.img b.img |
    grep -q "= - 0644 *8 $(printf 'CONTENT\n' | sha256sum | cut -d' ' -f1) /etc/content" ||
    fail "--checksum does not show the digest"
[ "$(lines --content | wc -l)" = $(($(wc -l <want) + 1)) ] || fail "--content finds something else"
lines --atime | grep -qx '= /etc/accessed' || fail "--atime finds nothing"
lines --dir-links | grep -qx '= /dir' || fail "--dir-links finds nothing"

note "columns"
"$IMG" diff --uids --csv a.img b.img | grep -qx '=,-,0644,6,1000,0,/etc/owner' || fail "no such CSV"
"$IMG" diff --csv a.img b.img | grep -qx '#,changed:,st_uid' || fail "no changes in CSV"
[ "$("$IMG" diff --times --time-t a.img b.img | awk '/added$/ { print NF }')" = 7 ] ||
    fail "--times does not show two times"
[ "$("$IMG" diff --times --atime --time-t a.img b.img | awk '/added$/ { print NF }')" = 8 ] ||
    fail "--times --atime does not show three"
"$IMG" diff --all --time-t a.img b.img | grep -q '^+ - .* /etc/added$' || fail "no line with --all"
"$IMG" diff -h a.img b.img | grep -q '^= - 0644  *19 /etc/changed$' || fail "no line with -h"

note "JSON"
"$IMG" diff --output=json a.img b.img >json
[ "$(jq -r '.[] | .change + " " + .path' json | sort)" = "$(sed 's/^-/removed/;s/^+/added/;s/^=/changed/' \
    want | sort)" ] || fail "the JSON has other files"
jq -e '.[] | select(.path == "/etc/mode") | .old.mode == "0644" and .new.mode == "0600" and
    .differs == ["st_mode"]' json >/dev/null || fail "the JSON has no old and new"

note "exit status"
status=0
"$IMG" diff --exit-code -q a.img b.img >out || status=$?
[ "$status" = 1 ] || fail "--exit-code: $status"
[ ! -s out ] || fail "--quiet prints something"
expect_fail 2 "No such file" "$IMG" diff --exit-code a.img nothing.img
expect_fail 1 "No such file" "$IMG" diff a.img nothing.img
expect_fail 1 "Expecting the name of an image" "$IMG" diff a.img

note "disks with -a and -A"
"$IMG" diff -a a.img -A b.img >got
"$IMG" diff a.img b.img | diff -u got - >&2 || fail "-a and -A are not the two operands"
[ -z "$("$IMG" diff -m /dev/sda -a a.img -A a.img)" ] || fail "an image is not equal to itself"

note "snapshots"
"$IMG" convert -O qcow2 a.img disk.qcow2
"$IMG" snapshot -c before disk.qcow2
cmp -l a.img b.img | awk -v size="$size" '{ print int(($1 - 1) / size) }' | uniq | while read -r number; do
    dd if=b.img of=block bs="$size" skip="$number" count=1 status=none
    "$IMG" io -c "write -q -s block $((number * size)) $size" disk.qcow2
done
"$IMG" snapshot -c after disk.qcow2
"$IMG" diff a.img b.img >want
"$IMG" diff --snapshot before disk.qcow2 | diff -u want - >&2 || fail "another difference to a snapshot"
"$IMG" diff --snapshot before --b-snapshot after disk.qcow2 | diff -u want - >&2 ||
    fail "another difference between snapshots"
[ -z "$("$IMG" diff --snapshot after disk.qcow2)" ] || fail "a new snapshot is not equal"

note "a directory that holds itself"
root=$(debugfs -R 'stat /dir' b.img 2>/dev/null | sed -n 's/^Inode: \([0-9]*\).*/\1/p')
cp b.img loop.img
debugfs -w -R "link <$root> /dir/self" loop.img >debugfs.out 2>&1
status=0
timeout 20 "$IMG" diff loop.img loop.img >out 2>err || status=$?
[ "$status" = 1 ] || fail "a loop ends with $status"
grep -q "in more than one place" err || fail "a loop goes unsaid"

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# img find: every test gives what find(1) gives in the tree that the guest was made of.

. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/guest.bash"
need mke2fs setfattr
export TZ=UTC

awkward_tree tree
touch -d '2022-01-01' tree/dir/numbers
touch -d '2 days ago' tree/many/file001
touch -d '1 hour ago' tree/many/file002
chown 1000:1001 tree/many/file003
ext4_of tree disk.raw

# like TEST...: both find the same.
like() {
    (cd tree && find . -mindepth 1 ${1+"("} "$@" ${1+")"} -print0) | sed -z 's|^\./|/|' | sort -z >expected.txt
    "$IMG" find -0 disk.raw / -mindepth 1 "$@" | grep -zv '^/lost+found$' | sort -z >found.txt || :
    cmp -s expected.txt found.txt || {
        diff <(tr '\0' '\n' <expected.txt) <(tr '\0' '\n' <found.txt) >&2 || :
        fail "find $*"
    }
    [ -s expected.txt ] || fail "the test of '$*' finds nothing"
}
like
like -name '*.txt'
like ! -name 'file*'
like -iname 'HELLO*'
like -type f
like -type d
like -type l,p
like -type f -size +10k
like -type f -size -2
like -type f -size 6c
like -type f -size 3M
like -type f -mtime -3
like -type f -mtime +100
like -mmin -120 -name 'file*'
like -newermt '2021-12-31 23:59:59'
like -not -newermt 2021-12-31
like -uid 1000
like -gid +1000
like -perm 600
like -perm -4000
like -perm /6000
like -links +1 -type f
like -empty ! -path '*/lost+found'
like -maxdepth 1
like -mindepth 2 -maxdepth 3 -name 'h*'

[ "$("$IMG" find disk.raw /dir -newer /dir/hole -type f | tr '\n' ' ')" = \
    "/dir/numbers /dir/sub/hard " ] || fail "-newer"
[ "$("$IMG" find disk.raw /dir -path '/dir/sub/*' -type f | tr '\n' ' ')" = \
    "/dir/sub/deep/hello.txt /dir/sub/hard " ] || fail "-path"
[ "$("$IMG" find disk.raw '/d*/sub' /etc -name 'h*' | tr '\n' ' ')" = \
    "/dir/sub/deep/hello.txt /dir/sub/hard " ] || fail "several paths"
[ "$("$IMG" find --print0 disk.raw /etc | tr '\0' '\n')" = \
    "$("$IMG" find disk.raw /etc -print0 | tr '\0' '\n')" ] || fail "--print0"
"$IMG" find --output=json disk.raw /dir -name hole | grep -qF '"size": 3145728' || fail "JSON"
expect_fail 1 "unknown test 'nonsense'" "$IMG" find disk.raw / -name x nonsense
expect_fail 1 "missing argument of '-name'" "$IMG" find disk.raw / -name
expect_fail 1 "invalid argument 'x' of -size" "$IMG" find disk.raw / -size x
expect_fail 1 "invalid argument '9' of -perm" "$IMG" find disk.raw / -perm 9
expect_fail 1 "missing behind '!'" "$IMG" find disk.raw / !
expect_fail 1 "/none: No such file" "$IMG" find disk.raw /none /etc -name fstab
grep -qx /etc/fstab expect_fail.out || fail "the second path was not searched"
grep -qx 'img: disk.raw: /none: No such file or directory' expect_fail.err ||
    fail "the image is not named: $(cat expect_fail.err)"

# More tests of find(1); ages are those that mke2fs gave the files.
like -ctime -1 -type f
like -mmin -120 -o -name 'hello*'
like -name '*.txt' -o -type p -a ! -name x -o -uid 1000
like -user 1000
expect_fail 1 "disk.raw: /etc/passwd: No such file" "$IMG" find disk.raw / -user nobody
printf 'root:x:0:0:root:/root:/bin/sh\nme:x:1000:7::/:\n' >tree/etc/passwd
printf 'us:x:1001:me\n' >tree/etc/group
ext4_of tree disk.raw
[ "$("$IMG" find disk.raw / -user me -group us)" = /many/file003 ] || fail "names of owners"
expect_fail 1 "/etc/group: there is no 'them' in it" "$IMG" find disk.raw / -group them

# What begins with a dash behind a path and is no test is no option either.
expect_fail 1 "unknown test '-fstype'" "$IMG" find disk.raw / -fstype ext4
expect_fail 1 "unknown test '-regex'" "$IMG" find disk.raw -regex x
expect_fail 1 "missing in front of '-a'" "$IMG" find disk.raw / -a -type f
expect_fail 1 "missing behind '-o'" "$IMG" find disk.raw / -type f -o
expect_fail 1 "cannot be combined with -o" "$IMG" find disk.raw / -type f -o -name x -print
[ "$("$IMG" find -a disk.raw -m /dev/sda /etc -q -name group)" = /etc/group ] || fail "options"

# Times that no other file has.
for kind in a c; do
    date=$(date -d '1000 days ago' +%Y%m%d%H%M%S)
    debugfs -w -R "set_inode_field /dir/sub/hard ${kind}time $date" disk.raw 2>debugfs.err ||
        fail "debugfs: $(cat debugfs.err)"
    [ "$("$IMG" find disk.raw /dir/sub -"${kind}time" +998 -"${kind}time" -1002)" = /dir/sub/hard ] ||
        fail "-${kind}time"
    [ "$("$IMG" find disk.raw /dir/sub -"${kind}min" +1438000 -"${kind}min" -1441000)" = /dir/sub/hard ] ||
        fail "-${kind}min"
done

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
    (cd tree && find . -mindepth 1 "$@" -print0) | sed -z 's|^\./|/|' | sort -z >expected.txt
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

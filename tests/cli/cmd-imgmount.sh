#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# imgmount's command line: what it takes and refuses, how it begins and ends, and
# that the manual tells of all options. What the files look like is for
# tests/interop/mount-files.sh.

. "$(dirname "$0")/../lib.sh"
need setfattr getfattr

IMGMOUNT=$builddir/fuse/imgmount
[ -x "$IMGMOUNT" ] || skip "imgmount was not built"

note "the manual and the help have the options that there are"
"$IMGMOUNT" --list-options | sed 's/=$//' | sort -u >listed
awk '/^\.Sh DESCRIPTION/ {on = 1} /^\.Sh MOUNT/ {on = 0} on && /^\.It/' "$srcdir/fuse/imgmount.1" |
    grep -oE 'Fl -?[A-Za-z-]+|, -[a-z-]+' | sed 's/^Fl /-/; s/^, -/--/' | sort -u >documented
diff -u listed documented >&2 || fail "--list-options and the manual differ"
"$IMGMOUNT" --help >help
while read -r option; do
    grep -qF -e "$option" help || [ "$option" = --no-fork ] || fail "--help lacks $option"
done <listed
"$IMGMOUNT" --version | grep -q '^imgmount [0-9]' || fail "--version"
PATH=$builddir/fuse:$PATH "$IMG" mount --list-options | diff - <("$IMGMOUNT" --list-options) ||
    fail "img mount"

note "command lines that make no sense"
mkdir dir
trap 'fusermount3 -uqz "$test_dir/dir" 2>/dev/null || :; rm -rf "$test_dir"' EXIT
touch file
mkdir root
echo text >root/plain
mke2fs -q -t ext4 -d root fs.img 4M
bad() {
    expect_fail 1 "$1" "$IMGMOUNT" "${@:2}"
}
bad "expecting an image and a directory"
bad "expecting an image and a directory" fs.img
bad "expecting one directory" -a fs.img fs.img dir
bad "unrecognized option --nonsense" --nonsense fs.img dir
bad "missing argument for option --log" fs.img dir --log
bad "invalid uid: 'me'" --uid me fs.img dir
bad "invalid umask: '9'" --umask 9 fs.img dir
bad "invalid idle timeout: '-1'" --idle-timeout=-1 fs.img dir
bad "unknown mount option 'nonsense'" -o ro,nonsense fs.img dir
bad "wrong use of mount option 'snapshot'" -o snapshot fs.img dir
bad "wrong use of mount option 'inspector'" -o inspector=1 fs.img dir
bad "-m cannot be combined with -i" -i -m /dev/sda fs.img dir
bad "--rw needs --blocks" -w fs.img dir
bad "only secrets are supported" --object iothread,id=x fs.img dir

note "what is not there, or not what it should be"
bad "none: No such file or directory" fs.img none
bad "file: not a directory" fs.img file
bad "Could not open 'none.img'" none.img dir
bad "none/log" --log none/log fs.img dir
bad "No such file or directory" --pid-file none/pid fs.img dir
bad "snapshot 'x'" --snapshot x fs.img dir
truncate -s 1M empty.img
bad "no filesystem was found" empty.img dir
bad "/dev/sdq" -m /dev/sdq fs.img dir
bad "no operating system" -i fs.img dir
truncate -s 0 file
"$QEMU_IMG" create -q -f qcow2 -b fs.img -F raw overlay.qcow2
bad "overlay.qcow2" --untrusted overlay.qcow2 dir
IMG_UNTRUSTED=1 bad "overlay.qcow2" overlay.qcow2 dir
expect_fail 1 "nothing is mounted there" "$IMG" umount dir
expect_fail 1 "Expecting one directory" "$IMG" umount

need_fuse

# is_mounted: whether the directory shows the filesystem.
is_mounted() {
    grep -q " $test_dir/dir fuse.imgmount " /proc/mounts
}

# gone PID: the process must end soon.
gone() {
    local n
    for n in {1..200}; do
        # A process that nobody has waited for yet has ended all the same.
        grep -q '^State:[[:blank:]]*[^Z]' "/proc/$1/status" 2>/dev/null || return 0
        sleep 0.05
    done
    fail "process $1 is still there: $2 ($n)"
}

note "the command returns when the directory shows the files, and umount ends it"
imgmount --pid-file pid overlay.qcow2 dir
is_mounted || fail "not mounted"
[ "$(cat dir/plain)" = text ] || fail "dir/plain"
pid=$(cat pid)
bad "already mounted there" fs.img dir
"$IMG" umount dir
gone "$pid" "after umount"
is_mounted && fail "still mounted"

note "by signals, also while a file is open"
for signal in TERM INT HUP; do
    imgmount --pid-file pid fs.img dir
    exec 5<dir/plain
    kill -$signal "$(cat pid)"
    gone "$(cat pid)" "after $signal"
    exec 5<&-
    is_mounted && fail "still mounted after $signal"
done

note "in the foreground"
imgmount --foreground -v fs.img dir 2>foreground.err &
until is_mounted; do sleep 0.05; done
kill -TERM $!
wait $! || fail "ended with $?: $(cat foreground.err)"
grep -q 'ended by a signal' foreground.err || fail "it did not say so"

note "a directory in use is not unmounted, unless lazily"
imgmount --pid-file pid fs.img dir
exec 5<dir/plain
expect_fail 1 "busy" "$IMG" umount dir
is_mounted || fail "unmounted while in use"
"$IMG" umount --lazy dir
is_mounted && fail "still mounted"
grep -q text <&5 || fail "the open file cannot be read"
exec 5<&-
gone "$(cat pid)" "after the last file was closed"

note "idle, but not with an open file"
imgmount --idle-timeout 1 --pid-file pid --log log -v fs.img dir
exec 5<dir/plain
sleep 3
is_mounted || fail "unmounted while in use"
exec 5<&-
gone "$(cat pid)" "it was idle"
is_mounted && fail "still mounted"
grep -q 'nobody used it' log || fail "the log does not say so: $(cat log)"

note "what stands in -o"
imgmount -o "m=/dev/sda:/,uid=1234,gid=77,umask=027,noexec,fsname=a\\,b,idle_timeout=600" fs.img dir
[ "$(stat -c '%u %g %a' dir/plain)" = "1234 77 640" ] || fail "$(stat -c '%u %g %a' dir/plain)"
line=$(grep " $test_dir/dir " /proc/mounts)
[[ $line == "a,b "* ]] || fail "fsname: $line"
for option in ro nodev nosuid noexec; do
    [[ ,${line#* fuse.imgmount }, == *[,\ ]"$option"[,\ ]* ]] || fail "$option: $line"
done
expect_fail 1 "Read-only file system" touch dir/new
"$IMG" umount dir

note "as fstab says it"
if [ "$(id -u)" = 0 ] && command -v mount.fuse3 >/dev/null && unshare -m true; then
    # mount(8) looks for programs where the system has them; nobody else sees this one there.
    cat >fstab.sh <<'END'
set -e
mount -t tmpfs none /usr/local/bin
cp "$IMGMOUNT" /usr/local/bin/imgmount
mount -t fuse.imgmount "$PWD/fs.img" dir -o allow_other,m=/dev/sda,nofail,x-systemd.automount
grep -x text dir/plain
umount dir
echo "$PWD/fs.img $PWD/dir fuse.imgmount umask=077,noauto 0 0" >fstab
mount -T fstab dir
stat -c %a dir/plain
umount dir
mount -t fuse "imgmount#$PWD/fs.img" dir
umount dir
mount -t fuse.imgmount "$PWD/fs.img" dir -o nonsense
END
    expect_fail 1 "unknown mount option 'nonsense'" unshare -m bash fstab.sh
    printf 'text\n600\n' | diff - expect_fail.out || fail "fstab"
fi

note "img mount"
PATH=$builddir/fuse:$PATH "$IMG" mount fs.img dir
[ "$(cat dir/plain)" = text ] || fail "dir/plain"
"$IMG" umount dir

note "without being root"
if [ "$(id -u)" = 0 ] && command -v runuser >/dev/null && [ -u "$(command -v fusermount3)" ]; then
    chmod 755 . && chmod 644 fs.img && mkdir home && chown nobody home
    echo secret >root/secret && chmod 600 root/secret && mke2fs -q -F -t ext4 -d root fs.img 4M
    as_nobody() { runuser -u nobody -- "$@"; }
    cp "$IMGMOUNT" "$IMG" home && chmod 755 home/imgmount home/img
    as_nobody mkdir home/dir
    as_nobody home/imgmount fs.img home/dir
    [ "$(as_nobody cat home/dir/secret)" = secret ] || fail "his own image"
    cat home/dir/plain 2>/dev/null && fail "root sees it"
    as_nobody home/img umount home/dir
    as_nobody home/imgmount -o default_permissions fs.img home/dir
    as_nobody cat home/dir/secret 2>/dev/null && fail "the permissions do not count"
    as_nobody home/img umount home/dir
fi

# SPDX-License-Identifier: BSD-2-Clause
#
# Guests for tests, made of directories. Sourced after lib.sh.

# awkward_tree DIR: files whose names, sizes and kinds are a test.
awkward_tree() {
    local dir=$1 long
    mkdir -p "$dir/etc" "$dir/dir/sub/deep" "$dir/empty" "$dir/many"
    printf 'NAME=Test\nVERSION_ID=1\n' >"$dir/etc/os-release"
    : >"$dir/etc/fstab"
    seq 100000 >"$dir/dir/numbers"
    : >"$dir/dir/nothing"
    printf 'hello\n' >"$dir/dir/sub/deep/hello.txt"
    printf 'x\n' >"$dir/dir/a file with blanks"
    printf 'x\n' >"$dir/dir/"$'line\nfeed'
    printf 'x\n' >"$dir/dir/"$'escape\e[31m'
    printf 'x\n' >"$dir/dir/"$'no \xff utf-8'
    printf 'x\n' >"$dir/dir/star*"
    long=$(printf 'n%.0s' {1..255})
    printf 'long\n' >"$dir/dir/$long"
    ln -s "/dir/numbers" "$dir/absolute"
    ln -s "../../numbers" "$dir/dir/sub/relative" # does not exist
    ln -s "../numbers" "$dir/dir/sub/number-link"
    ln -s "loop" "$dir/loop"
    ln -s "../../../../../../../../../../etc/os-release" "$dir/outside"
    ln -s "$(printf 'd/%.0s' {1..200})end" "$dir/dir/long-link"
    ln "$dir/dir/numbers" "$dir/dir/sub/hard"
    truncate -s 3M "$dir/dir/hole"
    truncate -s 9M "$dir/dir/sparse"
    printf 'begin' | dd of="$dir/dir/sparse" conv=notrunc status=none
    printf 'middle' | dd of="$dir/dir/sparse" bs=1 seek=5000000 conv=notrunc status=none
    mkfifo "$dir/dir/pipe"
    chmod 4755 "$dir/dir/nothing"
    chmod 600 "$dir/dir/sub/deep/hello.txt"
    chmod 1777 "$dir/empty"
    seq -f "$dir/many/file%03g" 300 | xargs touch
    setfattr -n user.comment -v 'a value' "$dir/dir/numbers" 2>/dev/null || :
    find "$dir" -depth -exec touch -h -d '2021-02-03 04:05:06Z' {} +
}

# nanoseconds DIR IMAGE FILE: give a file of both a fraction of a second, which mke2fs does not copy.
nanoseconds() {
    touch -d '2021-02-03 04:05:06.123456789Z' "$1/$3"
    debugfs -w -R "set_inode_field /$3 mtime_extra $((123456789 << 2))" "$2" 2>/dev/null
}

# ext4_of DIR IMAGE [OPTION]...: a raw image with an ext4 filesystem of what is in DIR.
ext4_of() {
    local dir=$1 image=$2
    shift 2
    rm -f "$image"
    mke2fs -q -F -t ext4 -b 4096 -d "$dir" "$@" "$image" 64M 2>mke2fs.err || {
        cat mke2fs.err >&2
        fail "mke2fs failed"
    }
}

# manifest DIR: a line a file with all that is to be the same in a copy. The sizes of
# directories, and the top one, are not.
manifest() (
    cd "$1"
    find . ! -name lost+found ! -type d -printf '%y %m %U %G %s %n %T@ %p -> %l\0' | sort -z |
        tr '\n\0' '?\n'
    find . ! -name lost+found -mindepth 1 -type d -printf '%y %m %U %G %T@ %p\0' | sort -z |
        tr '\n\0' '?\n'
    find . -type f -print0 | sort -z | xargs -0r sha256sum --
    find . ! -name lost+found -mindepth 1 -print0 | sort -z |
        xargs -0r getfattr -h -d -m - --absolute-names -- 2>/dev/null
)

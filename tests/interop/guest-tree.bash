# SPDX-License-Identifier: BSD-2-Clause
# Files that every filesystem of Windows and of discs can hold, for the tests of guests.

guest_list() {
    "$builddir/tests/tools/guest-list/guest-list" "$@"
}

# Sizes and times of directories are each filesystem's own.
without_directories() {
    awk '/ sha256=/' | sort
}

# make_tree DIRECTORY
make_tree() {
    local d=$1 n
    mkdir -p "$d/dir/sub/deep/er" "$d/long name with spaces and ünïcödé 文字" "$d/big"
    for n in $(seq 1 700); do
        echo "$n" >"$d/big/file number $n.txt"
    done
    : >"$d/empty"
    for n in HELLO.TXT MiXed.TxT lower.txt grüße "$(printf 'n%.0s' $(seq 180)).txt"; do
        echo "$n" >"$d/$n"
    done
    head -c 3000000 /dev/urandom >"$d/dir/random.bin"
    head -c 100000 /dev/urandom >"$d/dir/sub/b.bin"
    n=$d/dir
    for _ in $(seq 1 15); do
        n=$n/level
        mkdir "$n"
        echo deeper >"$n/file"
    done
    find "$d" -exec touch -d '2021-03-04 05:06:08 UTC' {} +
}

# fragments DIRECTORY: two files that grow in turns
fragments() {
    local n
    for n in $(seq 1 200); do
        printf "%05000d" "$n" >>"$1/fragments1"
        printf "%07000d" "$n" >>"$1/fragments2"
    done
}

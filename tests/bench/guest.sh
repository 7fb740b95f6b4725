#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Rows of the speed table about what is inside a disk, against libguestfs's tools, which boot a
# machine for each of their answers: they run once. Sourced by run.

# shellcheck disable=SC2154 # what run has set
MNT=$builddir/fuse/imgmount
: "${LIBGUESTFS_BACKEND_SETTINGS:=force_tcg}"
export LIBGUESTFS_BACKEND_SETTINGS

# The peers of these rows, all or none of which make sense.
inside_needs() {
    local program
    for program in virt-ls virt-cat virt-df guestmount guestunmount virt-sparsify \
        qemu-storage-daemon fusermount3 debugfs; do
        command -v "$program" >/dev/null ||
            fail "$program is not installed: apt-get install guestfs-tools guestmount" \
                "linux-image-amd64 qemu-system-common fuse3 e2fsprogs"
    done
    [ -x "$MNT" ] || fail "imgmount is not built: apt-get install libfuse3-dev, and configure again"
}

# once COMMAND...: sets `once` to its seconds.
once() {
    rm -f "$data/run.once"
    timed run.once "$@"
    once=$(calc "$(median "$data/run.once" 1)")
}

# answer JOB OURS THEIRS: within 50 ms, and 100 times faster.
answer() {
    wanted "$1" || return 0
    # shellcheck disable=SC2086 # plain words
    once $3
    measure "$RUNS" "$2"
    row "$1" "${t[0]} s" "$once s" "< 0.05 s, 100 times faster" \
        "${t[0]} < 0.05 && 100 * ${t[0]} <= $once"
}

# Nothing is mounted, and everybody who was mounted has ended.
unmount_all() {
    local dir
    for dir in files blocks; do
        fusermount3 -u -q $dir || true
    done
    umount -q kernel || true
    # It tries for half a minute where nothing is mounted.
    ! mountpoint -q theirs || guestunmount -q theirs
    if [ -n "${daemon:-}" ]; then
        kill "$daemon"
        wait "$daemon" || true
        daemon=
    fi
}

mount_ready() {
    wanted "imgmount, until it is ready" || return 0
    before=unmount_all
    once guestmount --ro -a guest.qcow2 -i theirs
    measure "$RUNS" "$MNT guest.qcow2 files"
    unmount_all
    before=true
    row "imgmount, until it is ready" "${t[0]} s" "$once s" "< 0.1 s" "${t[0]} < 0.1"
}

# Mounted anew, nothing of it is cached but the image.
remount_files() {
    unmount_all
    "$MNT" guest.raw files
    mount -o ro,loop,noload,offset="$root_offset" guest.raw kernel
}

# All files, through imgmount and through the kernel.
read_files() {
    wanted "all files, imgmount" || return 0
    [ "$(id -u)" = 0 ] || fail "only root can mount a filesystem to compare with"
    cat >"$data/read_all" <<'SCRIPT'
#!/bin/sh
find "$1" -xdev -type f -print0 | xargs -0 cat >/dev/null
SCRIPT
    chmod +x "$data/read_all"
    root_offset=$(sfdisk -J guest.raw | awk -F'[:,]' '/"start"/ { n = $2 } END { print n * 512 }')
    before=remount_files
    measure "$RUNS" "$data/read_all files" "$data/read_all kernel"
    unmount_all
    before=true
    row "all files, imgmount (kernel's own)" "${t[0]} s" "${t[1]} s" "half the speed" \
        "${t[0]} <= 2 * ${t[1]}"
}

remount_blocks() {
    unmount_all
    "$MNT" --blocks guest.qcow2 blocks
    : >>peer
    qemu-storage-daemon --blockdev \
        driver=qcow2,node-name=disk,read-only=on,file.driver=file,file.filename=guest.qcow2 \
        --export type=fuse,id=export,node-name=disk,mountpoint=peer &
    daemon=$!
    until [ -s peer ]; do sleep 0.05; done
}

read_blocks() {
    wanted "the disk, imgmount --blocks" || return 0
    before=remount_blocks
    measure "$RUNS" "dd if=blocks/disk of=/dev/null bs=1M count=2048" \
        "dd if=peer of=/dev/null bs=1M count=2048"
    unmount_all
    before=true
    row "the disk, imgmount --blocks (qemu-storage-daemon)" "${t[0]} s" "${t[1]} s" \
        "no slower" "${t[0]} <= ${t[1]}"
}

# The guest, after 200 MB of files in it were deleted.
make_deleted() {
    local offset
    offset=$(sfdisk -J guest.raw | awk -F'[:,]' '/"start"/ { n = $2 } END { print n * 512 }')
    cp --sparse=always --reflink=auto guest.raw deleted.raw
    head -c 200M /dev/urandom >large
    debugfs -w -R "write large large" "deleted.raw?offset=$offset" 2>/dev/null >&2
    debugfs -w -R "rm large" "deleted.raw?offset=$offset" 2>/dev/null >&2
    rm -f large deleted.qcow2
    "$QEMU_IMG" convert -O qcow2 deleted.raw deleted.qcow2
    rm deleted.raw
}

sparsify_deleted() {
    wanted "sparsify, 200 MB deleted inside" || return 0
    make_deleted
    rm -f theirs.qcow2
    once virt-sparsify -q deleted.qcow2 theirs.qcow2
    measure "$RUNS" "$IMG sparsify deleted.qcow2 out"
    local size
    size=$(stat -c %s theirs.qcow2)
    row "sparsify, 200 MB deleted inside" "${t[0]} s, ${s[0]} bytes" "$once s, $size bytes" \
        "20 times faster, no larger" "20 * ${t[0]} <= $once && ${s[0]} <= $size"
    rm -f theirs.qcow2 deleted.qcow2
}

inside() {
    inside_needs
    mkdir -p files blocks kernel theirs
    trap 'unmount_all; rm -rf "$test_dir"' EXIT
    answer "ls /" "$IMG ls guest.qcow2 /" "virt-ls -a guest.qcow2 /"
    answer "cat /etc/os-release" "$IMG cat guest.qcow2 /etc/os-release" \
        "virt-cat -a guest.qcow2 /etc/os-release"
    answer "df" "$IMG df guest.qcow2" "virt-df -a guest.qcow2"
    mount_ready
    read_files
    read_blocks
    sparsify_deleted
    rmdir files blocks kernel theirs
    rm -f peer
}

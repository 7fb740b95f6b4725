#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What the tests of encryption share: two passphrases in files, and images of qemu-img.

need "$QEMU_IMG" "$QEMU_IO"
printf 'open sesame' >right.pw
printf 'open sesam' >wrong.pw
secrets=(--object "secret,id=s,file=right.pw" --object "secret,id=w,file=wrong.pw")
luks=encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10

# quemu COMMAND ARG...: qemu-img with the secrets. It measures processor time for iter-time, and
# fails when a short while was not long enough.
quemu() {
    local command=$1 n
    shift
    for n in {1..40}; do
        if "$QEMU_IMG" "$command" "${secrets[@]}" "$@" 2>quemu.err; then
            return 0
        fi
        grep -qE 'accurate CPU usage|QEMU_IS_ALIGNED' quemu.err || break
    done
    cat quemu.err >&2
    return 1
}

# img COMMAND ARG...: ours.
img() {
    local command=$1
    shift
    "$IMG" "$command" "${secrets[@]}" "$@"
}

# opts FORMAT FILE: what --image-opts says of a test's image.
opts() {
    case $1 in
    luks) echo "driver=luks,file.filename=$2,key-secret=s" ;;
    raw) echo "driver=raw,file.filename=$2" ;;
    plain) echo "driver=qcow2,file.filename=$2" ;;
    *) echo "driver=qcow2,file.filename=$2,encrypt.key-secret=s" ;;
    esac
}

# holds FORMAT FILE RAW: both programs read from the image what the raw file holds.
holds() {
    quemu compare -q --image-opts "$(opts "$1" "$2")" "$(opts raw "$3")" ||
        fail "$2: qemu-img finds a difference"
    img compare -q --image-opts "$(opts "$1" "$2")" "$(opts raw "$3")" ||
        fail "$2: img finds a difference"
}

# sound FILE: an encrypted qcow2 image is in order.
sound() {
    quemu check -q --image-opts "$(opts qcow2 "$1")" || fail "$1: qemu-img check"
    "$IMG" check -q "$1" || fail "$1: img check"
}

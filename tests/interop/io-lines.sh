#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# "img io" next to qemu-io: the same lines but for the rates, the same exit status, and the same
# disk afterwards.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"
mkdir ours theirs
cases=0 bad=0

for side in ours theirs; do
    (
        cd $side
        seq 200000 | head -c 1M >data.raw
        "$QEMU_IMG" create -q -f qcow2 a.qcow2 1M
        "$QEMU_IMG" create -q -f qcow2 -b data.raw -F raw over.qcow2 2M
        "$QEMU_IMG" create -q -f vmdk a.vmdk 1M
        truncate -s 1M a.raw
    )
done

# Without what differs from run to run, the program's name, and the letters in a command's usage.
plain() {
    sed -E 's,^([0-9.]+ [A-Za-z]+\, 1 ops); .*,\1; RATE,; s/,[0-9]+:[0-9:.]+,[0-9.]+,[0-9.]+$/,TIME/;
        s/^(qemu-io|img): //; / -- /s/ \[-[A-Za-z]+\]//; /^WARNING|^ {9}|warning:/d' "$1"
}

differ() {
    bad=$((bad + 1))
    echo "DIFFERENT: img io $1" >&2
}

# twins ARGS...: by both; stdout and stderr are looked at by themselves.
twins() {
    local status=0 wanted=0
    cases=$((cases + 1))
    (cd ours && "$IMG" io "$@") >ours.out 2>ours.err </dev/null || status=$?
    (cd theirs && "$QEMU_IO" "$@") >theirs.out 2>theirs.err </dev/null || wanted=$?
    diff -u <(plain theirs.out) <(plain ours.out) >&2 || differ "$*"
    diff -u <(plain theirs.err) <(plain ours.err) >&2 || differ "$* (stderr)"
    [ $status = $wanted ] || differ "$*: status $status, not $wanted"
}

# each COMMAND...: on an image of its own run of the program.
each() {
    local command
    for command; do
        twins -c "$command" a.qcow2
    done
}

each 'write -P 0xa 0 64k' 'read -P 0xa 0 64k' 'read -P 0xb 0 64k' 'read -v 0 64' 'read -v 5 21' \
    'read -P 0xa -s 512 -l 1k 0 2k' 'read -P 10 -s 512 0 2k' 'read -q 0 512' 'read -C 0 512' \
    'read 100 100' 'r 0 512' 'read 0 0' 'read 0 1.5k'
each 'read 1M 512' 'read 1M' 'read x 512' 'read 0 x' 'read' 'read -z 0 512' 'read 0 512 512' \
    'read -P x 0 512' 'read -P 256 0 512' 'read -s 5 0 512' 'read -P 1 -s 1k 0 512' \
    'read -P 1 -l 1k 0 512' 'nonsense'
each 'write -z 0 64k' 'write -z -u 64k 64k' 'write -z -P 3 64k 64k' 'write -u 64k 64k' \
    'write -n 0 512' 'write -P 300 64k 64k' 'write -f -P 1 64k 64k' 'write 128k 1000' \
    'write -q 128k 512' 'write -C 128k 512' 'write 512k' 'write 0 3G' 'write 2M 512' 'w 0 512' \
    'write -s data.raw 256k 64k' 'write -z -q 0 512' 'write -z 3 700'
each 'write -c -P 3 512k 64k' 'write -c -P 3 640k 32k' 'write -c -P 3 1k 64k' 'write -zc 768k 64k'
each 'writev -P 7 0 512 1k' 'readv -P 7 0 512 1k' 'readv -v 0 32' 'writev 0' 'readv 0 512 x'
each 'discard 0 64k' 'discard -q 0 64k' 'discard 0' 'discard 1M 64k' 'discard x 1' 'discard 0 3G'
each flush f length l map 'alloc 0 1M' 'alloc 0' 'alloc 64k 128k' 'alloc 512' 'alloc 0 2M' alloc \
    'alloc x' 'alloc 5M' 'sleep 1' sleep 'sleep x' 'help nonsense' quit q close c aio_flush
twins -c 'aio_write -P 8 0 1k' -c aio_flush a.qcow2
twins -c 'aio_read -P 8 0 1k' -c aio_flush a.qcow2
twins -c length -c quit -c length a.qcow2
twins -c nonsense -c length a.qcow2
twins -c close -c 'read 0 512' a.qcow2
twins -c close -c 'open a.qcow2' -c 'read 0 512' a.qcow2
twins -c 'open a.qcow2' a.qcow2
twins -c 'open -r a.qcow2' -c 'write 0 512'
twins -c 'open -r a.qcow2' -c 'discard 0 64k' -c 'write -z 0 512' -c flush
twins -c 'open missing'
twins -c open
twins -c 'read 0 512'
twins -r -c 'write 0 512' a.qcow2
twins -c length missing
twins -f raw -c length a.raw
twins -f nonsense -c length a.qcow2
twins -f qcow2 -c length a.raw
twins -n -c 'write 0 512' a.qcow2
twins -t none -c 'write 0 512' a.qcow2
twins -t nonsense -c 'write 0 512' a.qcow2
twins -U -c 'read 0 512' a.qcow2
twins -r -U -c 'read 0 512' a.qcow2
twins -d nonsense -c length a.qcow2
twins -c map -c 'write 64k 64k' -c map -c 'alloc 0 256k' over.qcow2
twins -d ignore -c 'write -P 5 1M 128k' -c 'discard 1M 64k' -c 'write -z -u 1088k 64k' -c map over.qcow2
twins -d unmap -c 'write -z -u 64k 64k' -c 'discard 128k 64k' -c map over.qcow2
twins -f raw -c 'write -P 1 64k 64k' -c 'write -z 64k 4k' -c 'write -z -u 68k 4k' a.raw
twins -f vmdk -c 'write -P 1 64k 64k' -c 'write -z 64k 4k' -c map a.vmdk

note "lines of standard input"
printf 'read 0 512\n\nlength\nread 0 1\nquit\nlength\n' >lines
"$IMG" io -r ours/a.qcow2 <lines >ours.out || fail "lines of standard input"
[ "$(grep -c '^1 MiB' ours.out)" = 1 ] || fail "quit does not end it"
printf 'nonsense\nlength\n' >lines
expect_fail 1 'command "nonsense" not found' "$IMG" io -r ours/a.qcow2 <lines

note "opening"
twins -c info a.qcow2
twins -c info over.qcow2
twins -f raw -c info a.raw
twins -c 'info x' a.qcow2
twins -f raw -c 'reopen -r' -c 'write 0 512' -c 'reopen -w' -c 'write 0 512' a.raw
twins -f raw -c 'reopen -r -w' -c 'reopen -c nonsense' -c 'reopen -c none' -c 'reopen x' \
    -c 'reopen -Z' -c length a.raw
twins -c reopen
twins -c 'open -o driver=qcow2,file.filename=a.qcow2' -c length
twins -c 'open -o cache-size=1M a.qcow2' -c length -c close -c 'open -r a.qcow2' -c 'write 0 512' \
    -c 'reopen -w' -c 'write -P 4 0 512'
twins -c 'open -n -o driver=raw a.raw' -c 'read -v 0 16'
twins -c 'open -o driver=raw,offset=512,size=1k a.raw' -c length -c 'write -P 3 0 1k' \
    -c 'write 512 1k'
twins -c 'open'
twins -c 'open x'
twins -c 'open a.qcow2 a.raw'
twins --image-opts -c 'open driver=raw,file.filename=a.raw' -c length
twins --image-opts driver=qcow2,file.filename=a.qcow2 -c length
twins --image-opts driver=qcow2,file.filename=a.qcow2,discard=unmap,detect-zeroes=unmap \
    -c 'write -P 9 256k 64k' -c 'write -P 0 256k 64k' -c map
twins --image-opts -f qcow2 driver=qcow2,file.filename=a.qcow2 -c length
twins --object secret -c length a.qcow2
twins --object secret,id=s,data=x -c length a.qcow2
twins -i threads -c 'read 0 512' a.qcow2
twins -i nonsense -c 'read 0 512' a.qcow2
twins -m -c 'read 0 512' -c 'write -P 1 0 512' a.qcow2
twins -n -k -c 'read 0 512' a.qcow2
twins -s -c 'write -P 5 0 512' -c 'read -P 5 0 512' a.qcow2
twins -c 'read -P 1 0 512' a.qcow2
twins -s -c 'write -P 5 1M 512' -c 'read -P 5 1M 512' over.qcow2
twins -r -s -c 'write -P 5 0 512' a.qcow2
twins -c 'open -s a.qcow2' -c 'write -P 6 0 64k' -c 'read -P 6 0 64k'
window=driver=raw,offset=64k,size=128k,file.filename=a.raw
twins --image-opts -s -c 'read -v 8k 512' -c 'write -P 6 0 64k' -c 'read -P 6 0 64k' -c length $window
twins -s -c 'read -v 8k 512' -c 'write -P 6 0 64k' -c 'read -P 6 0 64k' -c length \
    'json:{"driver": "raw", "offset": 65536, "size": 131072, "file": {"filename": "a.raw"}}'
twins --image-opts -s -r -c 'read -v 8k 512' -c 'write -P 6 0 64k' $window
twins -c 'open -s -o driver=raw,offset=64k a.raw' -c 'read -v 8k 512' -c 'write -P 6 0 64k' -c length
twins --image-opts -c "open -s $window" -c 'read -v 8k 512' -c 'write -P 6 0 64k' -c length
twins -s -U -f raw -c 'read -v 72k 512' -c 'write -P 6 0 64k' a.raw
twins --image-opts -s -c 'read -v 72k 512' -c 'write -P 6 0 64k' \
    driver=qcow2,file.filename=over.qcow2,backing.driver=raw,backing.file.filename=a.raw
twins -c 'truncate -m full 2M' -c 'truncate -m nonsense 3M' -c length a.qcow2
twins -c 'truncate -Z 5' a.qcow2
twins -c 'truncate' a.qcow2
twins -c 'write -f -P 4 0 64k' -c 'write -z -n 64k 64k' -c 'write -z -u -n 64k 64k' a.qcow2
twins -c 'write -n 0 64k' a.qcow2
twins -c 'truncate x' a.qcow2
twins -r -c 'truncate 2M' a.qcow2
twins -c 'write -P 7 0 512' -c 'sigraise 15' a.qcow2
twins -c 'sigraise x' a.qcow2
mkdir tmp
TMPDIR=$PWD/tmp "$IMG" io -s -c 'write -P 5 0 512' ours/a.qcow2 >/dev/null
[ -z "$(ls tmp)" ] || fail "a temporary overlay is left"
expect_fail 1 'copy-on-read is not supported' "$IMG" io -C -c length ours/a.qcow2

note "on purpose: a wrong pattern is a failure also of aio_read, which is over when it returns"
status=0
"$IMG" io -c 'aio_read -P 77 0 1k' ours/a.qcow2 >ours.out || status=$?
[ $status = 1 ] || fail "aio_read with a wrong pattern: status $status"

for image in a.qcow2 over.qcow2 a.vmdk a.raw; do
    "$QEMU_IMG" compare -q ours/$image theirs/$image || fail "$image is not the same disk"
    [ $image = a.raw ] || "$QEMU_IMG" check -q ours/$image || fail "check of $image"
done
[ $bad = 0 ] || fail "$bad of $cases command lines behave differently"
note "$cases command lines"

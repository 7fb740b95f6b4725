#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A conversion that is told to stop, or killed: the exit status, nothing left
# behind, and a target that was there before as it was.

. "$(dirname "$0")/../lib.sh"

mkdir work
cd work
yes 'any data' | head -c 16M >disk.raw
echo 'the old target' >out.qcow2
cp out.qcow2 ../old

# interrupt SIGNAL STATUS ARGS...: send it when something has been copied.
interrupt() {
    local signal=$1 want=$2 status=0 pid
    shift 2
    : >../err.txt # what an earlier one said is not to be taken for this one's
    # A job in the background is begun with SIGINT ignored, and img leaves it so.
    env --default-signal=INT "$IMG" convert --progress=json -r 2M "$@" 2>../err.txt &
    pid=$!
    for _ in $(seq 100); do
        ! grep -q '"done": [1-9]' ../err.txt || break
        sleep 0.05
    done
    kill -"$signal" "$pid"
    wait "$pid" || status=$?
    [ "$status" = "$want" ] || fail "after SIG$signal: status $status: $(cat ../err.txt)"
    ! grep -vE '^\{"phase"' ../err.txt || fail "it said something after SIG$signal"
}

only() {
    [ "$(ls -A | tr '\n' ' ')" = "$1 " ] || fail "left behind: $(ls -A)"
}

for pair in INT:130 TERM:143 HUP:129 KILL:137; do
    note "SIG${pair%:*}"
    interrupt "${pair%:*}" "${pair#*:}" -O qcow2 disk.raw out.qcow2
    same out.qcow2 ../old
    only "disk.raw out.qcow2"
done

rm out.qcow2
interrupt INT 130 -O qcow2 disk.raw out.qcow2
only disk.raw
interrupt INT 130 -O raw disk.raw out.raw
only disk.raw
interrupt TERM 143 -c -O qcow2 -m 2 disk.raw out.qcow2
only disk.raw
interrupt TERM 143 -O vmdk -o subformat=monolithicFlat disk.raw out.vmdk
only disk.raw

# What is ignored from the start stays ignored.
(trap '' INT; exec "$IMG" convert -r 16M -O qcow2 disk.raw out.qcow2) &
pid=$!
sleep 0.3
kill -INT "$pid"
wait "$pid" || fail "a signal that was to be ignored ended it"
"$IMG" compare disk.raw out.qcow2 >../out.txt || fail "the conversion went wrong"

note "pipes whose other side does nothing"
head -c 6M "$IMG" >noise.raw
"$IMG" convert -f raw -O vmdk -o subformat=streamOptimized noise.raw noise.vmdk
mkfifo fifo

# stalled SIGNAL STATUS ARGS...: one signal is enough.
stalled() {
    local signal=$1 want=$2 status=0 pid
    shift 2
    env --default-signal=INT "$IMG" convert "$@" <&0 2>../err.txt & # else: /dev/null
    pid=$!
    sleep 0.7
    kill -0 "$pid" 2>/dev/null || fail "it did not wait: $(cat ../err.txt)"
    kill -"$signal" "$pid"
    for _ in $(seq 200); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    ! kill -KILL "$pid" 2>/dev/null || fail "SIG$signal did not end 'convert $*'"
    wait "$pid" || status=$?
    [ "$status" = "$want" ] || fail "'convert $*' after SIG$signal: status $status: $(cat ../err.txt)"
    [ ! -s ../err.txt ] || fail "'convert $*' said: $(cat ../err.txt)"
}

stalled TERM 143 -O raw disk.raw fifo # nobody opens it
stalled INT 130 fifo out.raw
exec 5<>fifo
stalled TERM 143 -f raw -O raw noise.raw fifo
stalled INT 130 -O vmdk -o subformat=streamOptimized -f raw noise.raw fifo
stalled TERM 143 -f raw -O raw noise.raw - >&5
exec 5<&-
exec 5<>fifo
head -c 2000 noise.vmdk >&5
stalled INT 130 fifo out.raw # not even the header
exec 5<&-
exec 5<>fifo
head -c 65536 noise.vmdk >&5
stalled TERM 143 -O raw - out.raw <&5
[ ! -e out.raw ] || fail "there is a target of half a disk"
exec 5<&-

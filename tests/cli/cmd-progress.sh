#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Progress: plain as qemu-img prints it, a bar, JSON lines, on demand by signal.

. "$(dirname "$0")/../lib.sh"

yes 'any data' | head -c 8M >disk.raw

# plain FILE: what has been printed is qemu-img's stream of percentages.
plain() {
    ! tr '\r' '\n' <"$1" | grep -vE '^    \([0-9]+\.[0-9][0-9]/100%\)$|^$' ||
        fail "$1 is not plain progress: $(tr '\r' '\n' <"$1")"
    head -c 20 "$1" | grep -q '^    (0.00/100%)' || fail "$1 does not begin with 0"
    tail -c 22 "$1" | tr "\r" "\n" | grep -q "^    (100.00/100%)$" ||
        fail "$1 does not end with 100"
}

"$IMG" convert -p -O qcow2 disk.raw out.qcow2 >plain.txt 2>err.txt
plain plain.txt
[ ! -s err.txt ] || fail "progress on stderr"
"$IMG" convert --progress=plain -O qcow2 disk.raw out.qcow2 >plain.txt
plain plain.txt
"$IMG" convert --progress -O qcow2 disk.raw out.qcow2 >plain.txt
plain plain.txt
"$IMG" compare -p disk.raw out.qcow2 >plain.txt
tr '\r' '\n' <plain.txt | grep -q '^    (100.00/100%)$' || fail "compare shows no progress"
tr '\r' '\n' <plain.txt | grep -qx 'Images are identical.' || fail "compare shows no result"

"$IMG" convert -p -q -O qcow2 disk.raw out.qcow2 >out.txt 2>&1
"$IMG" convert -q --progress=json -O qcow2 disk.raw out.qcow2 >>out.txt 2>&1
[ ! -s out.txt ] || fail "-q shows progress"

# JSON: a line a step, never going back, ending with everything done.
"$IMG" convert --progress=json -r 40M -O qcow2 disk.raw out.qcow2 >out.txt 2>json.txt
[ ! -s out.txt ] || fail "JSON progress on stdout"
step='^\{"phase": "convert", "done": [0-9]+, "total": 8388608, "rate": [0-9]+\}$'
! grep -vE "$step" json.txt || fail "odd JSON: $(cat json.txt)"
[ "$(wc -l <json.txt)" -ge 2 ] || fail "only one step: $(cat json.txt)"
sed 's/.*"done": \([0-9]*\).*/\1/' json.txt >done.txt
sort -n done.txt | cmp -s - done.txt || fail "progress goes back"
tail -n 1 json.txt | grep -q '"done": 8388608,' || fail "the last line is not the end"

# The bar, forced onto a file.
"$IMG" convert --progress=bar -r 40M -O qcow2 disk.raw out.qcow2 >bar.txt
tr '\r' '\n' <bar.txt | grep -qE '^100 % \[=+ *\] 8 MiB of 8 MiB  [0-9.e+]+ .*B/s' ||
    fail "odd bar: $(tr '\r' '\n' <bar.txt)"
! tr '\r' '\n' <bar.txt | awk 'length > 80' | grep . || fail "the bar is too wide"

# On demand: SIGUSR1 asks, the answer goes to stderr.
"$IMG" convert -r 4M -O qcow2 disk.raw out.qcow2 >out.txt 2>err.txt &
pid=$!
# Before the command catches it, the signal would end it: SIGUSR1 is bit 9 of the mask.
for _ in $(seq 100); do
    mask=$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$pid/status")
    [ $((0x$mask & 0x200)) = 0 ] || break
    sleep 0.05
done
for _ in $(seq 40); do
    sleep 0.1
    kill -USR1 "$pid" 2>/dev/null || break
    ! grep -q . err.txt || break
done
wait "$pid" || fail "SIGUSR1 ended the conversion"
grep -qE '^    \([0-9]+\.[0-9][0-9]/100%\)$' err.txt || fail "SIGUSR1 was not answered"
[ ! -s out.txt ] || fail "SIGUSR1 was answered on stdout"

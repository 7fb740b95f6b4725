#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The formats that are only read, side by side: see sidebyside.bash.

. "$(dirname "$0")/sidebyside.bash"
need perl

(
    cd fixtures
    for n in parallels qcow qed; do
        $QEMU_IMG convert -O $n data.raw data.$n
        $QEMU_IMG create -q -f $n new.$n 3M
    done
    $QEMU_IMG create -q -f qcow -b data.raw -F raw over.qcow
    $QEMU_IMG create -q -f qed -b data.raw -F raw over.qed
    $QEMU_IMG create -q -f qed -b data.qed -F qed top.qed
    $QEMU_IO -f qed -c 'write -z 64k 64k' -c 'write -P 3 1M 100k' top.qed >/dev/null
    $QEMU_IMG create -q -f qcow --object secret,id=s,data=old \
        -o encrypt.format=aes,encrypt.key-secret=s locked.qcow 1M
    $QEMU_IO --object secret,id=s,data=old --image-opts -c 'write -P 5 64k 100k' \
        driver=qcow,file.filename=locked.qcow,encrypt.key-secret=s >/dev/null
    perl "$srcdir/fixtures/make-bochs.pl" growing-2 65536 data.raw data.bochs
    perl "$srcdir/fixtures/make-cloop.pl" 65536 data.raw data.cloop
    perl "$srcdir/fixtures/make-dmg.pl" xml zlib 512 data.raw data.dmg
)
reset

# ------------------------------------------------------------------------- look

for image in data.parallels new.parallels data.qcow new.qcow over.qcow data.qed new.qed over.qed \
    top.qed; do
    same_err info $image
    same_json info --output=json $image
    same_err map $image
    same_err map --output=json $image
    same_err compare data.raw $image
    same check $image
    same_json check --output=json $image
    same_disk out.qcow2 convert -O qcow2 $image out.qcow2
done
for format in bochs cloop; do
    same_err info data.$format
    same_json info --output=json data.$format
    same_err compare data.raw data.$format
    same_err check data.$format
    same_disk out.raw convert -O raw data.$format out.raw
done
# Where its modules are not installed, qemu-img has more to say of DMG than is asked for.
same info data.dmg
same_json info --output=json data.dmg
same compare data.raw data.dmg
same_disk out.raw convert -O raw data.dmg out.raw
same_err info --backing-chain top.qed
same_json info --backing-chain --output=json over.qcow

same_err info locked.qcow
same_json info --output=json locked.qcow
same_err map locked.qcow
key=driver=qcow,file.filename=locked.qcow,encrypt.key-secret=s
same_err map --object secret,id=s,data=old --image-opts "$key"
same_disk out.raw convert --object secret,id=s,data=old --image-opts -O raw "$key" out.raw
same_disk out.raw convert --object secret,id=s,data=new --image-opts -O raw "$key" out.raw
same_err map --object secret,id=s,data=old --image-opts "$key,encrypt.format=luks"

# ----------------------------------------------------------------------- damage

# both_poke FILE OFFSET DIGITS: change both sides' image.
both_poke() {
    poke "theirs/$1" "$2" "$3"
    poke "ours/$1" "$2" "$3"
}

# check_poked FILE OFFSET DIGITS: both find as much.
check_poked() {
    reset
    both_poke "$@"
    same check "$1"
    same_json check --output=json "$1"
}

# QED: the L1 table lies at 64 KiB, and has one L2 table.
l2=$((0x$(peek fixtures/data.qed 65536 8 | sed 's/../& /g' | tr ' ' '\n' | tac | tr -d '\n')))
check_poked data.qed 65536 0002000000000000
check_poked data.qed 65536 0000000000000000
check_poked data.qed 65544 "$(peek fixtures/data.qed 65536 8)"
check_poked data.qed $l2 0000110000000000
check_poked data.qed $l2 0000000000000000
check_poked data.qed $l2 0100000000000000
check_poked data.qed $((l2 + 8)) "$(peek fixtures/data.qed $l2 8)"
check_poked data.qed 16 02
check_poked data.parallels 44 596e6f74
check_poked data.parallels 64 ffffffff
check_poked data.parallels 64 00000000
reset
truncate -s +100k theirs/data.qed ours/data.qed theirs/data.parallels ours/data.parallels
same check data.qed
same_err check data.parallels

# ------------------------------------------------------------------------ refuse

reset
for format in bochs cloop dmg; do
    same create -f $format x.$format 1M
    same convert -O $format data.raw x.$format
done
for image in data.bochs data.cloop data.dmg data.qcow; do
    same resize $image 5M
done
same check -r all data.qcow
for format in parallels qcow qed; do
    differs 1 'images of this format are only read' create -f $format x.$format 1M
    differs 1 'images of this format are only read' convert -O $format data.raw x.$format
    differs 1 'images of this format are only read' rebase -u -b other.raw -F raw data.$format
done
differs 63 'images of this format are only read' check -r all data.qed
differs 63 'images of this format are only read' check -r leaks data.parallels

# ------------------------------------------------------- intended differences

check_twice() {
    both_poke data.parallels 68 "$(peek fixtures/data.parallels 64 4)"
    differs 2 'two clusters in one place' check data.parallels
}
check_twice
differs 0 'what is compressed has no place, but is known by its kind' map --output=json data.dmg
differs 0 'a check of DMG compares its checksums' check data.dmg
differs 0 'growing disks of Bochs are mapped' map --output=json data.bochs

finish

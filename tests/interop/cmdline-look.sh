#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Command lines that look at images, and those that are no commands.
# Given to qemu-img and to img, see sidebyside.bash.

. "$(dirname "$0")/sidebyside.bash"

# --------------------------------------------------------------- command line

same_err
same_err nonsense
same_err --nonsense
same_err -Z
for command in check compare convert create info map; do
    same_err $command
    same_err $command -Z
    same_err $command --nonsense
    same_err $command -f
done
for command in check info map; do
    same_err $command one two
    same_err $command --output=xml data.raw
    same_err $command missing.raw
    same_err $command -f qcow2 data.raw
    same_err $command -f nonsense data.raw
    same_err $command -f qcow2 missing.raw
    same_err $command sub/missing/x.raw
done

# ----------------------------------------------------------------------- info

for image in data.raw empty.raw nothing.raw odd.raw empty.qcow2 v2.qcow2 lazy.qcow2 data.qcow2 \
    packed.qcow2 zstd.qcow2 over.qcow2 sub/top.qcow2 orphan.qcow2 snap.qcow2 corrupt.qcow2; do
    same_err info $image
    same_json info --output=json $image
done
same_err info --backing-chain over.qcow2
same_err info --backing-chain sub/top.qcow2
same_err info --backing-chain data.qcow2
same_json info --backing-chain --output=json over.qcow2
same_json info --backing-chain --output json data.raw
same_err info --backing-chain orphan.qcow2
same_err info -f raw data.qcow2
same_err info -U data.qcow2
same_err info --force-share data.qcow2
same_err info data.qcow2 -f qcow2
same_err info -f qcow2 -- data.qcow2
same_err info --back over.qcow2
for size in 1 511 1023488 1047552 1072693248 1234567890123; do
    truncate -s $size theirs/size.raw ours/size.raw
    same info -f raw size.raw
done

# ------------------------------------------------------------------------ map

for image in data.raw empty.raw nothing.raw odd.raw empty.qcow2 v2.qcow2 data.qcow2 packed.qcow2 \
    zstd.qcow2 over.qcow2 sub/top.qcow2 snap.qcow2 monolithicSparse.vmdk twoGbMaxExtentSparse.vmdk \
    streamOptimized.vmdk over.vmdk; do
    same_err map $image
    same_err map --output=json $image
done
same_err map monolithicFlat.vmdk
same_err map twoGbMaxExtentFlat.vmdk
same_err map --output=json -s 64k -l 100k data.qcow2
same_err map --output=json -s 1000 -l 100k data.qcow2
same_err map --output=json --start-offset=64k --max-length=1M over.qcow2
same_err map --output=json -s 1000M data.qcow2
same_err map --output=json -l 0 data.qcow2
same_err map -s 64k -l 64k data.qcow2
same_err map -s xx data.qcow2
same_err map --max-length=xx data.qcow2
same_err map --max-length=-5 data.qcow2
same_err map -s 10E data.qcow2
same_err map -U over.qcow2
same_err map orphan.qcow2

# ---------------------------------------------------------------------- check

for image in empty.qcow2 v2.qcow2 data.qcow2 packed.qcow2 over.qcow2 snap.qcow2 \
    monolithicSparse.vmdk monolithicFlat.vmdk twoGbMaxExtentSparse.vmdk; do
    same_err check $image
    same_json check --output=json $image
done
same_findings check leak.qcow2
same_json check --output=json leak.qcow2
same_findings check corrupt.qcow2
same_json check --output=json corrupt.qcow2
same_err check -q data.qcow2
same_findings check -q corrupt.qcow2
same_err check data.raw
same_err check -q data.raw
same_err check -U data.qcow2
same_err check -f qcow2 -T none data.qcow2
same_err check -T nonsense data.qcow2
same_err check -r nonsense data.qcow2
same_err check orphan.qcow2
for repair in leaks all; do
    for image in data.qcow2 leak.qcow2 v2.qcow2 snap.qcow2 packed.qcow2; do
        reset
        same_findings check -r $repair $image
        reset
        same_json check --output=json -r $repair $image
    done
    same check -r $repair data.raw
done
reset
same check -r leaks corrupt.qcow2
same_findings check -r all corrupt.qcow2
same_findings check corrupt.qcow2
reset
same_json check -r all --output=json corrupt.qcow2
reset
same_err check -q -r leaks leak.qcow2
same_err check -q leak.qcow2
reset
same_err check -p -r all leak.qcow2
same_err check --repair=all data.qcow2
same_err check -r all -U data.qcow2
same_err check -r all -f raw data.qcow2
same_err check -r all gone.qcow2
reset

# -------------------------------------------------------------------- compare

same_err compare data.raw data.raw
same_err compare data.raw data.qcow2
same_err compare data.raw other.raw
same_err compare other.raw data.qcow2
same_err compare -q data.raw other.raw
same_err compare data.raw longer.raw
same_err compare longer.raw data.raw
same_err compare -q longer.raw data.raw
same_err compare data.raw tail.raw
same_err compare tail.raw data.raw
same_err compare -s data.raw longer.raw
same_err compare -s data.raw data.raw
same_err compare -s data.qcow2 data.qcow2
same_err compare -s data.raw data.qcow2
same_err compare -f raw -F qcow2 data.raw data.qcow2
same_err compare -f raw data.qcow2 data.raw
same_err compare -f qcow2 data.raw data.raw
same_err compare -F qcow2 data.raw data.raw
same_err compare -f nonsense data.raw data.raw
same_err compare missing.raw data.raw
same_err compare data.raw missing.raw
same_err compare data.raw data.raw data.raw
same_err compare -T nonsense data.raw data.raw
same_err compare -T none -U data.raw data.qcow2
same_err compare data.raw monolithicSparse.vmdk
same_err compare streamOptimized.vmdk twoGbMaxExtentSparse.vmdk

# ------------------------------------------------------- intended differences

differs 1 'strict means allocation, whether compressed or not' compare -s data.raw packed.qcow2
# vmdk-info.sh compares what both say.
for image in monolithicSparse.vmdk monolithicFlat.vmdk twoGbMaxExtentSparse.vmdk \
    twoGbMaxExtentFlat.vmdk streamOptimized.vmdk over.vmdk; do
    differs 0 'every fact of the descriptor' info $image
    differs 0 'every fact of the descriptor' info --output=json $image
done
differs 0 'a hole of a flat extent is no data' map --output=json monolithicFlat.vmdk
differs 0 'a hole of a flat extent is no data' map --output=json twoGbMaxExtentFlat.vmdk
differs 0 'help is for the command it is asked of' info --help
differs 0 'help is for the command it is asked of' -h
differs 0 'our own version' --version
differs 3 'qemu-img streams lack the end that importers want' check streamOptimized.vmdk
differs 3 'what a stream lacks cannot be put into it' check -r all streamOptimized.vmdk
for image in monolithicSparse.vmdk monolithicFlat.vmdk twoGbMaxExtentSparse.vmdk; do
    differs 0 'VMDK images can be repaired' check -r leaks $image
    differs 0 'VMDK images can be repaired' check -r all $image
done
differs 1 'it says what to do instead of an I/O error' check -r leaks corrupt.qcow2
differs 1 'our own words for what is no file' info sub
differs 1 'our own words for what is no file' info ''

same_err check -q --output=json data.qcow2
finish

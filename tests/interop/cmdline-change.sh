#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Command lines that change images, and images that are in use.
# Given to qemu-img and to img, see sidebyside.bash.

. "$(dirname "$0")/sidebyside.bash"

# ---------------------------------------------------------------------- amend

same amend -f qcow2 -o help
same amend -f qcow2 -o help missing.qcow2
same amend -o help data.qcow2
same amend -o size=2M,help data.qcow2
same_err amend -o help
same_err amend -o help missing.qcow2
same_err amend -o help -f nonsense data.qcow2
same_err amend -o help -f raw
same_err amend
same_err amend data.qcow2
same_err amend -o
same_err amend -o '' data.qcow2
same_err amend -o compat=1.1
same_err amend -o compat=1.1 data.qcow2 other.raw
same_err amend -f nonsense -o compat=1.1 data.qcow2
same_err amend -f qcow2 -o compat=1.1 missing.qcow2
same_err amend -f raw -o size=2M data.raw
same_err amend -t nonsense -o compat=1.1 data.qcow2
same_err amend -o nonsense=1 data.qcow2
same_err amend -o cluster_size=64k data.qcow2
same_err amend -o preallocation=full data.qcow2
same_err amend -o compression_type=zstd data.qcow2
same_err amend -o extended_l2=on data.qcow2
same_err amend -o encryption=on data.qcow2
same_err amend -o encrypt.format=luks data.qcow2
same_err amend -o encrypt.state=active data.qcow2
same_err amend -o compat=0.9 data.qcow2
same_err amend -o refcount_bits=7 data.qcow2
same_err amend -o refcount_bits=128 data.qcow2
same_err amend -o refcount_bits=x data.qcow2
same_err amend -o compat=0.10,refcount_bits=8 data.qcow2
same_err amend -o compat=0.10,lazy_refcounts=on data.qcow2
same_err amend -o compat=0.10 lazy.qcow2
same_err amend -o lazy_refcounts=maybe data.qcow2
same_err amend -o refcount_bits=8 v2.qcow2
same_err amend -o size=1000 data.qcow2
same amend -o size=x data.qcow2
same_err amend -o data_file=x data.qcow2
same_err amend -o data_file_raw=on data.qcow2
same_err amend -o data_file_raw=off data.qcow2
same_err amend -o backing_file=data.raw over.qcow2
same_err amend -o backing_fmt=raw over.qcow2
same_err amend -o backing_file=other.raw,backing_fmt=raw over.qcow2
same_err amend -o backing_file=data.raw,backing_fmt=raw over.qcow2
same_err amend -o backing_file= data.qcow2
same_err amend -o refcount_bits=1 snap.qcow2
same_err amend -o size=2M snap.qcow2
same_err amend -o compat=0.10 snap.qcow2
same_err amend -o compat=v2 data.qcow2
same check data.qcow2
same_err amend -o compat=v3,lazy_refcounts=on,refcount_bits=32,size=4M data.qcow2
same_err amend --force -q -o size=0 -o size=2M data.qcow2
same_err amend -o compat=1.1 v2.qcow2
same info v2.qcow2
reset

# --------------------------------------------------------------------- resize

same_err resize
same_err resize data.raw
same_err resize one two three
same_err resize -f raw data.raw 4M
same_err resize -f raw data.raw +1M
same_err resize -f raw data.raw 5M
same_err resize -f raw --shrink data.raw -1M
same_err resize -q -f raw data.raw 5M
same_err resize -f raw --preallocation=off data.raw 6M
same_err resize -f raw data.raw xx
same_err resize -f raw data.raw +xx
same_err resize -f raw data.raw -100M
same_err resize -f raw missing.raw 1M
same_err resize -f raw --preallocation=nonsense data.raw 7M
same_err resize -f raw --shrink --preallocation=full data.raw 1M
same_err resize -f raw --preallocation=full data.raw 1M
same_err resize -f raw --preallocation=metadata data.raw 70M
same_err resize data.qcow2 1000001
same_err resize data.qcow2 1M
same_err resize --shrink data.qcow2 0
same_err resize --shrink data.qcow2 1M
same_err resize --preallocation=metadata data.qcow2 2M
same check data.qcow2
same_err resize v2.qcow2 +1M
same resize -f raw data.raw 1M
same resize data.raw 7M
same info data.raw
differs 0 'qemu-img cannot resize a VMDK image' resize monolithicSparse.vmdk 10M
reset

# --------------------------------------------------------------------- commit

same_disk data.raw commit over.qcow2
same_disk over.qcow2 commit -q over.qcow2
reset
same_disk over.qcow2 commit -d over.qcow2
same_disk data.raw commit -b data.raw over.qcow2
same_disk sub/base.qcow2 commit sub/top.qcow2
same_disk monolithicSparse.vmdk commit over.vmdk
reset
same_err commit
same_err commit one two
same_err commit -Z over.qcow2
same_err commit missing.qcow2
same_err commit -f raw data.raw
same_err commit data.qcow2
same_err commit -f nonsense over.qcow2
same_err commit -b nonsense over.qcow2
same_err commit -b over.qcow2 over.qcow2
same_err commit -t nonsense over.qcow2
same_err commit -r nonsense over.qcow2
same_err commit -r 10E over.qcow2
same_err commit orphan.qcow2

# --------------------------------------------------------------------- rebase

same_disk over.qcow2 rebase -b other.raw -F raw over.qcow2
same_disk over.qcow2 rebase -b '' over.qcow2
same_disk over.qcow2 rebase -U -b other.raw -F raw over.qcow2
same_disk over.qcow2 rebase -b data.qcow2 -F qcow2 over.qcow2
reset
for name in data.raw gone.raw ''; do
    same_err rebase -u -b "$name" -F raw over.qcow2
    same info -U orphan.qcow2
done
same_err rebase -u over.qcow2
reset
same_err rebase
same_err rebase over.qcow2
same_err rebase -b data.raw
same_err rebase -b data.raw over.qcow2
same_err rebase -u -b data.raw over.qcow2
same_err rebase -b data.raw -F raw one two
same_err rebase -b data.raw -F raw missing.qcow2
same_err rebase -b data.raw -F nonsense over.qcow2
same_err rebase -b gone.raw -F raw over.qcow2
same_err rebase -b data.raw -F raw orphan.qcow2
same_err rebase -t nonsense -b data.raw -F raw over.qcow2
same_err rebase -T nonsense -b data.raw -F raw over.qcow2
same_err rebase -f raw -b data.raw other.raw
same_err rebase -f raw -b data.raw -F raw other.raw
same_err rebase -f nonsense -b data.raw -F raw over.qcow2
differs 1 'qemu-img cannot rebase a VMDK image at all' rebase -u -b data.raw -F raw over.vmdk
same_err rebase -b base.qcow2 -F raw sub/top.qcow2
reset

# ----------------------------------------------------- an image that is in use

# qemu-io holds both sides' data.qcow2 open for writing until its input ends.
mkfifo holder
(cd theirs && exec "$QEMU_IO" data.qcow2) <holder >held 2>&1 &
holder_pid=$!
exec 9>holder
echo length >&9
for _ in $(seq 100); do
    ! grep -q iB held || break
    sleep 0.05
done
grep -q iB held || fail "qemu-io does not open the image: $(cat held)"
in_use() {
    cases=$((cases + 1))
    local status=0
    "$OURS" "$@" >ours.out 2>ours.err || status=$?
    "$QEMU_IMG" "$@" >theirs.out 2>theirs.err || echo $? >theirs.status
    [ "$status" = "$(cat theirs.status)" ] || report "$* (status $status)" theirs.err ours.err
    # Ours says who holds the lock, too.
    plain_errors ours.err | sed 's/ ([^()]*)//' >ours.text
    plain_errors theirs.err >theirs.text
    cmp -s theirs.text ours.text || report "$* (stderr)" theirs.text ours.text
}
in_use info theirs/data.qcow2
in_use map theirs/data.qcow2
in_use check theirs/data.qcow2
in_use compare theirs/data.qcow2 theirs/data.raw
in_use convert -O raw theirs/data.qcow2 theirs/out.raw
in_use convert -n -O qcow2 theirs/data.raw theirs/data.qcow2
in_use convert -O qcow2 theirs/data.raw theirs/data.qcow2
in_use create -f qcow2 theirs/data.qcow2 1M
in_use resize theirs/data.qcow2 8M
in_use amend -o lazy_refcounts=on theirs/data.qcow2
in_use bitmap --add theirs/data.qcow2 b
in_use snapshot -l theirs/data.qcow2
in_use rebase -u -b '' theirs/data.qcow2
in_use dd if=theirs/data.qcow2 of=theirs/out.raw
in_use measure -O raw theirs/data.qcow2
in_use bench -c 1 theirs/data.qcow2
"$OURS" info -U theirs/data.qcow2 >/dev/null || fail "info -U of an image in use"
exec 9>&-
wait "$holder_pid"

finish

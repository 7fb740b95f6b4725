#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Command lines about the snapshots inside an image.
# Given to qemu-img and to img, see sidebyside.bash.

. "$(dirname "$0")/sidebyside.bash"

# The disk has changed since, and is larger.
more_fixtures() {
    $QEMU_IMG create -q -f qcow2 -o cluster_size=4k many.qcow2 1M
    $QEMU_IO -c 'write -P 1 0 500k' many.qcow2 >/dev/null
    $QEMU_IMG snapshot -c 2 many.qcow2
    $QEMU_IO -c 'write -P 2 100k 500k' many.qcow2 >/dev/null
    $QEMU_IMG snapshot -c twice many.qcow2
    $QEMU_IO -c 'write -P 3 300k 500k' many.qcow2 >/dev/null
    $QEMU_IMG snapshot -c twice many.qcow2
    $QEMU_IO -c 'write -z 0 200k' many.qcow2 >/dev/null
    $QEMU_IMG create -q -f qcow2 -o refcount_bits=1 narrow.qcow2 1M
    $QEMU_IO -c 'write -P 1 0 500k' narrow.qcow2 >/dev/null
    $QEMU_IMG create -q -f qcow2 -b many.qcow2 -F qcow2 onmany.qcow2
    $QEMU_IMG create -q -f qcow2 marked.qcow2 1M
    $QEMU_IMG bitmap --add marked.qcow2 b0
    $QEMU_IMG snapshot -c one marked.qcow2
}
(cd fixtures && more_fixtures)
reset

# ----------------------------------------------------------------------- list

same_err snapshot -l snap.qcow2
same_err snapshot -l many.qcow2
same_err snapshot -q -l many.qcow2
same_err snapshot -U -l many.qcow2
same_err snapshot -lU many.qcow2
same_err snapshot -l data.qcow2
same_err snapshot -l data.raw
same_err snapshot -l monolithicSparse.vmdk
same_err snapshot -l missing.qcow2
same_err snapshot -l orphan.qcow2
same_err snapshot --image-opts -l driver=qcow2,file.filename=many.qcow2
same_err snapshot --image-opts -l many.qcow2
same_err snapshot
same_err snapshot -l
same_err snapshot -l many.qcow2 snap.qcow2
same_err snapshot -l -l many.qcow2
same_err snapshot -l -c new many.qcow2
same_err snapshot -c new -a one many.qcow2
same_err snapshot -d one -d one many.qcow2
same_err snapshot -Z many.qcow2
same_err snapshot -c
same_err snapshot -c new
same_err snapshot -c new missing.qcow2

# --------------------------------------------------------- create, apply, delete

same_disk many.qcow2 snapshot -c new many.qcow2
same_disk many.qcow2 snapshot -q -c new many.qcow2
same_disk many.qcow2 snapshot -c '' many.qcow2
same_disk v2.qcow2 snapshot -c new v2.qcow2
same_disk packed.qcow2 snapshot -c new packed.qcow2
same_disk many.qcow2 snapshot -a 2 many.qcow2
same_disk many.qcow2 snapshot -a 1 many.qcow2
same_disk many.qcow2 snapshot -a twice many.qcow2
same_disk many.qcow2 snapshot -d 2 many.qcow2
same_disk many.qcow2 snapshot -d twice many.qcow2
same_disk onmany.qcow2 snapshot -c new onmany.qcow2
same_disk marked.qcow2 snapshot -c new marked.qcow2
same_disk marked.qcow2 snapshot -d one marked.qcow2
same_err snapshot -d 1 many.qcow2
same_err snapshot -d none many.qcow2
same_err snapshot -d '' many.qcow2
same_err snapshot -a none many.qcow2
same_err snapshot -a '' many.qcow2
same_err snapshot -d x data.qcow2
same_err snapshot -a x data.qcow2
same_err snapshot -a one marked.qcow2
same_err snapshot -U -c new many.qcow2
same snapshot -c new narrow.qcow2
same snapshot -c new data.raw
same snapshot -a x data.raw
same snapshot -d x data.raw
same snapshot -c x monolithicSparse.vmdk

# ------------------------------------------------------------- convert, measure

for snapshot in 1 2 3 twice snapshot.id=2 snapshot.name=2 snapshot.name=twice \
    snapshot.id=3,snapshot.name=twice one; do
    image=many.qcow2
    [ $snapshot != one ] || image=snap.qcow2
    same_disk out.raw convert -l $snapshot -O raw $image out.raw
    same_disk out.qcow2 convert -f qcow2 -c -l $snapshot -O qcow2 $image out.qcow2
    same measure -O qcow2 -l $snapshot $image
    same measure -O raw -l $snapshot $image
done
for snapshot in 4 none '' snapshot snapshot.id=9 snapshot.id= snapshot.name=none \
    snapshot.id=1,snapshot.name=twice name=twice; do
    same_err convert -l "$snapshot" -O raw many.qcow2 out.raw
    same_err measure -O raw -l "$snapshot" many.qcow2
done
same_err convert -l one -O raw data.qcow2 out.raw
same_err convert -f raw -l one -O raw data.raw out.raw
same_err convert -l one -O raw monolithicSparse.vmdk out.raw
same_err convert -l one -O raw data.qcow2 many.qcow2 out.raw
same_err measure -O raw -l one --size 1M
same convert -l snapshot.nonsense=1 -O raw many.qcow2 out.raw
same convert -l snapshot.id=1,nonsense=2 -O raw many.qcow2 out.raw
same measure -O raw -l snapshot.nonsense=1 many.qcow2

# ------------------------------------------------------------------ differences

differs 0 'the list is what one wants to see (as in later versions)' snapshot many.qcow2
differs 0 'later versions have it' snapshot -f qcow2 -l many.qcow2
differs 0 'long options' snapshot --list many.qcow2
differs 0 'long options' snapshot --create new many.qcow2
differs 0 'long options' snapshot --apply=twice many.qcow2
differs 0 'long options' snapshot --delete twice many.qcow2
differs 1 'it says what there is instead' snapshot -a x monolithicSparse.vmdk
differs 1 'it says what there is instead' snapshot -d x monolithicSparse.vmdk
differs 0 'JSON' snapshot -l --output=json many.qcow2
finish

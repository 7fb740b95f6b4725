#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# External data files, raw ones too: the same requests to twin images, by us and by qemu-io, leave
# the same metadata and the same data behind.
. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO"

seq 1 1000000 | head -c 1M >base.raw

# neutral FILE...: what a program says, without the names of the twins.
neutral() {
    sed 's/\(ours\|theirs\)/twin/g' "$@"
}

# twins OPTIONS SIZE COMMAND...: try the commands on both.
twins() {
    local options=$1 size=$2 command args=()
    shift 2
    rm -rf ours* theirs*
    "$QEMU_IMG" create -q -f qcow2 -o "data_file=theirs.data,$options" theirs "$size"
    "$IMG" create -q -f qcow2 -o "data_file=ours.data,$options" ours "$size"
    for command; do
        args+=(-c "$command")
    done
    note "$options $*"
    if [ $# -gt 0 ]; then
        "$QEMU_IO" -f qcow2 -d unmap "${args[@]}" theirs >theirs.out
        "$IMG" io -f qcow2 -d unmap "${args[@]}" ours >ours.out
    fi
    verify
}

# verify: the twins are alike, to both programs.
verify() {
    local tool sub
    cmp ours.data theirs.data >&2 || fail "the data differs"
    for tool in "$QEMU_IMG" "$IMG"; do
        "$tool" compare ours theirs || fail "$tool: content differs"
        "$tool" check ours || fail "$tool check"
        "$tool" check theirs || fail "$tool check of theirs"
    done
    for sub in "map --output=json" "check --output=json" map; do
        "$QEMU_IMG" $sub theirs >theirs.out
        "$IMG" $sub theirs | diff theirs.out - || fail "$sub of theirs"
        "$IMG" $sub ours | neutral >ours.out
        neutral theirs.out | diff - ours.out || fail "$sub"
    done
    "$QEMU_IMG" info theirs | neutral >theirs.out
    "$IMG" info ours | neutral | diff theirs.out - || fail info
}

twins cluster_size=65536 1M
twins cluster_size=65536 1M "write -P 1 0 64k" "write -P 2 130k 1k" "discard 0 64k" "write -z 128k 2k"
twins cluster_size=65536 256k "write 0 256k" "write -z 0 64k" "write -z -u 64k 64k" "discard 128k 64k"
twins cluster_size=4k 1000k "write 990k 10k" "write 3k 2k" "write -z -u 100k 50k" "write 120k 1k"
twins preallocation=metadata 256k "write 100k 10k"
twins preallocation=falloc 256k "write 100k 10k"
twins preallocation=full 256k "write 100k 10k" "discard 64k 64k"
twins extended_l2=on 256k "write 3k 5k" "write 64k 64k" "discard 64k 64k" "write -z -u 128k 2k" \
    "write 192k 64k" "write -z 192k 2k" "write -z 194k 2k"

raw=data_file_raw=on
twins $raw 1M
twins $raw 1M "write -P 1 0 256k" "discard 0 64k" "write -z 64k 64k" "write -z -u 128k 64k" \
    "write -z 200k 1k" "write -P 3 10k 1k"
"$QEMU_IMG" compare -f qcow2 -F raw ours ours.data
twins $raw,extended_l2=on 256k "write 3k 5k" "write -z 4k 2k"
"$QEMU_IMG" compare -f qcow2 -F raw ours ours.data
twins $raw,cluster_size=512 100k "write 3k 5k" "write -z -u 4k 2k"
"$QEMU_IMG" compare -f qcow2 -F raw ours ours.data

note resize
for options in cluster_size=65536 $raw extended_l2=on; do
    # At a disk that ends inside a cluster qemu-img makes the data file longer than the disk.
    twins $options 1M "write 900k 100k"
    for step in "1280k" "--preallocation=metadata 1536k" "--shrink 704k" "1M"; do
        "$IMG" resize -q -f qcow2 ${step% *} ours ${step##* } 2>/dev/null ||
            "$IMG" resize -q -f qcow2 ours "$step"
        "$QEMU_IMG" resize -q -f qcow2 ${step% *} theirs ${step##* } 2>/dev/null ||
            "$QEMU_IMG" resize -q -f qcow2 theirs "$step"
        verify
    done
done

note "a longer file: what it has there does not show"
"$IMG" create -q -f qcow2 -o data_file=long.data,cluster_size=4k long 10k
"$IMG" io -c "write -P 1 8k 2k" long >io.out
head -c 1M base.raw >>long.data
"$IMG" resize -q long 100k
"$QEMU_IO" -f qcow2 -c "read -P 1 8k 2k" -c "read -P 0 10k 90k" long >io.out
! grep -q failed io.out || { cat io.out; fail "old data shows"; }

note convert
for options in data_file=c.data data_file=c.data,$raw data_file=c.data,extended_l2=on; do
    for threads in 1 3; do
        "$IMG" convert -m $threads -f raw -O qcow2 -o $options base.raw c
        "$QEMU_IMG" compare -f raw -F qcow2 base.raw c
        "$QEMU_IMG" check c
        same base.raw c.data
        cp c c$threads
    done
    same c1 c3
    "$QEMU_IMG" convert -O raw c back.raw
    same base.raw back.raw
    "$IMG" convert -O raw c back.raw
    same base.raw back.raw
    # Into an image that is there.
    "$IMG" create -q -f qcow2 -o $options c 1M
    "$IMG" convert -n -f raw -O qcow2 base.raw c
    "$QEMU_IMG" compare -f raw -F qcow2 base.raw c
done
expect_fail 1 "ompress" "$IMG" convert -c -f raw -O qcow2 -o data_file=x.data base.raw x
[ ! -e x ] && [ ! -e x.data ] || fail "a failed conversion left files"

note "overlay, commit, rebase"
"$IMG" create -q -f qcow2 -o data_file=top.data -b base.raw -F raw top
"$IMG" io -f qcow2 -c "write -P 9 100k 100k" -c "write -z 300k 100k" top >io.out
"$QEMU_IMG" convert -O raw top flat.raw
"$IMG" compare -f qcow2 -F raw top flat.raw
head -c 700k base.raw >other.raw
"$IMG" rebase -q -f qcow2 -b other.raw -F raw top
"$QEMU_IMG" compare -f qcow2 -F raw top flat.raw
"$IMG" commit -q -f qcow2 top
"$QEMU_IMG" compare -f raw -F raw other.raw flat.raw
"$QEMU_IMG" check top
"$IMG" create -q -f qcow2 -b c -F qcow2 over
"$IMG" io -f qcow2 -c "write -P 4 50k 100k" over >io.out
"$QEMU_IMG" convert -O raw over flat.raw
"$IMG" commit -q -f qcow2 over
"$QEMU_IMG" compare -f qcow2 -F raw c flat.raw
"$QEMU_IMG" check c
"$QEMU_IMG" create -q -f qcow2 -o data_file=r.data,$raw r 1M
expect_fail 1 "data-file-raw" "$IMG" rebase -u -f qcow2 -b base.raw -F raw r
expect_fail 1 "data-file-raw" "$IMG" create -f qcow2 -o data_file=q.data,$raw -b base.raw -F raw q
expect_fail 1 "data-file-raw requires data-file" "$IMG" create -f qcow2 -o $raw q 1M
expect_fail 1 "External data files" "$IMG" create -f qcow2 -o data_file=q.data,compat=v2 q 1M

note "files and names"
mkdir sub
"$IMG" create -q -f qcow2 -o data_file=here.data sub/image 1M
"$QEMU_IO" -c "write -P 6 0 64k" sub/image >io.out
"$IMG" io -c "read -P 6 0 64k" sub/image >io.out
# From elsewhere it is found beside the image.
mv here.data sub
"$IMG" io -c "read -P 6 0 64k" sub/image >io.out
(cd sub && "$QEMU_IMG" convert -O raw image ../sub.raw)
"$QEMU_IMG" compare -f raw -F raw sub.raw sub/here.data
for name in same ./same "$PWD/same" sub/../same; do
    expect_fail 1 "another file of the image" "$IMG" create -f qcow2 -o "data_file=$name" same 1M
    [ ! -e same ] || fail "an image that is its own data file"
done
expect_fail 1 "No such file" "$IMG" create -f qcow2 -o data_file=/nonexistent/x q 1M
[ ! -e q ] || fail "an image without its data file"
# An existing data file is replaced, when all else is done.
cp base.raw old.data
expect_fail 1 "" "$IMG" create -f qcow2 -o data_file=old.data,cluster_size=3 q 1M
same base.raw old.data
"$IMG" create -q -f qcow2 -o data_file=old.data q 1M
cmp -n 1048576 old.data /dev/zero || fail "an old data file was kept"
# Looking at the metadata does not need it; everything else does.
rm old.data
"$IMG" info q | grep -q "data file: old.data"
for args in "map q" "check q" "convert -O raw q out"; do
    expect_fail 1 "old.data" "$IMG" $args
done

note "another data file, named by the user"
"$QEMU_IMG" create -q -f qcow2 -o data_file=gone.data moved 1M
"$QEMU_IO" -c "write -P 8 0 1M" moved >io.out
mv gone.data found.data
override=driver=qcow2,file.filename=moved,data-file.driver=file,data-file.filename=found.data
"$QEMU_IMG" map --image-opts $override >theirs.out
"$IMG" map --image-opts $override | diff theirs.out - || fail "data-file.filename"
"$IMG" convert -O raw --image-opts "driver=qcow2,file.filename=moved,data-file=found.data" back.raw
same back.raw found.data
"$IMG" create -q -f qcow2 plain 1M
expect_fail 1 "'data-file' can only be set" "$IMG" map --image-opts \
    driver=qcow2,file.filename=plain,data-file.filename=found.data

note "what no entry may be"
for raw in 8000000000010000 4000000000010000; do
    "$QEMU_IMG" create -q -f qcow2 -o data_file=bad.data bad 64k
    "$QEMU_IO" -f qcow2 -c "write 0 64k" bad >io.out
    poke bad 0x40000 "$raw"
    expect_fail 1 "L2 entry" "$IMG" convert -f qcow2 -O raw bad out.raw
done

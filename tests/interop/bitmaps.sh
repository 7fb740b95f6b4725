#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Persistent dirty bitmaps, both ways: the same work by qemu and by us on twin images leaves the same
# bits, as both programs read them. SEED=N in the environment repeats a run.

. "$(dirname "$0")/../lib.sh"
need "$QEMU_IMG" "$QEMU_IO" qemu-nbd
runs=$builddir/tests/tools/bitmap-runs
[ -x "$runs" ] || skip "tests/tools/bitmap-runs is not built"
seed=${SEED:-1}

# qemu_bits IMAGE BITMAP: the dirty runs as qemu sees them. Its NBD server says of them what it
# says of holes.
qemu_bits() {
    rm -f nbd.socket
    qemu-nbd -r -f qcow2 -k "$PWD/nbd.socket" -B "$2" --fork "$1" || fail "qemu-nbd $1 $2"
    "$QEMU_IMG" map --image-opts --output=json \
        "driver=nbd,server.type=unix,server.path=$PWD/nbd.socket,x-dirty-bitmap=qemu:dirty-bitmap:$2" |
        sed -n 's/.*"start": \([0-9]*\), "length": \([0-9]*\),.*"data": false.*/\1 \2/p' |
        awk 'function say() { if (n++) printf "%.0f %.0f\n", start, end }
             n && $1 == end { end += $2; next }
             { say(); start = $1; end = $1 + $2 }
             END { say() }'
}

# our_bits IMAGE BITMAP: what both programs say, who must agree.
our_bits() {
    qemu_bits "$1" "$2" >bits.theirs
    "$runs" "$1" "$2" >bits.ours || fail "bitmap-runs $1 $2"
    diff -u bits.theirs bits.ours >&2 || fail "$1, bitmap $2: qemu and we read different bits"
    cat bits.ours
}

# sound IMAGE...: both find nothing wrong.
sound() {
    local image
    for image; do
        "$QEMU_IMG" check -q "$image" >&2 || fail "qemu-img check $image: status $?"
        "$IMG" check -q "$image" >&2 || fail "img check $image: status $?"
    done
}

# agree BITMAP...: the images ours and theirs have the same bits.
agree() {
    local name
    sound ours theirs
    for name; do
        our_bits theirs "$name" >want
        our_bits ours "$name" >got
        diff -u want got >&2 || fail "bitmap $name of seed $seed: not the bits that qemu has"
    done
}

# both ARGS...: the same command to both; for an image "IMAGE" stands.
both() {
    "$QEMU_IMG" "${@/#IMAGE/theirs}" >theirs.out 2>&1 || { cat theirs.out; fail "qemu-img $*"; }
    "$IMG" "${@/#IMAGE/ours}" >ours.out 2>&1 || { cat ours.out; fail "img $*"; }
}

# use SIZE CLUSTER: random requests, the same for both.
use() {
    local n offset length unit commands=()
    seed=$((seed + 1))
    RANDOM=$seed
    for n in {1..25}; do
        unit=512
        [ $((RANDOM % 2)) = 0 ] || unit=$2
        offset=$(((RANDOM << 15 | RANDOM) % ($1 / unit) * unit))
        length=$(((RANDOM % 40 + 1) * unit))
        [ $((offset + length)) -le $1 ] || length=$(($1 - offset))
        [ $length -le $((4 << 20)) ] || length=$((4 << 20))
        case $((RANDOM % 8)) in
        0) commands+=(-c "write -z $offset $length") ;;
        1) commands+=(-c "write -z -u $offset $length") ;;
        2) commands+=(-c "discard $offset $length") ;;
        3) commands+=(-c flush) ;;
        *) commands+=(-c "write -P $((RANDOM % 256)) $offset $length") ;;
        esac
    done
    "$QEMU_IO" -t unsafe -f qcow2 "${commands[@]}" theirs >qemu-io.out 2>&1 || { cat qemu-io.out; fail qemu-io; }
    "$IMG" io -t unsafe -f qcow2 "${commands[@]}" ours >io.out 2>&1 || { cat io.out; fail "img io"; }
}

# A disk that ends inside a bit and inside a byte of bits.
size=$(((20 << 20) + 3 * 512))
for shape in "512 512" "512 65536" "4096 512" "4096 4096" "65536 65536" "65536 1M" "65536 2G" \
    "2M 512" "2M 64k"; do
    read -r cluster granularity <<<"$shape"
    [ "$cluster" != 2M ] || cluster=$((2 << 20))
    note "clusters of $cluster bytes, bits of $granularity; seeds from $((seed + 1))"
    rm -f theirs ours
    "$QEMU_IMG" create -q -f qcow2 -o "cluster_size=$cluster" theirs $size
    cp theirs ours
    both bitmap --add -g "$granularity" IMAGE on
    both bitmap --add --disable -g "$granularity" IMAGE off
    # qemu writes no compressed cluster where there is one already.
    "$QEMU_IO" -c "write -c 4M $cluster" theirs >/dev/null
    "$IMG" io -c "write -c 4M $cluster" ours >/dev/null
    use $size "$cluster"
    agree on off
    both bitmap --add IMAGE late
    both bitmap --enable IMAGE off
    use $size "$cluster"
    agree on off late
    # Now each goes on with what the other has made.
    mv ours swap && mv theirs ours && mv swap theirs
    both bitmap --clear IMAGE late
    both bitmap --merge off --disable IMAGE late
    use $size "$cluster"
    agree on off late
    both resize IMAGE $((size + (9 << 20) + 512))
    use $((size + (9 << 20) + 512)) "$cluster"
    agree on late
    both resize --shrink IMAGE $((size / 4096 * 512))
    agree on off late
    both resize IMAGE $size
    agree on off late
    both bitmap --remove IMAGE on
    agree off late
done

note "a chain: commit, rebase, convert, dd"
rm -f theirs ours
for side in theirs ours; do
    "$QEMU_IMG" create -q -f qcow2 $side.base 20M
    "$QEMU_IO" -c 'write -P 1 0 20M' $side.base >/dev/null
    "$QEMU_IMG" create -q -f qcow2 $side.other 20M
    "$QEMU_IO" -c 'write -P 1 0 10M' -c 'write -P 3 10M 10M' $side.other >/dev/null
    "$QEMU_IMG" create -q -f qcow2 -b $side.base -F qcow2 $side 24M
    "$QEMU_IMG" bitmap --add -g 4k $side.base base
    "$QEMU_IMG" bitmap --add -g 4k $side top
done
use $((24 << 20)) 65536
agree top
for side in theirs ours; do
    cp $side $side.copy
done
both rebase -b IMAGE.other -F qcow2 IMAGE
agree top
mv theirs.copy theirs && mv ours.copy ours
both commit IMAGE
agree top
mv theirs.base theirs && mv ours.base ours
agree base
both bitmap --clear IMAGE base
"$QEMU_IMG" create -q -f qcow2 source 12M
"$QEMU_IO" -c 'write -P 7 1M 1M' -c 'write -P 8 5M 64k' source >/dev/null
both convert -n -O qcow2 source IMAGE
agree base
both bitmap --clear IMAGE base
both convert -n --target-is-zero -O qcow2 source IMAGE
agree base

note "bitmaps are copied by convert"
rm -f theirs ours
"$QEMU_IMG" create -q -f qcow2 -o cluster_size=4k source 30M
"$IMG" bitmap --add -g 512 source fine
"$IMG" bitmap --add -g 1M source coarse
for n in {1..60}; do
    echo "write -P $n $((n * n * 4096)) $((n * 100))"
done >script
mapfile -t script <script
"$IMG" io "${script[@]/#/-c}" source >/dev/null
"$IMG" bitmap --disable source coarse
"$QEMU_IMG" convert --bitmaps -O qcow2 source theirs
"$IMG" convert --bitmaps -O qcow2 source ours
agree fine coarse
for name in fine coarse; do
    our_bits source $name >want
    our_bits ours $name | diff -u want - >&2 || fail "convert --bitmaps changed $name"
done
diff <("$QEMU_IMG" info theirs | grep -A20 bitmaps) <("$QEMU_IMG" info ours | grep -A20 bitmaps) >&2 ||
    fail "the copies are described in different ways"

note "a bitmap of a file into one of another"
for side in theirs ours; do
    cp source $side
    cp source $side.copy
    "$QEMU_IMG" bitmap --clear $side coarse
    "$QEMU_IMG" bitmap --clear $side fine
done
both bitmap --merge fine -b IMAGE.copy -F qcow2 IMAGE coarse
both bitmap --merge coarse -b IMAGE.copy -F qcow2 IMAGE fine
agree fine coarse

note "a writer that dies leaves its bitmaps in use"
rm -f image
"$QEMU_IMG" create -q -f qcow2 image 10M
"$IMG" bitmap --add image on
"$IMG" bitmap --add --disable image off
"$IMG" io -c 'write 0 64k' image >/dev/null
mkfifo fifo
"$IMG" io image <fifo >io.out 2>&1 &
pid=$!
exec 9>fifo
echo 'write 1M 64k' >&9
echo 'flush' >&9
for _ in $(seq 200); do
    ! grep -q wrote io.out || break
    sleep 0.05
done
sleep 0.2
kill -KILL $pid
wait $pid && fail "it was to be killed"
exec 9>&-
"$QEMU_IMG" info image >info.out
grep -A5 '\[0\]:$' info.out | grep -q in-use || { cat info.out; fail "the bitmap is not in use"; }
[ "$(grep -c in-use info.out)" = 1 ] || fail "a bitmap that nobody wrote to is in use"
expect_fail 1 "Bitmap 'on' is inconsistent and cannot be used" "$IMG" bitmap --clear image on
expect_fail 1 "Bitmap 'on' is inconsistent and cannot be used" "$IMG" resize image 20M
expect_fail 1 "inconsistent" "$runs" image on
[ "$(our_bits image off)" = "" ] || fail "the disabled bitmap has bits"
"$IMG" io -c 'write 2M 64k' image >/dev/null || fail "the image cannot be written"
"$QEMU_IMG" info image | grep -q in-use || fail "the bitmap became consistent by itself"
for status in 0 3; do
    "$QEMU_IMG" check -q image || [ $? = $status ] || fail "qemu-img check: status $?"
    "$IMG" check -q -r all image || [ $? = $status ] || fail "img check -r all"
done
"$IMG" bitmap --remove image on || fail "an inconsistent bitmap cannot be removed"
"$IMG" bitmap --remove image off
sound image
! "$QEMU_IMG" info image | grep -q bitmaps || fail "there are bitmaps left"

note "a bitmap of 16 TiB in little memory"
timer=$builddir/tests/tools/timer
[ -x "$timer" ] || fail "tests/tools/timer is not built"
limit=$((32 * 1024)) # KiB; the bits alone are 512 MiB
! grep -qE '__(asan|tsan)_init' "$IMG" || limit=$((16 * 1024 * 1024))
"$IMG" create -q -f qcow2 -o cluster_size=2M huge 16T
"$IMG" bitmap --add -g 4k huge b
commands=()
for n in {0..127}; do
    commands+=(-c "write $((n << 37)) 4k")
done
"$timer" figures "$IMG" io "${commands[@]}" -c 'write -z -u 12T 1G' huge >/dev/null ||
    fail "writing to a disk with a large bitmap"
read -r _ peak _ <figures
note "$peak KiB"
[ "$peak" -lt $limit ] || fail "$peak KiB at the peak, $limit is the limit"
for n in {0..127}; do
    end=$(((n << 37) + 4096))
    [ $n != 96 ] || end=$(((n << 37) + (1 << 30)))
    echo "$((n << 37)) $end"
done >want
our_bits huge b | cmp want - >&2 || fail "the bits of the huge disk"
sound huge

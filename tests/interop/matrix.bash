#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The interop matrix, sourced by matrix-*.sh: rows are a format with its options,
# columns are contents. Each cell is tried in both directions: written by us and
# read by qemu-img, written by qemu-img and read by us. All cells are run, then
# the count of those that failed decides.

need "$QEMU_IMG"

cells=0
cells_failed=0
all_contents="empty sparse full odd over backed"

# noise BYTES: bytes that no codec makes smaller, always the same.
noise() {
    seq 1 2000000 | gzip -1nc | head -c "$1"
}

# make_content NAME CLUSTER: the raw disk NAME.raw, anew for each size of cluster.
make_content() {
    local cluster=$2 size=$((3 << 20))
    [ "$cluster" -le 1048576 ] || size=$((6 << 20))
    rm -f "$1.raw"
    case $1 in
    empty)
        truncate -s "$size" empty.raw
        ;;
    sparse | backed)
        truncate -s "$size" "$1.raw"
        noise 70000 | dd of="$1.raw" conv=notrunc status=none
        noise 5000 | dd of="$1.raw" conv=notrunc bs=1 seek=$((size / 2 + 1234)) status=none
        seq 1 9000 | dd of="$1.raw" conv=notrunc bs=512 seek=$((size / 512 - 200)) status=none
        ;;
    full)
        { noise $((size / 2)); seq 1 2000000; } | head -c "$size" >full.raw
        ;;
    odd)
        truncate -s $((size + 512 * 3)) odd.raw
        noise 1536 | dd of=odd.raw conv=notrunc bs=512 seek=$((size / 512)) status=none
        ;;
    over)
        truncate -s $((cluster * 3 + 512)) over.raw
        noise $((cluster + 1)) | dd of=over.raw conv=notrunc bs="$cluster" seek=1 status=none
        noise 1 | dd of=over.raw conv=notrunc bs=1 seek=$((cluster * 3)) status=none
        ;;
    esac
}

# make_base FORMAT: what the "backed" cells lie on: base.FORMAT, partly as they are.
make_base() {
    rm -f base.raw "base.$1"
    cp backed.raw base.raw
    noise 300000 | dd of=base.raw conv=notrunc bs=4096 seek=9 status=none
    [ "$1" = raw ] || "$QEMU_IMG" convert -f raw -O "$1" base.raw "base.$1"
}

# identical COMMAND...: a compare that must find the images equal, sizes too.
identical() {
    "$@" >compare.out 2>&1 || { cat compare.out; return 1; }
    [ "$(cat compare.out)" = "Images are identical." ] || { cat compare.out; return 1; }
}

# sound TOOL FORMAT FILE [STATUS]: the check finds nothing, or ends with that status; a format may
# have no check (63).
sound() {
    local status=0
    "$1" check -f "$2" "$3" >check.out 2>&1 || status=$?
    [ $status = 0 ] || [ $status = 63 ] || [ $status = "${4:-0}" ] || { cat check.out; return 1; }
}

# The two kinds of cell: FORMAT OPTIONS FLAGS CONTENT.
cell_written_by_us() {
    "$IMG" convert $3 -f raw -O "$1" ${2:+-o "$2"} "$4.raw" us &&
        identical "$QEMU_IMG" compare -f raw -F "$1" "$4.raw" us &&
        sound "$QEMU_IMG" "$1" us &&
        sound "$IMG" "$1" us &&
        identical "$IMG" compare -f raw -F "$1" "$4.raw" us
}

cell_written_by_qemu() {
    "$QEMU_IMG" convert $3 -f raw -O "$1" ${2:+-o "$2"} "$4.raw" them &&
        identical "$IMG" compare -f raw -F "$1" "$4.raw" them &&
        "$IMG" convert -f "$1" -O raw them back &&
        cmp "$4.raw" back &&
        sound "$IMG" "$1" them "${them_status:-0}"
}

# cell KIND FORMAT OPTIONS FLAGS CONTENT
cell() {
    local kind=$1
    shift
    cells=$((cells + 1))
    rm -f us* them* back
    if ! "cell_$kind" "$@" >cell.out 2>&1; then
        cells_failed=$((cells_failed + 1))
        echo "FAIL: $kind: $1 ${2:-no options} ${3:-} $4"
        cat cell.out
    fi
}

# row FORMAT OPTIONS FLAGS CLUSTER [KIND...]: one row of the matrix. FLAGS are for convert.
# "backed" is left out where `backing` (a format) is empty.
row() {
    local format=$1 options=$2 flags=$3 cluster=$4 content kind extra
    shift 4
    note "$format ${options:-no options} $flags"
    for content in $all_contents; do
        extra=
        if [ "$content" = backed ]; then
            [ -n "$backing" ] || continue
            make_content backed "$cluster"
            make_base "$backing"
            extra="-B base.$backing -F $backing"
        else
            make_content "$content" "$cluster"
        fi
        for kind in "${@:-written_by_us}"; do
            cell "$kind" "$format" "$options" "$flags $extra" "$content"
        done
        [ $# -gt 0 ] || cell written_by_qemu "$format" "$options" "$flags $extra" "$content"
    done
}

# matrix_end: the result of the file.
matrix_end() {
    echo "$((cells - cells_failed)) passed, $cells_failed failed"
    [ "$cells_failed" = 0 ]
}

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Command lines side by side: images with extended L2 entries and with external data files.
. "$(dirname "$0")/sidebyside.bash"

# ------------------------------------------------------------------- extended L2

same_err create -f qcow2 -o extended_l2=on sub.qcow2 1G
same_err create -f qcow2 -o extended_l2=on,cluster_size=16k sub16.qcow2 1M
same_err create -f qcow2 -o extended_l2=on,preallocation=metadata -b data.raw -F raw subover.qcow2
same info sub.qcow2
same_json info --output=json sub.qcow2
same map subover.qcow2
same map --output=json subover.qcow2
same_disk out.qcow2 convert -O qcow2 -o extended_l2=on data.raw out.qcow2
same map --output=json out.qcow2
same check out.qcow2
same_disk out.qcow2 convert -c -O qcow2 -o extended_l2=on,cluster_size=128k data.raw out.qcow2
same_disk out.raw convert -O raw out.qcow2 out.raw
same compare out.qcow2 data.raw
same_err resize sub.qcow2 2G
same_err resize --preallocation=metadata sub16.qcow2 2M
same map --output=json sub16.qcow2
same measure -O qcow2 -o extended_l2=on --size 10G
same measure -O qcow2 -o extended_l2=on data.raw

# --------------------------------------------------------------------- data files

same_err create -f qcow2 -o data_file=out.data out.qcow2 1M
same_err create -f qcow2 -o data_file=raw.data,data_file_raw=on raw.qcow2 1M
same_err create -f qcow2 -o data_file=over.data -b data.raw -F raw dataover.qcow2
same info out.qcow2
same_json info --output=json raw.qcow2
same map --output=json raw.qcow2
same map raw.qcow2
same check raw.qcow2
same convert -O qcow2 -o data_file=out.data data.raw out.qcow2
same map --output=json out.qcow2
same check --output=json out.qcow2
same convert -O qcow2 -o data_file=raw.data,data_file_raw=on data.raw raw.qcow2
same_disk out.raw convert -O raw raw.qcow2 out.raw
same compare out.qcow2 raw.qcow2
same compare -F raw data.raw out.qcow2
same compare -f raw -F qcow2 data.raw out.qcow2
same compare -f raw raw.data data.raw
same_err resize out.qcow2 8M
same_err resize --shrink raw.qcow2 1M
same info raw.qcow2
same measure -O qcow2 out.qcow2
same measure -O raw raw.qcow2

# ------------------------------------------------------- intended differences

nothing='nothing is formatted, so nothing says so'
differs 1 "$nothing" create -f qcow2 -o extended_l2=on,cluster_size=8k bad.qcow2 1M
differs 1 "$nothing" create -f qcow2 -o extended_l2=on,compat=v2 bad.qcow2 1M
differs 1 "$nothing" create -f qcow2 -o data_file=bad.data,compat=v2 bad.qcow2 1M
differs 1 "$nothing" create -f qcow2 -o data_file_raw=on bad.qcow2 1M
differs 1 "$nothing" create -f qcow2 -o data_file=bad.data,data_file_raw=on -b data.raw -F raw bad.qcow2
differs 1 "$nothing" create -f qcow2 -o data_file=missing/bad.data bad.qcow2 1M
differs 1 'compression is refused before it begins' \
    convert -c -O qcow2 -o data_file=bad.data data.raw bad.qcow2
differs 1 'a reason, not a number' snapshot -c one raw.qcow2
differs 1 'a reason, not a number' rebase -u -b data.raw -F raw raw.qcow2

finish

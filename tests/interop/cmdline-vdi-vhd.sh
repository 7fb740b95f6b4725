#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Side by side with qemu-img: VDI and VHD (vpc).
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/sidebyside.bash"

# What is to be looked at, the same for both.
(
    cd fixtures
    for n in off on; do
        $QEMU_IMG convert -O vdi -o static=$n data.raw static=$n.vdi
    done
    for n in dynamic fixed; do
        $QEMU_IMG convert -O vpc -o subformat=$n,force_size=on data.raw $n.vhd
        $QEMU_IMG convert -O vpc -o subformat=$n data.raw chs-$n.vhd
    done
    cp static=off.vdi count.vdi
    printf 'c' | dd of=count.vdi bs=1 seek=388 conv=notrunc status=none
    # signature, version, offset_bmap, offset_data, sector size, disk size
    for field in 64 68 340 344 360 371; do
        cp static=off.vdi bad-$field.vdi
        printf x | dd of=bad-$field.vdi bs=1 seek=$field conv=notrunc status=none
    done
)
reset

# --------------------------------------------------------------------- create

for size in 0 1 511 512 1000 1M 10000001 100M 4G; do
    same_err create -f vdi new.vdi $size
    same_err info -f vdi new.vdi
    same_err create -f vpc new.vhd $size
    same_err info -f vpc new.vhd
    same_err create -f vpc -o force_size=on,subformat=fixed new.vhd $size
done
same_err create -f vdi -o static=on new.vdi 10M
same_err create -f vdi -o static=on,preallocation=full new.vdi 10M
same_err create -f vdi -o static=maybe new.vdi 10M
differs 1 'nothing is formatted when it cannot be' create -f vdi -o preallocation=metadata new.vdi 10M
differs 1 'nothing is formatted when it cannot be' create -f vdi -o preallocation=nonsense new.vdi 10M
same_err create -f vdi -o nonsense=on new.vdi 10M
same_err create -f vdi new.vdi
differs 1 'nothing is formatted when it cannot be' create -f vdi new.vdi 1000T
same_err create -f vdi -b data.raw -F raw new.vdi
differs 1 'nothing is formatted when it cannot be' create -f vpc -o subformat=nonsense new.vhd 10M
same_err create -f vpc -o subformat=fixed new.vhd 10M
same_err create -f vpc -o force_size=on new.vhd 10M
same_err create -f vpc new.vhd 2040G
differs 1 'nothing is formatted when it cannot be' create -f vpc new.vhd 2041G
differs 1 'nothing is formatted when it cannot be' create -f vpc -o force_size=on new.vhd 2041G
same_err create -f vpc -b data.raw -F raw new.vhd
same create -f vdi -o help new
same create -f vpc -o help new
reset

# ------------------------------------------------------------------------ look

for image in static=off.vdi static=on.vdi dynamic.vhd fixed.vhd chs-dynamic.vhd chs-fixed.vhd; do
    case $image in
    *.vdi) format=vdi ;;
    *) format=vpc ;;
    esac
    same_err info -f $format $image
    same_json info -f $format --output=json $image
    same_err map -f $format $image
    same_err compare -f $format -F raw $image data.raw
    same_err convert -f $format -O raw $image out.raw
    same_err snapshot -l $image
    same_err convert -c -O $format data.raw out
    differs 0 'qemu-img cannot resize it' resize -f $format $image 100M
    differs 0 'qemu-img cannot measure it' measure -O $format data.raw
done
reset
for image in static=off.vdi dynamic.vhd chs-dynamic.vhd; do
    same_err info $image
    same_err map --output=json $image
done
same_err info fixed.vhd # not probed
differs 0 'a hole of a fixed image is no data' map --output=json static=on.vdi
differs 0 'a hole of a fixed image is no data' map --output=json -f vpc fixed.vhd
for image in bad-*.vdi; do
    same_err info -f vdi "$image"
done
differs 1 'it says first that there is no signature' info -f vdi data.raw
same check static=off.vdi
same check static=on.vdi
same check --output=json static=on.vdi
differs 3 'places that nobody has are lost space' check count.vdi
differs 0 'qemu-img cannot check it' check dynamic.vhd
differs 0 'qemu-img cannot repair it' check -r all static=off.vdi
for options in driver=vpc,file.filename=chs-dynamic.vhd,force_size_calc=current_size \
    driver=vpc,file.filename=dynamic.vhd,force_size_calc=chs; do
    same_err compare --image-opts $options $options
    same_disk out.raw convert --image-opts -O raw $options out.raw
done
same_err info --image-opts driver=vpc,file.filename=dynamic.vhd,force_size_calc=x

# --------------------------------------------------------------------- convert

for source in data.raw odd.raw nothing.raw packed.qcow2 over.qcow2; do
    same_disk out.vdi convert -O vdi $source out.vdi
    same_disk out.vdi convert -O vdi -o static=on $source out.vdi
    same_disk out.vhd convert -O vpc $source out.vhd
    same_disk out.vhd convert -O vpc -o force_size=on $source out.vhd
done

# --------------------------------------------------------------- commit, rebase

for image in "vdi static=off.vdi" "vpc dynamic.vhd" "vpc fixed.vhd"; do
    same_err commit -f ${image% *} ${image#* }
    same_err rebase -f ${image% *} -b data.raw -F raw ${image#* }
    same_err rebase -u -f ${image% *} -b data.raw -F raw ${image#* }
    same_err rebase -f ${image% *} -b '' ${image#* }
done

finish

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Encryption, side by side: see sidebyside.bash.

. "$(dirname "$0")/sidebyside.bash"
. "$srcdir/tests/interop/encryption.bash"

printf 'open sesame' >fixtures/right.pw
printf 'open sesam' >fixtures/wrong.pw
for n in raw.qcow2 raw.luks; do
    case $n in
    *.luks) quemu convert -O luks -o key-secret=s,iter-time=10 fixtures/data.raw "fixtures/$n" ;;
    *) quemu convert -O qcow2 -o "$luks" fixtures/data.raw "fixtures/$n" ;;
    esac
    mv "fixtures/$n" "fixtures/secret.${n#raw.}"
done
quemu convert -O qcow2 -o encryption=on,encrypt.key-secret=s fixtures/data.raw fixtures/old.qcow2
$QEMU_IMG create -q -f qcow2 -b secret.qcow2 -F qcow2 -u fixtures/locked.qcow2 3M
reset

q=$(opts qcow2 secret.qcow2)
l=$(opts luks secret.luks)
w=${q/secret=s/secret=w}

# info needs no key.
for image in secret.qcow2 secret.luks old.qcow2; do
    same_err info $image
    same_json info --output=json $image
done
same_err info --image-opts "${q/key-secret=s/format=aes}"

# Everybody else does.
same_err map secret.qcow2
same_err map secret.luks
same_err map old.qcow2
same_err convert -O raw secret.qcow2 out.raw
same_err convert -O raw secret.luks out.raw
same_err compare secret.qcow2 data.raw
same_err measure -O qcow2 secret.qcow2
same_err resize secret.qcow2 4M
same_err resize secret.luks 4M
same_err snapshot -l secret.qcow2
same_err amend -f qcow2 -o size=4M secret.qcow2
same_err map --image-opts "$q"
same_err map --image-opts "$l"
same_err map "${secrets[@]}" --image-opts "$w"
same_err map "${secrets[@]}" --image-opts "$q,encrypt.format=aes"
same_err map "${secrets[@]}" --image-opts driver=qcow2,file.filename=data.qcow2,encrypt.format=luks

same_err map "${secrets[@]}" --image-opts --output=json "$q"
same_err map "${secrets[@]}" --image-opts "$q"
same_err map "${secrets[@]}" --image-opts --output=json "$l"
same_err map "${secrets[@]}" --image-opts "$l"
same_err check "${secrets[@]}" --image-opts "$l"
same_err compare "${secrets[@]}" --image-opts "$q" "$l"
same_disk out.raw convert "${secrets[@]}" --image-opts "$q" -O raw out.raw
same_disk out.raw convert "${secrets[@]}" --image-opts "$l" -O raw out.raw
same_disk out.raw convert "${secrets[@]}" --image-opts "$(opts qcow2 old.qcow2)" -O raw out.raw
same_err convert "${secrets[@]}" -c -O qcow2 -o "$luks" data.raw out.qcow2
same_err resize "${secrets[@]}" --image-opts "$l" 1M
same_err amend "${secrets[@]}" --image-opts -o state=active "$l"
same_err amend "${secrets[@]}" --image-opts -o new-secret=w "$l"
same_err amend "${secrets[@]}" --image-opts -o state=inactive "$l"
same_err amend "${secrets[@]}" --image-opts -o state=inactive,keyslot=0 "$l"
same_err amend "${secrets[@]}" --image-opts -o state=inactive,keyslot=9 "$l"
same_err amend "${secrets[@]}" --image-opts -o state=inactive,old-secret=w "$l"
same_err amend "${secrets[@]}" --image-opts -o encrypt.state=inactive,encrypt.old-secret=s "$q"
same_err amend "${secrets[@]}" -o encrypt.state=active,encrypt.new-secret=w data.qcow2
same_err amend -f luks -o help
same_err measure -O luks --size 1M
same_err measure -O qcow2 -o encrypt.format=luks --size 1M

differs 0 'a name is shown, not the options as JSON' info --image-opts "${secrets[@]}" "$w"
differs 1 'the error names the image that is locked' map locked.qcow2
differs 0 'a check looks at structures that are not encrypted' check secret.qcow2
differs 1 'nothing is formatted, so nothing says so' create -f luks x.luks 1M
differs 1 'nothing is formatted, so nothing says so' \
    create -f qcow2 -o encrypt.format=luks x.qcow2 1M

finish

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Command lines that name images by options and JSON, and that define objects.
# Given to qemu-img and to img, see sidebyside.bash.

. "$(dirname "$0")/sidebyside.bash"

QCOW2=driver=qcow2,file.filename=data.qcow2
RAW=driver=raw,file.filename=data.raw

# ----------------------------------------------------------------- image-opts

for options in $QCOW2 $RAW file.filename=data.qcow2 driver=qcow2,file.driver=file,file.filename=data.qcow2 \
    $QCOW2,file.locking=off $QCOW2,file.locking=auto $QCOW2,file.locking=on $QCOW2,file.aio=threads \
    $QCOW2,cache.direct=on,file.aio=native $QCOW2,cache.direct=on $QCOW2,cache.no-flush=on \
    $QCOW2,cache.direct=off,cache.no-flush=off $QCOW2,read-only=on \
    $QCOW2,auto-read-only=on $QCOW2,force-share=on $QCOW2,discard=unmap $QCOW2,discard=ignore \
    $QCOW2,detect-zeroes=on $QCOW2,detect-zeroes=off $QCOW2,discard=unmap,detect-zeroes=unmap \
    $QCOW2,node-name=disk $QCOW2,file.node-name=disk $QCOW2,overlap-check=all \
    $QCOW2,overlap-check.template=none $QCOW2,overlap-check.main-header=on $QCOW2,cache-size=1M \
    $QCOW2,l2-cache-size=1M $QCOW2,refcount-cache-size=512k $QCOW2,cache-clean-interval=10 \
    $QCOW2,pass-discard-request=on $QCOW2,pass-discard-snapshot=off,pass-discard-other=off \
    $QCOW2,file.cache.direct=on $QCOW2,file.discard=unmap $RAW,offset=0 \
    driver=qcow2,file.filename=over.qcow2 driver=vmdk,file.filename=monolithicSparse.vmdk \
    driver=raw,file.filename=over.qcow2 $QCOW2,file.read-only=on \
    $QCOW2,lazy-refcounts=on $QCOW2,lazy-refcounts=off; do
    same_err map --output=json --image-opts $options
    same_err compare --image-opts $options $QCOW2
    same_disk out.raw convert --image-opts $options out.raw
done
for options in '' data.qcow2 driver=qcow2 driver=nonsense driver=nonsense,file.filename=data.qcow2 \
    $QCOW2,nonsense=1 $QCOW2,lazy-refcounts=maybe driver=qcow2,file.filename=v2.qcow2,lazy-refcounts=on \
    $QCOW2,id=disk $QCOW2,file.nonsense=1 $QCOW2,file.driver=host_device \
    $QCOW2,file.driver=host_cdrom driver=qcow2,file.filename=missing \
    driver=qcow2,file.driver=file driver=qcow2,file=node driver=qcow2,file.filename=data.raw \
    $QCOW2,file.locking=maybe $QCOW2,file.aio=maybe $QCOW2,file.aio=native \
    $QCOW2,cache.direct=maybe $QCOW2,cache.no-flush=maybe $QCOW2,read-only=maybe \
    $QCOW2,discard=maybe $QCOW2,detect-zeroes=maybe $QCOW2,detect-zeroes=unmap \
    $RAW,offset=512,size=20M $RAW,offset=100M $RAW,size=100 $RAW,nonsense=1 $QCOW2,cache-size=x \
    $QCOW2,backing.driver=raw,backing.file.filename=data.raw $QCOW2,backing=node \
    driver=raw,file.filename=nonsense:x driver=qcow2,file.filename=file:data.qcow2 $QCOW2,overlap-check.main-header=maybe; do
    same_err info --image-opts "$options"
    same_err check --image-opts "$options"
done
for command in info map check; do
    same_err $command --image-opts -f qcow2 $QCOW2
done
same_err check --image-opts $QCOW2
same_err measure --image-opts -O qcow2 $QCOW2
same_err measure --image-opts --size 1M
same_err convert --image-opts -f raw $RAW out.raw
same_err compare --image-opts -F raw $RAW $RAW
same_disk out.raw dd --image-opts if=$RAW of=out.raw bs=64k count=3
for options in driver=qcow2,file.filename=over.qcow2 \
    driver=qcow2,file.filename=over.qcow2,backing.driver=raw,backing.file.filename=other.raw \
    driver=qcow2,file.filename=over.qcow2,backing.file.filename=other.raw \
    driver=qcow2,file.filename=data.qcow2,backing.driver=raw,backing.file.filename=other.raw; do
    same_err map --output=json --image-opts $options
    same_disk out.raw convert --image-opts $options out.raw
    same_err compare --image-opts $options driver=raw,file.filename=other.raw
done
same_err map --image-opts \
    driver=qcow2,file.filename=over.qcow2,backing.driver=raw,backing.file.filename=missing
same_err map --image-opts driver=qcow2,file.filename=over.qcow2,backing=node
for options in driver=raw,file.filename=data.raw,offset=64k,size=128k $RAW,offset=512 $RAW,size=1M; do
    same_disk out.raw convert --image-opts $options out.raw
    same_err map --output=json --image-opts $options
done

# ----------------------------------------------------------- what is changed

same_disk large.qcow2 convert -n --target-image-opts data.raw \
    driver=qcow2,file.filename=large.qcow2
same_disk other.raw convert -n --image-opts --target-image-opts $QCOW2 \
    driver=raw,file.filename=other.raw,file.locking=off
same_disk large.qcow2 convert -n --target-image-opts data.raw \
    driver=qcow2,file.filename=large.qcow2,discard=unmap,detect-zeroes=unmap
same_err convert -n -O qcow2 --target-image-opts data.raw driver=qcow2,file.filename=large.qcow2
same_err convert --target-image-opts data.raw driver=qcow2,file.filename=large.qcow2
same_err convert -n --target-image-opts data.raw driver=qcow2,file.filename=missing
same_err convert -n --target-image-opts data.raw large.qcow2
same_disk data.raw resize --image-opts $RAW 4M
same_disk data.qcow2 resize --image-opts $QCOW2 4M
same_disk data.raw commit --image-opts driver=qcow2,file.filename=over.qcow2
reset
same_disk over.qcow2 rebase --image-opts -b other.raw -F raw driver=qcow2,file.filename=over.qcow2
reset

# ----------------------------------------------------------------------- JSON

file='"file": {"driver": "file", "filename": "data.qcow2"}'
for name in "json:{\"driver\": \"qcow2\", $file}" "json:{$file}" \
    'json:{"driver": "qcow2", "file.filename": "data.qcow2"}' \
    "json:{\"driver\": \"qcow2\", \"read-only\": true, $file}" \
    "json:{\"driver\": \"qcow2\", \"cache\": {\"direct\": true, \"no-flush\": false}, $file}" \
    "json:{\"driver\": \"raw\", \"offset\": 0, $file}" \
    "json:{\"driver\": \"qcow2\", $file, \"nonsense\": 1}" \
    "json:{\"driver\": \"qcow2\", $file, \"a\": {\"b\": null}}" \
    "json:{\"driver\": \"nonsense\", $file}" \
    'json:{"driver": "qcow2", "file": "data.qcow2"}' 'json:{"driver": "qcow2"}' 'json:[]' 'json:1' \
    'json:{}' "json:{\"driver\": \"qcow2\", $file, \"read-only\": \"maybe\"}" \
    file:data.qcow2 file:missing nonsense:data.qcow2 file:./data.raw; do
    same_err map "$name"
    same_disk out.raw convert "$name" out.raw
done
name='json:{"driver": "qcow2", "backing": null, "file": {"driver": "file", "filename": "over.qcow2"}}'
same_err map --output=json "$name"
same_disk out.raw convert "$name" out.raw
for command in info 'info --backing-chain' check 'snapshot -l' 'rebase -u -b data.raw -F raw' \
    'resize -q --shrink' 'amend -o compat=1.1'; do
    size=
    [ "${command#resize}" = "$command" ] || size=1M
    # shellcheck disable=SC2086
    same_err $command "$name" $size
    # shellcheck disable=SC2086
    same_err $command "${name/null/\{\"driver\": \"raw\"\}}" $size
done
name='json:{"driver": "raw", "backing": null, "file": {"driver": "file", "filename": "data.raw"}}'
same_err info "$name"
same_disk out.raw convert "$name" out.raw
same_err create -f qcow2 file:new.qcow2 1M
same_err create -f raw nonsense:new.raw 1M
same_err create -f raw json:new.raw 1M
same_disk new.qcow2 convert -O qcow2 file:data.raw file:new.qcow2
same_err measure -O qcow2 file:data.raw
same_err check file:data.qcow2
same_err dd if=file:data.raw of=file:out.raw bs=64k count=2

# -------------------------------------------------------------------- objects

printf 'a passphrase' >theirs/secret
cp theirs/secret ours/secret
for object in secret,id=s,data=x secret,id=s,file=secret qom-type=secret,id=s,data=x \
    secret,id=s,data=eA==,format=base64 secret,id=s,data=x,format=raw \
    '{"qom-type": "secret", "id": "s", "data": "x"}' \
    nonsense secret secret,id=s secret,id=s,data=x,file=secret secret,id=s,data=x,format=nonsense \
    secret,id=s,data=x,nonsense=1 nonsense,id=s '' id=s,data=x; do
    same_err map --object "$object" data.qcow2
    same_err create --object "$object" -f qcow2 new.qcow2 1M
done
for command in check info map 'measure -O raw' 'compare data.raw' 'resize -q' 'commit -d'; do
    # shellcheck disable=SC2086
    same_err $command --object nonsense,id=a data.qcow2
done
same_err check --object secret,id=s,data=x --object secret,id=t,data=y data.qcow2
same_err check --object secret,id=s,data=x --object secret,id=s,data=x data.qcow2

# ------------------------------------------------------- intended differences

differs 1 'our own words for a syntax error' info 'json:{"driver":"qcow2"'
differs 1 'our own words for a syntax error' info --object '{"qom-type": "secret"' data.qcow2
differs 1 'an error names the image' info -U --image-opts $QCOW2,force-share=off
differs 1 'an error says what was being done' convert data.raw nonsense:x
differs 0 'the file is named, not what is made of it' info --image-opts $RAW,offset=512,size=1k
differs 0 'a protocol by itself is a raw disk' info --image-opts driver=file,filename=data.raw
differs 1 'there are no protocols yet' info nbd:localhost:1
differs 1 'there are no protocols yet' info --image-opts driver=raw,file.driver=nbd,file.host=x
differs 1 'there are no formats below formats' \
    info --image-opts driver=raw,file.driver=qcow2,file.file.filename=data.qcow2
differs 0 'an empty name is as good as null' \
    map --image-opts driver=qcow2,file.filename=over.qcow2,backing=
differs 0 'an empty name is as good as null' \
    rebase -u -b data.raw -F raw --image-opts driver=qcow2,file.filename=over.qcow2,backing=
differs 1 'the identifier is explained nowhere else' info --object secret,id=1,data=x data.qcow2
differs 1 'our own words for what cannot be read' info --object secret,id=s,file=missing data.qcow2
differs 1 'secrets are the only objects' info --object tls-creds-x509,id=t,dir=/x data.qcow2
differs 1 'secrets are the only objects' info --object iothread,id=t data.qcow2
differs 0 'secrets are the only objects' info --object help data.qcow2
differs 0 'the format has its values' info --object secret,help data.qcow2

finish

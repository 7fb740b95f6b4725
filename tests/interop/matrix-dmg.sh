#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Interop matrix: DMG, which we only read. Made by hand; what qemu-img can read of it (Debian's
# knows raw and zlib), it must read alike, and so must 7-Zip and dmg2img.
. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/interop/matrix.bash"

need perl bzip2 xz 7z dmg2img

# make FORM CODECS CHUNK CONTENT
make() {
    rm -rf them* out
    perl "$srcdir/fixtures/make-dmg.pl" "$1" "$2" "$3" "$4.raw" them.dmg
}

# reads CONTENT
reads() {
    identical "$IMG" compare -f raw -F dmg "$1.raw" them.dmg || fail "$1: read differently"
    "$IMG" convert -O raw them.dmg back # found by probing
    same "$1.raw" back
    "$IMG" check them.dmg >check.out || fail "$1: $(cat check.out)"
}

# by_others CONTENT CODECS: 7-Zip also looks at the checksums.
by_others() {
    case $2 in
    raw | zlib | raw,zlib)
        # It tells of the codecs that it lacks.
        [ "$("$QEMU_IMG" compare -f raw -F dmg "$1.raw" them.dmg 2>/dev/null)" = \
            "Images are identical." ] || fail "$1 $2: qemu-img reads differently"
        ;;
    esac
    case $2 in
    *lzma*) return ;; # younger than what Debian has of the others
    esac
    dmg2img -s them.dmg them.raw >dmg2img.out || fail "$1 $2: dmg2img: $(cat dmg2img.out)"
    same "$1.raw" them.raw
    7z x -y -tdmg -oout them.dmg >7z.out || fail "$1 $2: 7z: $(cat 7z.out)"
    cat out/0* out/1* | cmp - "$1.raw" || fail "$1 $2: 7z reads differently"
}

for form in xml rsrc; do
    for codecs in raw zlib bzip2 adc lzma raw,zlib,bzip2,adc raw,zlib,bzip2,adc,lzma; do
        note "$form $codecs"
        # A chunk of 512 sectors, and one that is no power of two.
        for chunk in 512 131; do
            for content in empty sparse odd; do
                make_content $content 65536
                make $form $codecs $chunk $content
                reads $content
                [ $form != xml ] || by_others $content $codecs
            done
        done
    done
done

note "what is not known is refused by its name"
make_content sparse 65536
make xml zlib 512 sparse
# type OLD NEW: of all chunks in the table; the property list keeps its length.
type() {
    perl -0777 -i -MMIME::Base64 -pe '
        BEGIN { $old = pack "N", hex shift; $new = pack "N", hex shift }
        s{(<data>\n)(.*?)(\t*</data>)}{
            my ($head, $table, $end) = ($1, decode_base64($2), $3);
            for (my $n = 204; $n < length $table; $n += 40) {
                substr($table, $n, 4) = $new if substr($table, $n, 4) eq $old;
            }
            (my $text = encode_base64 $table) =~ s/^/\t\t\t\t/mg;
            $head . $text . $end
        }sge' "$1" "$2" them.dmg
}
type 80000005 80000009
expect_fail 1 "chunks of the type 0x80000009 are not known" "$IMG" convert -O raw them.dmg out.raw
[ ! -e out.raw ] || fail "there is a target"
type 80000009 80000007
"$IMG" info them.dmg >/dev/null
expect_fail 1 LZFSE "$IMG" convert -O raw them.dmg out.raw

note "a byte that changed is found"
make xml raw,zlib 512 sparse
poke them.dmg 100 ee
expect_fail 2 "CRC-32" "$IMG" check them.dmg
grep -q 'Driver Descriptor Map' expect_fail.err || fail "the table is not named"
grep -q 'data fork' expect_fail.err || fail "the data fork's checksum is not looked at"
make xml zlib 512 sparse
poke them.dmg 100 ee
expect_fail 2 "sectors 0 to 39 (zlib" "$IMG" check them.dmg
expect_fail 1 "zlib" "$IMG" convert -O raw them.dmg out.raw

note "what has lost a part is no raw disk"
make xml raw,zlib 512 sparse
size=$(stat -c %s them.dmg)
head -c $((size / 2)) them.dmg >cut.dmg
tail -c 512 them.dmg >>cut.dmg
expect_fail 1 "is not inside the file" "$IMG" info cut.dmg
expect_fail 1 "is not inside the file" "$IMG" convert -O raw cut.dmg out.raw
head -c $((size - 512)) them.dmg >cut.dmg
expect_fail 1 "UDIF trailer" "$IMG" convert -f dmg -O raw cut.dmg out.raw
[ ! -e out.raw ] || fail "there is a target"

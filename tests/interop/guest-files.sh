#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Every file of the Debian guest, by cp, tar, cat, ls and find, is what a kernel
# mount of the same filesystem shows.

. "$(dirname "$0")/../lib.sh"
. "$srcdir/tests/guest.bash"
need losetup getfattr jq tar
[ "$(id -u)" = 0 ] || skip "only root can mount"
export TZ=UTC
guest_image

cp --sparse=always --reflink=auto "$guest_image" disk.raw
mkdir mounted
mount -o ro,noload,loop,offset=$((512 * $(sfdisk -J disk.raw | jq '.partitiontable.partitions[1].start'))) \
    disk.raw mounted 2>mount.err || skip "no loop mount here: $(cat mount.err)"
trap 'umount "$test_dir/mounted"; rm -rf "$test_dir"' EXIT
manifest mounted >expected.txt
[ "$(wc -l <expected.txt)" -gt 10000 ] || fail "the guest is small"

# check DIR WHAT
check() {
    manifest "$1" >found.txt
    diff expected.txt found.txt >diff.txt || {
        head -20 diff.txt >&2
        fail "$2 is not what the kernel sees"
    }
}

note "cp"
"$IMG" cp -q --privileged disk.raw:/ copy
check copy "a copy"
rm -rf copy

note "tar"
mkdir unpacked
"$IMG" tar -q disk.raw / - | tar -C unpacked --xattrs --xattrs-include='*' --numeric-owner -xp \
    --delay-directory-restore
check unpacked "an archive"
rm -rf unpacked

note "stat"
"$IMG" find --output=json disk.raw / |
    jq -r '.[] | [.type, .mode, .size, .uid, .gid, .links, .allocated / 512, .inode, .mtime,
        .path] | map(tostring) | join(" ")' | sort >found.ls
(cd mounted && find . -printf '%y %04m %s %U %G %n %b %i %TFT%TTZ /%P\n') |
    sed 's/^f/file/; s/^d/directory/; s/^l/link/; s/^c/character-device/; s/^b/block-device/
        s/^p/pipe/; s/^s/socket/; s/\(:[0-9][0-9]\.[0-9]\{9\}\)0Z/\1Z/' | sort >expected.ls
diff expected.ls found.ls >diff.txt || {
    head -20 diff.txt >&2
    fail "what stat tells is not the same"
}

note "cat"
(cd mounted && find etc usr/bin -type f -print0 | sort -z) >names
sed -z 's|^|/|' names | xargs -0 "$IMG" cat disk.raw | sha256sum >found.sum
(cd mounted && xargs -0 cat) <names | sha256sum >expected.sum
same expected.sum found.sum

note "find"
for tests in "-name *.conf" "-type l" "-perm -4000" "-size +1000k -type f" "-empty -type d" \
    "-newermt 2023-01-01" "! -uid 0" "-links +1 -type f" "-maxdepth 2 -iname A*"; do
    set -f
    # shellcheck disable=SC2086
    (cd mounted && find . -mindepth 1 $tests -printf '/%P\n') | sort >expected.find
    # shellcheck disable=SC2086
    "$IMG" find disk.raw / -mindepth 1 $tests | sort >found.find
    set +f
    diff expected.find found.find >&2 || fail "find $tests"
    [ -s found.find ] || note "nothing passes $tests"
done

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# img inspect on small filesystems of made-up systems: their release files, their databases of
# packages, and files that were made to do harm.

. "$(dirname "$0")/../lib.sh"
need mke2fs jq rpm rpmbuild sqlite3

# disk NAME: an image of the tree in that directory.
disk() {
    truncate -s 12M "$1.img"
    mke2fs -q -F -t ext4 -L "$1" -d "$1" "$1.img"
}

# system NAME: the skeleton of a system.
system() {
    mkdir -p "$1"/{etc,usr/bin,usr/lib,var/lib,boot,lib/modules}
    ln -s usr/bin "$1/bin"
    # The head of a program for x86-64.
    printf '\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\3\0\076\0' >"$1/usr/bin/dash"
    ln -s /usr/bin/dash "$1/usr/bin/sh"
}

# is NAME FILTER TEXT: what the JSON says there.
is() {
    local got
    got=$("$IMG" inspect --output=json "$1.img" | jq -r ".operatingsystems[0] | $2")
    [ "$got" = "$3" ] || fail "$1: $2 is '$got', not '$3'"
}

note "Debian: os-release, dpkg, fstab, kernels"
system debian
cat >debian/usr/lib/os-release <<'END'
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)" # comment
ID=debian
VERSION_ID="12"
END
ln -s ../usr/lib/os-release debian/etc/os-release
echo 12.7 >debian/etc/debian_version
printf '# the name\nhost.example\n' >debian/etc/hostname
echo '/dev/vda / ext4 defaults 0 1' >debian/etc/fstab
mkdir -p debian/var/lib/dpkg debian/boot/grub debian/boot/efi/EFI/debian debian/lib/modules/6.1.0-9
touch debian/boot/vmlinuz-6.1.0-10 debian/boot/grub/grub.cfg debian/boot/efi/EFI/debian/shimx64.EFI
cat >debian/var/lib/dpkg/status <<'END'
Package: one
Status: install ok installed
Architecture: amd64
Version: 2:1.0-rc1-3+b1
Description: the first
 Longer text
 .
  - indented
Homepage: https://example.org/

Package: gone
Status: deinstall ok config-files
Version: 1.0
Description: was removed

Package: two
Status: hold ok installed
Architecture: all
Version: 7
Depends: one,
 something
END
disk debian
is debian '[.root, .name, .arch, .distro, .product_name] | join(",")' \
    '/dev/sda,linux,x86_64,debian,Debian GNU/Linux 12 (bookworm)'
is debian '[.major_version, .minor_version, .osinfo, .hostname] | map(tostring) | join(",")' \
    12,7,debian12,host.example
is debian '[.package_format, .package_management, .package_count] | map(tostring) | join(",")' deb,apt,2
is debian '.applications[0] | [.name, .epoch, .version, .release, .arch, .url, .summary] | join("|")' \
    'one|2|1.0-rc1|3+b1|amd64|https://example.org/|the first'
is debian '.applications[0].description' "Longer text
.
 - indented"
is debian '.applications[1] | [.name, .version, .release // "none"] | join("|")' 'two|7|none'
is debian '.mountpoints[] | .dev + .mountpoint' /dev/sda/
is debian '.filesystems[] | .dev + " " + .type + " " + .label' '/dev/sda ext4 debian'
is debian '[.kernels[].version] | join(",")' 6.1.0-9,6.1.0-10
is debian '.kernels[0].modules + .kernels[1].kernel' /lib/modules/6.1.0-9/boot/vmlinuz-6.1.0-10
is debian '[.boot_loaders[] | .type + ":" + .path] | join(",")' \
    grub2:/boot/grub/grub.cfg,efi:/boot/efi/EFI/debian/shimx64.EFI
"$IMG" inspect debian.img >text
grep -qx 'hostname: host.example' text || fail "the text lacks the host name"
grep -qx 'package count: 2' text || fail "the text lacks the number of packages"
if grep -q 'applications' text; then fail "the text lists packages unasked"; fi
"$IMG" inspect --packages -a debian.img | grep -qx '    one 2:1.0-rc1-3+b1 amd64: the first' ||
    fail "--packages does not list them"
[ "$("$IMG" inspect --no-applications --output=json debian.img |
    jq '.operatingsystems[0].applications')" = null ] || fail "--no-applications lists them"

note "Fedora: a database of rpm in SQLite"
system fedora
printf 'ID=fedora\nVERSION_ID=38\nVARIANT_ID=server\n' >fedora/etc/os-release
cat >hello.spec <<'END'
Name: hello
Epoch: 3
Version: 1.2
Release: 4.fc38
Summary: says hello
License: MIT
%description
Two lines
of text.
%files
END
rpmbuild -bb --quiet --target x86_64 --define "_topdir $PWD/top" --define "_rpmdir $PWD" hello.spec
mkdir -p fedora/usr/lib/sysimage/rpm
# Debian's rpm says that it should not be used like that.
rpm --define '_db_backend sqlite' --dbpath "$PWD/fedora/usr/lib/sysimage/rpm" -i --justdb --nodeps \
    --ignorearch --nosignature x86_64/hello-*.rpm 2>rpm.err || fail "rpm: $(cat rpm.err)"
disk fedora
is fedora '[.distro, .osinfo, .product_variant, .package_management] | join(",")' \
    fedora,fedora38,server,dnf
is fedora '.applications[0] | [.name, .epoch, .version, .release, .arch, .summary] | join("|")' \
    'hello|3|1.2|4.fc38|x86_64|says hello'
is fedora '.applications[0].description' "Two lines
of text."
is fedora .package_count 1

note "the same while it lies in the write-ahead log"
cp -r fedora wal
sqlite3 wal/usr/lib/sysimage/rpm/rpmdb.sqlite >/dev/null <<'END'
PRAGMA journal_mode=WAL;
PRAGMA wal_autocheckpoint=0;
INSERT INTO Packages(blob) SELECT blob FROM Packages;
.shell cp -r wal logged
END
[ -s logged/usr/lib/sysimage/rpm/rpmdb.sqlite-wal ] || fail "SQLite has made no log"
disk logged
is logged .package_count 2

note "rpm's own database"
system suse
printf 'NAME="openSUSE Leap"\nID=opensuse-leap\nVERSION_ID="15.5"\n' >suse/etc/os-release
mkdir -p suse/usr/lib/sysimage/rpm
database=suse/usr/lib/sysimage/rpm/Packages.db
sqlite3 fedora/usr/lib/sysimage/rpm/rpmdb.sqlite "SELECT writefile('blob', blob) FROM Packages" >/dev/null
# le32 NUMBER: its bytes, in hexadecimal digits.
le32() {
    printf '%08x' "$1" | sed 's/\(..\)\(..\)\(..\)\(..\)/\4\3\2\1/'
}
truncate -s 4096 "$database"
poke "$database" 0 "$(printf RpmP | od -An -tx1 | tr -d ' ')$(le32 0)$(le32 1)$(le32 1)$(le32 2)"
poke "$database" 32 "$(printf Slot | od -An -tx1 | tr -d ' ')$(le32 1)$(le32 256)$(le32 9)"
poke "$database" 4096 "$(printf BlbS | od -An -tx1 | tr -d ' ')$(le32 1)$(le32 1)$(le32 "$(stat -c %s blob)")"
cat blob >>"$database"
disk suse
is suse '[.distro, .osinfo, .package_management] | join(",")' opensuse,opensuse15.5,zypper
is suse '.applications[0].name' hello

note "Alpine, Arch, an old CentOS"
system alpine
printf 'ID=alpine\nVERSION_ID=3.18.4\n' >alpine/etc/os-release
mkdir -p alpine/lib/apk/db
printf 'C:Q1=\nP:musl\nV:1.2.4-r2\nA:x86_64\nT:the C library\n\nP:zlib\nV:1.2.13-r1\n' \
    >alpine/lib/apk/db/installed
disk alpine
is alpine '[.distro, .osinfo, .package_format] | join(",")' alpinelinux,alpinelinux3.18,apk
is alpine '[.applications[] | .name + "=" + .version + "-" + .release] | join(",")' \
    musl=1.2.4-r2,zlib=1.2.13-r1
system arch
echo 'ID=arch' >arch/etc/os-release
mkdir -p arch/var/lib/pacman/local/bash-5.2-1
printf '%%NAME%%\nbash\n\n%%VERSION%%\n1:5.2.015-1\n\n%%ARCH%%\nx86_64\n' \
    >arch/var/lib/pacman/local/bash-5.2-1/desc
disk arch
is arch '[.distro, .osinfo, .package_management] | join(",")' archlinux,archlinux,pacman
is arch '.applications[0] | [.epoch, .version, .release] | join("|")' '1|5.2.015|1'
system centos
echo 'CentOS release 6.10 (Final)' >centos/etc/redhat-release
printf 'NETWORKING=yes\nHOSTNAME="old.example"\n' >centos/etc/sysconfig
rm centos/etc/sysconfig && mkdir centos/etc/sysconfig
printf 'NETWORKING=yes\nHOSTNAME="old.example"\n' >centos/etc/sysconfig/network
mkdir -p centos/var/lib/rpm && echo x >centos/var/lib/rpm/Packages
disk centos
is centos '[.distro, .osinfo, .package_management, .hostname] | join(",")' \
    centos,centos6.10,yum,old.example
"$IMG" inspect centos.img 2>&1 >/dev/null | grep -q 'Berkeley DB' || fail "an old database goes unsaid"

note "files that do harm"
system hostile
ln -s loop hostile/etc/loop
mkfifo hostile/etc/hostname
truncate -s 100M big
truncate -s 100M hostile/etc/os-release
ln -s /etc/loop hostile/usr/lib/os-release
ln -s ../../../../../../etc/hostname hostile/etc/HOSTNAME
ln -s /dev/null hostile/boot/vmlinuz-x
mkdir -p hostile/var/lib/rpm
head -c 8192 fedora/usr/lib/sysimage/rpm/rpmdb.sqlite >hostile/var/lib/rpm/rpmdb.sqlite
disk hostile
is hostile '[.name, .distro, .hostname // "none"] | join(",")' linux,unknown,none
"$IMG" inspect hostile.img 2>&1 >/dev/null | grep -q 'os-release: has more than' ||
    fail "nothing is said of a release file that is too big"

note "databases that do harm"
for statement in \
    'ALTER TABLE Packages RENAME TO p; CREATE VIEW Packages AS WITH RECURSIVE
     r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n AS hnum, n AS blob FROM r' \
    'UPDATE Packages SET blob = zeroblob(7)' \
    'UPDATE Packages SET blob = x'"'00001000000010000000'" \
    'ALTER TABLE Packages RENAME TO p; CREATE VIRTUAL TABLE Packages USING fts5(hnum, blob)'; do
    rm -rf bad
    cp -r fedora bad
    sqlite3 bad/usr/lib/sysimage/rpm/rpmdb.sqlite "$statement"
    disk bad
    timeout 20 "$IMG" inspect --output=json bad.img >bad.json 2>bad.err ||
        fail "inspecting a bad database ended with $?"
    grep -q 'rpmdb.sqlite: ' bad.err || fail "nothing is said of a bad database: $statement"
    [ "$(jq '.operatingsystems[0].package_count' bad.json)" = null ] || fail "it has packages"
done

note "what is no system"
mkdir -p data/files
disk data
expect_fail 1 "data.img: no operating system was found in it" "$IMG" inspect data.img
expect_fail 1 "No such file or directory" "$IMG" inspect nothing.img

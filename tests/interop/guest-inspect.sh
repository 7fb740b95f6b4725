#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# img inspect of the Debian guest, held to what dpkg-query and debugfs say of the same files.

. "$(dirname "$0")/../lib.sh"
guest_image
need debugfs dpkg-query sfdisk jq

# The root filesystem is the second partition.
start=$(sfdisk -J "$guest_image" | jq '.partitiontable.partitions[1].start')
# debug COMMAND: of debugfs, in there.
debug() {
    debugfs -R "$1" "$guest_image?offset=$((start * 512))" 2>/dev/null
}
"$IMG" inspect --output=json "$guest_image" >json

# is FILTER TEXT: what the JSON says.
is() {
    local got
    got=$(jq -r ".operatingsystems[0] | $1" json)
    [ "$got" = "$2" ] || fail "$1 is '$got', not '$2'"
}

note "the system"
eval "$(debug 'cat /usr/lib/os-release' | sed -n 's/^\(PRETTY_NAME\|VERSION_ID\)=/\1=/p')"
is '[.root, .name, .distro] | join(",")' /dev/sda2,linux,debian
is '.product_name' "$PRETTY_NAME"
is '[.major_version, .minor_version] | map(tostring) | join(".")' "$(debug 'cat /etc/debian_version')"
is '.osinfo' "debian$VERSION_ID"
is '.hostname' "$(debug 'cat /etc/hostname')"
is .arch "$(uname -m)"
is '.mountpoints[0] | .dev + .mountpoint' /dev/sda2/
is '.filesystems[] | select(.dev == "/dev/sda2").type' ext4

note "kernels"
debug 'ls -p /usr/lib/modules' | awk -F/ 'NF && $6 !~ /^\.*$/ { print $6 }' | sort >want
jq -r '.operatingsystems[0].kernels[].version' json | sort >got
diff -u want got >&2 || fail "other kernels are in /lib/modules"

note "packages"
mkdir admin
debug 'dump /var/lib/dpkg/status admin/status'
# shellcheck disable=SC2016 # the variables are dpkg-query's
dpkg-query --admindir=admin -W \
    -f '${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\t${binary:Summary}\n' |
    sed -n 's/^installed\t//p' | LC_ALL=C sort >want
jq -r '.operatingsystems[0].applications[] | [.name, (if .epoch then .epoch + ":" else "" end) + .version +
    (if .release then "-" + .release else "" end), .arch, .summary] | join("\t")' json |
    LC_ALL=C sort >got
diff -u want got >&2 || fail "dpkg-query lists other packages"
is .package_count "$(wc -l <want)"

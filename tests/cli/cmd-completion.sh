#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The completion for bash offers what the program knows.

. "$(dirname "$0")/../lib.sh"

PATH=$(dirname "$IMG"):$PATH
export PATH
compopt() { :; } # is for use while completing only
# shellcheck source=/dev/null
. "$srcdir/cmd/img.bash"

# offers WORD LINE...: completing the last word of the line offers WORD.
offers() {
    local want=$1
    shift
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    COMPREPLY=()
    _img "$1"
    printf '%s\n' "${COMPREPLY[@]}" | grep -qxF -- "$want" ||
        fail "completing '$*' does not offer $want but: ${COMPREPLY[*]}"
}

touch disk.raw
commands=$(img help --commands)
for command in $commands; do
    offers "$command" img "${command:0:1}"
    offers --help img "$command" --h
    offers disk.raw img "$command" di
done
offers convert img help con
offers --output= img info --out
offers --salvage img convert --sal
offers qcow2 img convert -O q
offers vmdk img create -f ''
offers cluster_size= img create -f qcow2 -o clu
offers subformat= img convert -O vmdk -o sub
offers monolithicFlat img create -f vmdk -o subformat = mono
offers vmfsSparse img convert -O vmdk -o subformat = vmfsS
offers fixed img create -f vhdx -o subformat = 'fi'
offers dynamic img create -f vpc -o subformat = ''
offers falloc img resize --preallocation = fa
offers json img info --output = js
offers none img convert -t n
offers unsafe img convert --target-cache = ''
offers leaks img check -r l
offers plain img compare --progress = pl
offers disk.raw img create -b d
offers unmap img io -d u
offers discard img io -c d
offers --keep img commit -d --k

complete -p img >/dev/null || fail "img has no completion"

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# No script gets an error or a warning from shellcheck.

. "$(dirname "$0")/../lib.sh"
need shellcheck
cd "$srcdir"
mapfile -t scripts < <(grep -rlIE '^#!/bin/(ba)?sh' autogen.sh .ci tests fixtures)
[ ${#scripts[@]} -gt 5 ] || fail "the scripts were not found"
# lib.sh is not followed (SC1091), so that shellcheck does not know what lib.sh
# sets (SC2154) or reads (SC2034), nor that a failed cd ends the test (SC2164).
shellcheck --severity=warning --exclude=SC1091,SC2034,SC2154,SC2164 "${scripts[@]}" >&2 ||
    fail "shellcheck has something to say"

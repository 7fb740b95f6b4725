# SPDX-License-Identifier: BSD-2-Clause
EXTRA_DIST += tests/tools/check
EXTRA_DIST += tests/tools/demo
EXTRA_DIST += tests/tools/fuzz
EXTRA_DIST += tests/tools/install-packages
EXTRA_DIST += tests/tools/make-guest
EXTRA_DIST += tests/tools/read-stream.pl

# SPDX-License-Identifier: BSD-2-Clause
#
# Tests are programs and shell scripts that end with 0 (passed), 77 (cannot
# run here) or anything else (failed). A test that hangs is ended.

TEST_EXTENSIONS = .sh
LOG_COMPILER = timeout 600
SH_LOG_COMPILER = timeout 900 bash
AM_TESTS_ENVIRONMENT = \
	builddir='$(abs_top_builddir)'; \
	CC='$(CC)'; \
	NM='$(NM)'; \
	export builddir CC NM;

unit_tests =
cli_tests =
interop_tests =
arch_tests =

include $(srcdir)/tests/unit/local.mk
include $(srcdir)/tests/cli/local.mk
include $(srcdir)/tests/interop/local.mk
include $(srcdir)/tests/crash/local.mk
include $(srcdir)/tests/fault/local.mk
include $(srcdir)/tests/model/local.mk
include $(srcdir)/tests/malformed/local.mk
include $(srcdir)/tests/fuzz/local.mk
include $(srcdir)/tests/example/local.mk
include $(srcdir)/tests/arch/local.mk
include $(srcdir)/tests/bench/local.mk
include $(srcdir)/tests/tools/local.mk

TESTS += $(arch_tests) $(cli_tests) $(interop_tests)
EXTRA_DIST += tests/lib.sh tests/guest.bash tests/sanitized.h $(arch_tests) $(cli_tests) $(interop_tests)

# What ThreadSanitizer is to see, and what depends on the deflate library, besides
# the unit tests (stages of tests/tools/check).
thread_tests = tests/interop/determinism.sh
thread_tests += tests/interop/matrix-qcow2-zlib.sh
thread_tests += tests/interop/matrix-vmdk-stream.sh
thread_tests += tests/interop/mount-threads.sh
thread_tests += tests/interop/random-qcow2.sh
thread_tests += tests/interop/reflink.sh
# What the sanitizers of memory are to see: all but what looks at the sources, and those that load
# libguestfs: the XDR functions that a sanitizer puts before those of libtirpc look for them when the
# program starts, and call nothing when it is loaded later.
guestfs_tests = tests/interop/guest-appliance.sh tests/interop/guest-volumes.sh
sanitized_tests = $(cli_tests) $(malformed_tests) $(unit_tests)
sanitized_tests += $(filter-out $(guestfs_tests),$(interop_tests))
sanitized_tests += $(filter tests/crash/% tests/fault/% tests/fuzz/% tests/model/%,$(check_PROGRAMS))
codec_tests = tests/interop/deflate-window.sh
codec_tests += tests/interop/matrix-qcow2-zlib.sh
codec_tests += tests/interop/matrix-vmdk-stream.sh

if HAVE_CMOCKA
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
endif

# Every test program may use the whole library, internals too.
LDADD = libimgall.la $(CMOCKA_LIBS)

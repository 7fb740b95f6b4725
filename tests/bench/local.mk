# SPDX-License-Identifier: BSD-2-Clause
check_PROGRAMS += tests/tools/timer
tests_tools_timer_SOURCES = tests/tools/timer.c
tests_tools_timer_LDADD =
EXTRA_PROGRAMS += tests/bench/codec
tests_bench_codec_SOURCES = tests/bench/codec.c
tests_bench_codec_LDADD = libimgall.la
CLEANFILES += $(EXTRA_PROGRAMS) bench.md
EXTRA_DIST += tests/bench/run tests/bench/guest.sh

bench: all tests/tools/timer
	builddir='$(abs_top_builddir)' bash $(srcdir)/tests/bench/run
.PHONY: bench

# SPDX-License-Identifier: BSD-2-Clause
#
# make check replays the seeds; `tests/tools/fuzz` looks for new ones.
check_PROGRAMS += tests/fuzz/replay
TESTS += tests/fuzz/replay
tests_fuzz_replay_SOURCES = tests/fuzz/replay.c \
	tests/fuzz/extent.c tests/fuzz/image.c tests/fuzz/vhdx.c tests/fuzz/fuzz.h

EXTRA_PROGRAMS += tests/fuzz/fuzz
tests_fuzz_fuzz_SOURCES = tests/fuzz/libfuzzer.c \
	tests/fuzz/extent.c tests/fuzz/image.c tests/fuzz/vhdx.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

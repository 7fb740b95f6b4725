# SPDX-License-Identifier: BSD-2-Clause

check_PROGRAMS += tests/crash/qcow2
TESTS += tests/crash/qcow2
tests_crash_qcow2_SOURCES = \
	tests/crash/content.c tests/crash/content.h \
	tests/crash/cut.c tests/crash/cut.h \
	tests/crash/disk.c tests/crash/disk.h \
	tests/crash/qcow2.c
# Images name their files themselves: what they open by name is looked for on the test's disk.
tests_crash_qcow2_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=imgi_file_open

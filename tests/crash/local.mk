# SPDX-License-Identifier: BSD-2-Clause

check_PROGRAMS += tests/crash/qcow2 tests/crash/chain tests/crash/bitmaps \
	tests/crash/repair tests/crash/mend tests/crash/blocks tests/crash/vmdk
TESTS += tests/crash/qcow2 tests/crash/chain tests/crash/bitmaps \
	tests/crash/repair tests/crash/mend tests/crash/blocks tests/crash/vmdk
check_PROGRAMS += tests/crash/esx
TESTS += tests/crash/esx
crash_sources = \
	tests/crash/content.c tests/crash/content.h \
	tests/crash/cut.c tests/crash/cut.h \
	tests/crash/disk.c tests/crash/disk.h \
	tests/crash/judge.c tests/crash/judge.h
# Images name their files themselves: what they open by name is looked for on the test's disk.
crash_ldflags = $(AM_LDFLAGS) -Wl,--wrap=imgi_file_open \
	-Wl,--wrap=imgi_file_create
tests_crash_qcow2_SOURCES = $(crash_sources) tests/crash/qcow2.c
tests_crash_qcow2_LDFLAGS = $(crash_ldflags)
tests_crash_chain_SOURCES = $(crash_sources) tests/crash/chain.c
tests_crash_chain_LDFLAGS = $(crash_ldflags)
tests_crash_bitmaps_SOURCES = $(crash_sources) tests/crash/bitmaps.c
tests_crash_bitmaps_LDFLAGS = $(crash_ldflags)
tests_crash_esx_SOURCES = $(crash_sources) tests/crash/esx.c
tests_crash_esx_LDFLAGS = $(crash_ldflags)
tests_crash_repair_SOURCES = $(crash_sources) tests/crash/repair.c
tests_crash_repair_LDFLAGS = $(crash_ldflags)
tests_crash_mend_SOURCES = $(crash_sources) tests/crash/mend.c
tests_crash_mend_LDFLAGS = $(crash_ldflags)
tests_crash_blocks_SOURCES = $(crash_sources) tests/crash/blocks.c
tests_crash_blocks_LDFLAGS = $(crash_ldflags)
tests_crash_vmdk_SOURCES = $(crash_sources) tests/crash/vmdk.c
tests_crash_vmdk_LDFLAGS = $(crash_ldflags)

# SPDX-License-Identifier: BSD-2-Clause

check_PROGRAMS += tests/fault/sweep
TESTS += tests/fault/sweep
tests_fault_sweep_SOURCES = tests/fault/sweep.c tests/fault/model.c tests/fault/model.h

check_PROGRAMS += tests/fault/operations
TESTS += tests/fault/operations
tests_fault_operations_SOURCES = \
	tests/crash/content.c tests/crash/content.h \
	tests/crash/disk.c tests/crash/disk.h \
	tests/crash/judge.c tests/crash/judge.h \
	tests/fault/operations.c \
	tests/fault/trap.c tests/fault/trap.h
tests_fault_operations_LDFLAGS = $(trap_ldflags) $(disk_ldflags)

check_PROGRAMS += tests/fault/vmdk
TESTS += tests/fault/vmdk
tests_fault_vmdk_SOURCES = \
	tests/crash/content.c tests/crash/content.h \
	tests/crash/disk.c tests/crash/disk.h \
	tests/fault/vmdk.c \
	tests/fault/trap.c tests/fault/trap.h \
	tests/fault/vmdk_files.c tests/fault/vmdk_files.h
tests_fault_vmdk_LDFLAGS = $(trap_ldflags) $(disk_ldflags)

check_PROGRAMS += tests/fault/makers
TESTS += tests/fault/makers
tests_fault_makers_SOURCES = tests/fault/makers.c tests/fault/trap.c tests/fault/trap.h
tests_fault_makers_LDFLAGS = $(trap_ldflags)

# What the disk of tests/crash stands in for, and what trap.c does.
disk_ldflags = -Wl,--wrap=imgi_file_open -Wl,--wrap=imgi_file_create
trap_ldflags = $(AM_LDFLAGS) \
	-Wl,--wrap=imgi_io_read -Wl,--wrap=imgi_io_write -Wl,--wrap=imgi_io_writev \
	-Wl,--wrap=imgi_io_resize -Wl,--wrap=imgi_io_flush -Wl,--wrap=imgi_io_zero \
	-Wl,--wrap=imgi_io_replace \
	-Wl,--wrap=imgi_io_prepare -Wl,--wrap=imgi_io_publish

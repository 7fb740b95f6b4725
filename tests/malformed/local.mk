# SPDX-License-Identifier: BSD-2-Clause

malformed_tests = tests/malformed/truncate tests/malformed/fields tests/malformed/hostile
malformed_tests += tests/malformed/guest_ext
malformed_tests += tests/malformed/repair tests/malformed/snapshots
malformed_tests += tests/malformed/bitmaps tests/malformed/vhdx tests/malformed/repair_blocks
check_PROGRAMS += $(malformed_tests)
TESTS += $(malformed_tests)

malformed_common = tests/malformed/malformed.h tests/malformed/workshop.c
malformed_common += tests/malformed/trial.c tests/malformed/batch.c
tests_malformed_truncate_SOURCES = tests/malformed/truncate.c $(malformed_common)
tests_malformed_fields_SOURCES = tests/malformed/fields.c tests/malformed/fields.h tests/malformed/changes.c
tests_malformed_fields_SOURCES += tests/malformed/fields_qcow2.c tests/malformed/fields_vmdk.c
tests_malformed_fields_SOURCES += tests/malformed/fields_vdi.c tests/malformed/fields_vhd.c
tests_malformed_fields_SOURCES += tests/malformed/fields_read_only.c $(malformed_common)
tests_malformed_hostile_SOURCES = tests/malformed/hostile.c tests/malformed/hostile.h
tests_malformed_hostile_SOURCES += tests/malformed/hostile_qcow2.c tests/malformed/hostile_vmdk.c
tests_malformed_hostile_SOURCES += tests/malformed/hostile_read_only.c tests/malformed/hostile_vdi_vhd.c
tests_malformed_hostile_SOURCES += $(malformed_common)
tests_malformed_hostile_LDADD = $(LDADD) $(ZLIB_LIBS)
tests_malformed_guest_ext_SOURCES = tests/malformed/guest_ext.c $(malformed_common)
tests_malformed_repair_SOURCES = tests/malformed/repair.c tests/malformed/repair.h
tests_malformed_repair_SOURCES += tests/malformed/repair_qcow2.c tests/malformed/repair_vmdk.c $(malformed_common)
tests_malformed_repair_blocks_SOURCES = tests/malformed/repair_blocks.c $(malformed_common)
tests_malformed_snapshots_SOURCES = tests/malformed/snapshots.c $(malformed_common)
tests_malformed_bitmaps_SOURCES = tests/malformed/bitmaps.c $(malformed_common)
tests_malformed_vhdx_SOURCES = tests/malformed/vhdx.c tests/malformed/fields.h tests/malformed/changes.c $(malformed_common)

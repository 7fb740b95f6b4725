# SPDX-License-Identifier: BSD-2-Clause

check_PROGRAMS += tests/model/qcow2
TESTS += tests/model/qcow2
tests_model_qcow2_SOURCES = \
	tests/model/flat.c tests/model/flat.h \
	tests/model/bitmaps.c tests/model/operations.c tests/model/qcow2.c

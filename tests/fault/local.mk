# SPDX-License-Identifier: BSD-2-Clause

check_PROGRAMS += tests/fault/sweep
TESTS += tests/fault/sweep
tests_fault_sweep_SOURCES = tests/fault/sweep.c tests/fault/model.c tests/fault/model.h

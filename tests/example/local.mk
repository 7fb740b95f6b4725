# SPDX-License-Identifier: BSD-2-Clause

# Built as a user of the library would build it: the installed header's name, the shared library.
check_PROGRAMS += tests/example/convert
tests_example_convert_SOURCES = tests/example/convert.c
tests_example_convert_CPPFLAGS = -I$(top_srcdir)/libimg
tests_example_convert_LDADD = libimg.la

cli_tests += tests/example/example.sh

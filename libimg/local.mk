# SPDX-License-Identifier: BSD-2-Clause
#
# The core.
libimgall_la_SOURCES += \
	libimg/error.c \
	libimg/error.h \
	libimg/options.c \
	libimg/options.h \
	libimg/policy.c \
	libimg/policy.h \
	libimg/size.c \
	libimg/version.c

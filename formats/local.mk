# SPDX-License-Identifier: BSD-2-Clause
#
# One driver a format; registry.c lists them.
libimgall_la_SOURCES += \
	formats/bochs.c \
	formats/cloop.c \
	formats/luks.c \
	formats/parallels.c \
	formats/qcow.c \
	formats/qed.c \
	formats/raw.c \
	formats/registry.c

# SPDX-License-Identifier: BSD-2-Clause
libimgall_la_SOURCES += \
	formats/dmg/check.c \
	formats/dmg/chunk.c \
	formats/dmg/dmg.c \
	formats/dmg/dmg.h \
	formats/dmg/mish.c \
	formats/dmg/plist.c \
	formats/dmg/resource.c \
	formats/dmg/trailer.c

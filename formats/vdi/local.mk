# SPDX-License-Identifier: BSD-2-Clause
libimgall_la_SOURCES += \
	formats/vdi/check.c \
	formats/vdi/create.c \
	formats/vdi/disk.h \
	formats/vdi/header.c \
	formats/vdi/map.c \
	formats/vdi/move.c \
	formats/vdi/open.c \
	formats/vdi/resize.c \
	formats/vdi/vdi.c \
	formats/vdi/vdi.h

# SPDX-License-Identifier: BSD-2-Clause
libimgall_la_SOURCES += \
	formats/vhdx/bat.c \
	formats/vhdx/check.c \
	formats/vhdx/create.c \
	formats/vhdx/disk.h \
	formats/vhdx/guid.c \
	formats/vhdx/header.c \
	formats/vhdx/locator.c \
	formats/vhdx/log.c \
	formats/vhdx/log_entry.c \
	formats/vhdx/log_write.c \
	formats/vhdx/map.c \
	formats/vhdx/metadata.c \
	formats/vhdx/regions.c \
	formats/vhdx/resize.c \
	formats/vhdx/vhdx.c \
	formats/vhdx/vhdx.h \
	formats/vhdx/view.c \
	formats/vhdx/write.c

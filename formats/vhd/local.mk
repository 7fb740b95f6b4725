# SPDX-License-Identifier: BSD-2-Clause
libimgall_la_SOURCES += \
	formats/vhd/bitmap.c \
	formats/vhd/block.c \
	formats/vhd/check.c \
	formats/vhd/create.c \
	formats/vhd/disk.h \
	formats/vhd/geometry.c \
	formats/vhd/header.c \
	formats/vhd/open.c \
	formats/vhd/overlap.c \
	formats/vhd/parent.c \
	formats/vhd/resize.c \
	formats/vhd/vhd.c \
	formats/vhd/vhd.h

# SPDX-License-Identifier: BSD-2-Clause
libimgall_la_SOURCES += \
	formats/vmdk/check.c \
	formats/vmdk/cid.c \
	formats/vmdk/cowd.c \
	formats/vmdk/create.c \
	formats/vmdk/descriptor.c \
	formats/vmdk/descriptor.h \
	formats/vmdk/disk.h \
	formats/vmdk/drop.c \
	formats/vmdk/edit.c \
	formats/vmdk/extents.c \
	formats/vmdk/grow.c \
	formats/vmdk/header.c \
	formats/vmdk/importer.c \
	formats/vmdk/importer.h \
	formats/vmdk/info.c \
	formats/vmdk/layout.c \
	formats/vmdk/layout.h \
	formats/vmdk/open.c \
	formats/vmdk/parent.c \
	formats/vmdk/plan.c \
	formats/vmdk/plan.h \
	formats/vmdk/resize.c \
	formats/vmdk/sequence.c \
	formats/vmdk/sesparse.c \
	formats/vmdk/sesparse.h \
	formats/vmdk/sesparse_check.c \
	formats/vmdk/sesparse_header.c \
	formats/vmdk/sparse.c \
	formats/vmdk/store.c \
	formats/vmdk/stream.c \
	formats/vmdk/tables.c \
	formats/vmdk/template.c \
	formats/vmdk/vmdk.c \
	formats/vmdk/vmdk.h \
	formats/vmdk/walk.c \
	formats/vmdk/walk.h

# SPDX-License-Identifier: BSD-2-Clause
libimgall_la_SOURCES += \
	formats/qcow2/alloc.c \
	formats/qcow2/backing.c \
	formats/qcow2/bitmap.c \
	formats/qcow2/check.c \
	formats/qcow2/check.h \
	formats/qcow2/check_walk.c \
	formats/qcow2/compressed.c \
	formats/qcow2/counts.c \
	formats/qcow2/create.c \
	formats/qcow2/disk.h \
	formats/qcow2/empty.c \
	formats/qcow2/entry.c \
	formats/qcow2/extension.c \
	formats/qcow2/flush.c \
	formats/qcow2/frees.c \
	formats/qcow2/header.c \
	formats/qcow2/info.c \
	formats/qcow2/lookup.c \
	formats/qcow2/measure.c \
	formats/qcow2/open.c \
	formats/qcow2/options.c \
	formats/qcow2/owned.c \
	formats/qcow2/preallocate.c \
	formats/qcow2/qcow2.h \
	formats/qcow2/refcount.c \
	formats/qcow2/reftable.c \
	formats/qcow2/resize.c \
	formats/qcow2/rewrite.c \
	formats/qcow2/snapshot.c \
	formats/qcow2/table.c \
	formats/qcow2/trim.c \
	formats/qcow2/write.c \
	formats/qcow2/zero.c

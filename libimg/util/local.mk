# SPDX-License-Identifier: BSD-2-Clause
# Pure helpers: no I/O, no image types.
libimgall_la_SOURCES += \
	libimg/util/base64.c \
	libimg/util/base64.h \
	libimg/util/bytes.h \
	libimg/util/checked.h \
	libimg/util/crc32c.c \
	libimg/util/crc32c.h \
	libimg/util/iszero.c \
	libimg/util/iszero.h \
	libimg/util/library.c \
	libimg/util/library.h \
	libimg/util/scramble.h \
	libimg/util/utf16.c \
	libimg/util/utf16.h \
	libimg/util/uuid.c \
	libimg/util/uuid.h \
	libimg/util/text.c \
	libimg/util/text.h \
	libimg/util/xml.c \
	libimg/util/xml.h

# SPDX-License-Identifier: BSD-2-Clause
libimgall_la_SOURCES += \
	libimg/io/attached.c \
	libimg/io/backend.h \
	libimg/io/direct.c \
	libimg/io/fault.c \
	libimg/io/file.c \
	libimg/io/file.h \
	libimg/io/holder.c \
	libimg/io/io.c \
	libimg/io/io.h \
	libimg/io/joined.c \
	libimg/io/lock.c \
	libimg/io/log.c \
	libimg/io/mem.c \
	libimg/io/pipe.c \
	libimg/io/pipe.h \
	libimg/io/pipe_sink.c \
	libimg/io/pipe_source.c \
	libimg/io/member.c \
	libimg/io/sparse.c \
	libimg/io/replace.c \
	libimg/io/stage.c

# SPDX-License-Identifier: BSD-2-Clause
#
# The core.
libimgall_la_SOURCES += \
	libimg/bitmaps.c \
	libimg/cache.c \
	libimg/cache.h \
	libimg/chain.c \
	libimg/compressed.c \
	libimg/create.c \
	libimg/driver.h \
	libimg/encryption.c \
	libimg/error.c \
	libimg/error.h \
	libimg/extent.c \
	libimg/files.c \
	libimg/formats.c \
	libimg/image.c \
	libimg/info.c \
	libimg/internal.h \
	libimg/node.c \
	libimg/options.c \
	libimg/options.h \
	libimg/policy.c \
	libimg/policy.h \
	libimg/probe.c \
	libimg/ranges.c \
	libimg/read.c \
	libimg/reopen.c \
	libimg/request.c \
	libimg/secrets.c \
	libimg/spec.c \
	libimg/spec.h \
	libimg/spec_open.c \
	libimg/size.c \
	libimg/snapshot.c \
	libimg/stored.c \
	libimg/version.c \
	libimg/write.c \
	libimg/zero.c \
	libimg/job/amend.c \
	libimg/job/behind.c \
	libimg/job/behind.h \
	libimg/job/check.c \
	libimg/job/commit.c \
	libimg/job/compare.c \
	libimg/job/convert.c \
	libimg/job/convert.h \
	libimg/job/convert_move.c \
	libimg/job/convert_plan.c \
	libimg/job/job.c \
	libimg/job/job.h \
	libimg/job/measure.c \
	libimg/job/rebase.c \
	libimg/job/ring.c \
	libimg/job/ring.h \
	libimg/job/walk.c \
	libimg/job/walk.h

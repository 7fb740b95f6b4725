# SPDX-License-Identifier: BSD-2-Clause
# What is inside the disk.
libimgall_la_SOURCES += \
	libimg/guest/content.c \
	libimg/guest/content.h \
	libimg/guest/content_disc.c \
	libimg/guest/content_fat.c \
	libimg/guest/content_hfs.c \
	libimg/guest/content_member.c \
	libimg/guest/dir.c \
	libimg/guest/ext2.c \
	libimg/guest/ext2.h \
	libimg/guest/ext2_dir.c \
	libimg/guest/ext2_extents.c \
	libimg/guest/ext2_file.c \
	libimg/guest/ext2_inode.c \
	libimg/guest/ext2_io.c \
	libimg/guest/ext2_map.c \
	libimg/guest/ext2_usage.c \
	libimg/guest/ext2_xattr.c \
	libimg/guest/file.c \
	libimg/guest/file_digest.c \
	libimg/guest/fstab.c \
	libimg/guest/free_search.c \
	libimg/guest/free_space.c \
	libimg/guest/free_space.h \
	libimg/guest/fs.c \
	libimg/guest/gpt.c \
	libimg/guest/guest.c \
	libimg/guest/guest.h \
	libimg/guest/guestfs.c \
	libimg/guest/inspect.h \
	libimg/guest/inspect_files.c \
	libimg/guest/inspect_roots.c \
	libimg/guest/mbr.c \
	libimg/guest/partitions.c \
	libimg/guest/partitions.h \
	libimg/guest/path.c \
	libimg/guest/provider.h \
	libimg/guest/root.c \
	libimg/guest/tree.c \
	libimg/guest/tree.h \
	libimg/guest/tsk.c \
	libimg/guest/volume.c

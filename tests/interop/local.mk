# SPDX-License-Identifier: BSD-2-Clause

check_PROGRAMS += tests/tools/img-write tests/tools/deflate-window tests/tools/huge-qcow2
tests_tools_huge_qcow2_SOURCES = tests/tools/huge-qcow2.c
tests_tools_huge_qcow2_LDADD =
check_PROGRAMS += tests/tools/bitmap-runs
tests_tools_bitmap_runs_SOURCES = tests/tools/bitmap-runs.c
tests_tools_img_write_SOURCES = tests/tools/img-write.c
tests_tools_deflate_window_SOURCES = tests/tools/deflate-window.c
tests_tools_deflate_window_LDADD = $(ZLIB_LIBS)
EXTRA_DIST += tests/interop/matrix.bash tests/interop/random.bash \
	tests/interop/chain.bash tests/interop/sidebyside.bash

# The slow ones first: they run side by side with the rest.
interop_tests += tests/interop/debian-guest.sh
interop_tests += tests/interop/matrix-qcow2-zlib.sh
interop_tests += tests/interop/matrix-qcow2-zstd.sh
interop_tests += tests/interop/matrix-qcow2-v3.sh
interop_tests += tests/interop/matrix-qcow2-refcounts.sh
interop_tests += tests/interop/matrix-qcow2-v2.sh
interop_tests += tests/interop/matrix-vmdk-sparse.sh
interop_tests += tests/interop/matrix-vmdk-flat.sh
interop_tests += tests/interop/matrix-vmdk-stream.sh
interop_tests += tests/interop/matrix-raw.sh
interop_tests += tests/interop/data-file.sh
interop_tests += tests/interop/extended-l2.sh
interop_tests += tests/interop/convert-memory.sh
interop_tests += tests/interop/random-qcow2.sh
interop_tests += tests/interop/random-vmdk.sh
interop_tests += tests/interop/random-snapshots.sh
interop_tests += tests/interop/bitmaps.sh
interop_tests += tests/interop/commit.sh
interop_tests += tests/interop/rebase.sh
interop_tests += tests/interop/resize.sh
interop_tests += tests/interop/image-opts.sh
interop_tests += tests/interop/amend.sh
interop_tests += tests/interop/lazy-refcounts.sh
interop_tests += tests/interop/io-lines.sh
interop_tests += tests/interop/dd-bench.sh
interop_tests += tests/interop/fixtures.sh
interop_tests += tests/interop/damage.sh
interop_tests += tests/interop/killed.sh
interop_tests += tests/interop/determinism.sh
interop_tests += tests/interop/reflink.sh
interop_tests += tests/interop/locks.sh
interop_tests += tests/interop/cache-none.sh
interop_tests += tests/interop/cache-huge.sh
interop_tests += tests/interop/check-huge.sh
interop_tests += tests/interop/deflate-window.sh
interop_tests += tests/interop/cmdline-look.sh
interop_tests += tests/interop/cmdline-names.sh
interop_tests += tests/interop/cmdline-make.sh
interop_tests += tests/interop/cmdline-change.sh
interop_tests += tests/interop/cmdline-bitmaps.sh
interop_tests += tests/interop/vmdk-children.sh
interop_tests += tests/interop/vmdk-info.sh
interop_tests += tests/interop/vmdk-readers.sh
interop_tests += tests/interop/qcow2-kept.sh

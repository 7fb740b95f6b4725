# SPDX-License-Identifier: BSD-2-Clause
arch_tests += tests/arch/includes.sh
arch_tests += tests/arch/symbols.sh
arch_tests += tests/arch/header.sh
arch_tests += tests/arch/noprint.sh
arch_tests += tests/arch/state.sh
arch_tests += tests/arch/style.sh
arch_tests += tests/arch/scripts.sh
arch_tests += tests/arch/documented.sh

EXTRA_DIST += tests/arch/header_c.c tests/arch/header_cxx.cc

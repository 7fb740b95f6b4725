# SPDX-License-Identifier: BSD-2-Clause
arch_tests += tests/arch/includes.sh
arch_tests += tests/arch/state.sh
arch_tests += tests/arch/style.sh
arch_tests += tests/arch/scripts.sh

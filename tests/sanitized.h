/*
 * SANITIZED: the tests run under AddressSanitizer or ThreadSanitizer, where memory is reserved in
 * another way and everything takes many times as long. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef SANITIZED_H
#define SANITIZED_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#endif

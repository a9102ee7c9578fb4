/* What the address sanitizer is told beside what it sees itself: stretches inside a block that nobody may touch.
 *
 * FNN_ASAN is defined where the compiler builds with it; elsewhere both macros are nothing. `p` must be a multiple of 8,
 * or the granule it lies in stays open. Next: pool_debug.h, which guards every block of the pool with them. */
#ifndef FNN_CORE_ASAN_H
#define FNN_CORE_ASAN_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FNN_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define FNN_ASAN 1
#endif

#ifdef FNN_ASAN
#include <sanitizer/asan_interface.h>
#define FNN_CLOSE_MEMORY(p, n) __asan_poison_memory_region((p), (n))
#define FNN_OPEN_MEMORY(p, n) __asan_unpoison_memory_region((p), (n))
#else
#define FNN_CLOSE_MEMORY(p, n) ((void)(p), (void)(n))
#define FNN_OPEN_MEMORY(p, n) ((void)(p), (void)(n))
#endif

#endif

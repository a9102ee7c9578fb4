/* The floating-point control register of the calling thread: rounding and denormal handling, without exception flags.
 * Used by threads.c alone. On other machines the mode is a constant 0 and cannot be changed. */
#ifndef FNN_CORE_FP_MODE_H
#define FNN_CORE_FP_MODE_H

#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#define FP_MODE_FLUSH UINT64_C(0x8040) /* flush to zero, denormals are zero */
#define FP_MODE_FLAGS UINT64_C(0x3f)   /* sticky exception flags: a thread's own affair */
static inline uint64_t fp_mode_get(void) { return _mm_getcsr() & ~FP_MODE_FLAGS; }
static inline void fp_mode_set(uint64_t mode) { _mm_setcsr((unsigned)mode); }
#elif defined(__aarch64__)
#define FP_MODE_FLUSH (UINT64_C(1) << 24) /* FPCR.FZ */
static inline uint64_t fp_mode_get(void) {
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
static inline void fp_mode_set(uint64_t mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
#else
#define FP_MODE_FLUSH UINT64_C(0)
static inline uint64_t fp_mode_get(void) { return 0; }
static inline void fp_mode_set(uint64_t mode) { (void)mode; }
#endif

#endif

/* Which instruction sets this machine has, and which table of kernels is in use.
 *
 * Invariant: a table is only ever chosen if the processor has its instructions and the operating system keeps its registers.
 * Decided by feature bits, never by model numbers: those lie in virtual machines. Read next: core/cpu.c. */
#ifndef FNN_CORE_CPU_H
#define FNN_CORE_CPU_H
#include "core/status.h"

/* Fills fnn_k: the best available instruction set, or what FASTNN_ISA names (scalar avx2 avx512 neon auto). An unknown or
 * unavailable name is FNN_ERR_VALUE. Call once, before any op; calling it again reads FASTNN_ISA again. */
fnn_status fnn_kernels_init(void);

/* Fills fnn_k with the named table ("auto": the best). Not while an op runs in another thread. */
fnn_status fnn_kernels_select(const char *name);

/* Name of the table in use; NULL before fnn_kernels_init(). */
const char *fnn_isa_name(void);

/* The i-th available instruction set, best first; NULL past the end. "scalar" is always the last. */
const char *fnn_isa_available(int i);
#endif

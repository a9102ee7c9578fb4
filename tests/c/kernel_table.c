/* The table of kernels as a list that ctypes can call from: name, arguments as they are written in kernels.def, dtype, address.
 *
 * Invariant: whatever kernels.def, int_kernels.def and loops.def list is in the list, by the same macros that make the tables. It knows
 * no kernel by name but peak_fma, whose result is nobody's. It judges nothing. Read next: tests/kernel_guards.py. */
#include <stdio.h>

#include "core/cpu.h"
#include "kernels/kernels.h"

#define PUBLIC __attribute__((visibility("default")))

typedef struct entry {
    const char *kind; /* real, int, unary, binary, ternary, cast, copy_2d */
    const char *name, *arguments, *gives;
    int dtype, to; /* of the (second) input; of a cast's output */
    void *function;
} entry;

static const char *const unary[] = {
#define FNN_UNARY_WORD(name, expr) [FNN_U_##name] = #name,
#define FNN_UNARY_R FNN_UNARY_WORD
#define FNN_UNARY_BITS FNN_UNARY_WORD
#define FNN_UNARY_TO_BOOL FNN_UNARY_WORD
#define FNN_UNARY_R_TO_BOOL FNN_UNARY_WORD
#include "kernels/loops.def"
#include "kernels/loops_end.inc"
};
static const char *const binary[] = {
#define FNN_BINARY_WORD(name, expr) [FNN_B_##name] = #name,
#define FNN_BINARY_R FNN_BINARY_WORD
#define FNN_BINARY_BITS FNN_BINARY_WORD
#define FNN_BINARY_TO_BOOL FNN_BINARY_WORD
#include "kernels/loops.def"
#include "kernels/loops_end.inc"
};
static const char *const ternary[] = {
#define FNN_TERNARY_RIU(name, expr) [FNN_T_##name] = #name,
#define FNN_TERNARY_WORD FNN_TERNARY_RIU
#define FNN_WHERE FNN_TERNARY_RIU
#define FNN_QUATERNARY_WORD FNN_TERNARY_RIU
#include "kernels/loops.def"
#include "kernels/loops_end.inc"
};

static int count;

static void add(entry *list, int room, entry e) {
    if (e.function && count < room) list[count++] = e;
}

static void add_loops(entry *list, int room, const char *kind, const char *const *names, int n, const fnn_loop (*loops)[FNN_NDTYPES]) {
    for (int i = 0; i < n; i++)
        for (int t = 0; t < FNN_NDTYPES; t++) add(list, room, (entry){kind, names[i], "", "void", t, t, (void *)loops[i][t]});
}

/* How many entries the instruction set's table has, written to list as far as there is room; -1 if this machine lacks it. */
PUBLIC int kernels_of(const char *isa, entry *list, int room) {
    if (fnn_kernels_select(isa)) return -1;
    count = 0;
#define FNN_KERNEL(ret, name, args) add(list, room, (entry){"real", #name, #args, #ret, FNN_F32, FNN_F32, (void *)fnn_k.f32.name});
#include "kernels/kernels.def"
#undef FNN_KERNEL
#define FNN_KERNEL(ret, name, args) add(list, room, (entry){"real", #name, #args, #ret, FNN_F64, FNN_F64, (void *)fnn_k.f64.name});
#include "kernels/kernels.def"
#undef FNN_KERNEL
#define FNN_INT_KERNEL(name, args) add(list, room, (entry){"int", #name, #args, "void", FNN_I64, FNN_I64, (void *)fnn_k.name});
#include "kernels/int_kernels.def"
#undef FNN_INT_KERNEL
    add_loops(list, room, "unary", unary, FNN_U_COUNT, fnn_k.unary);
    add_loops(list, room, "binary", binary, FNN_B_COUNT, fnn_k.binary);
    add_loops(list, room, "ternary", ternary, FNN_T_COUNT, fnn_k.ternary);
    for (int from = 0; from < FNN_NDTYPES; from++)
        for (int to = 0; to < FNN_NDTYPES; to++) add(list, room, (entry){"cast", "cast", "", "void", from, to, (void *)fnn_k.cast[from][to]});
    for (int k = 0; k < 4; k++) add(list, room, (entry){"copy_2d", "copy_2d", "", "void", k, k, (void *)fnn_k.copy_2d[k]});
    return count;
}

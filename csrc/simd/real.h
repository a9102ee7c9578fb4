/* One name for two types: a kernel is written over `real` and the vr_ words and compiled once as float, once as double.
 *
 * Use: #define FNN_REAL 32 (or 64), then include this file, then the kernels; repeat for the other type. Needs the words of
 * one instruction set and FNN_ISA (its name) defined. No include guard: that is the point.
 * Read next: isa/unit.inc, which does so. */
#undef real
#undef FNN_VECTOR
#undef FNN_SUFFIX
#undef VR
#undef FNN_REAL_MAX
#undef FNN_REAL_INF
#undef FNN_LIBM
#if FNN_REAL == 32
#define real float
#define FNN_VECTOR vf
#define FNN_SUFFIX f32
#define VR 16 /* lanes of a word */
#define FNN_LIBM(name) name##f /* the libm function for this type */
#define FNN_REAL_MAX 3.402823466e+38f
#else
#define real double
#define FNN_VECTOR vd
#define FNN_SUFFIX f64
#define VR 8
#define FNN_LIBM(name) name
#define FNN_REAL_MAX 1.7976931348623157e+308
#endif
#define FNN_REAL_INF ((real)INFINITY)

#ifndef FNN_REAL_NAMES
#define FNN_REAL_NAMES
#define FNN_PASTE2_(a, b) a##_##b
#define FNN_PASTE2(a, b) FNN_PASTE2_(a, b)
#define FNN_PASTE3_(a, b, c) a##_##b##_##c
#define FNN_PASTE3(a, b, c) FNN_PASTE3_(a, b, c)
#define FNN_V(word) FNN_PASTE2(FNN_VECTOR, word)

/* the symbol of a kernel or helper in this unit and type: K(layer_norm_rows) -> layer_norm_rows_f32_avx512 */
#define K(name) FNN_PASTE3(name, FNN_SUFFIX, FNN_ISA)
/* the same for what does not depend on the type: KI(embedding) -> embedding_avx512 */
#define KI(name) FNN_PASTE2(name, FNN_ISA)

#define vr FNN_VECTOR
#define vr_mask FNN_V(mask)
#define vr_int FNN_V(int)
#define vr_load FNN_V(load)
#define vr_load_n FNN_V(load_n)
#define vr_store FNN_V(store)
#define vr_store_n FNN_V(store_n)
#define vr_set1 FNN_V(set1)
#define vr_add FNN_V(add)
#define vr_sub FNN_V(sub)
#define vr_mul FNN_V(mul)
#define vr_div FNN_V(div)
#define vr_fma FNN_V(fma)
#define vr_max FNN_V(max)
#define vr_min FNN_V(min)
#define vr_sqrt FNN_V(sqrt)
#define vr_neg FNN_V(neg)
#define vr_abs FNN_V(abs)
#define vr_copysign FNN_V(copysign)
#define vr_round FNN_V(round)
#define vr_floor FNN_V(floor)
#define vr_lt FNN_V(lt)
#define vr_le FNN_V(le)
#define vr_eq FNN_V(eq)
#define vr_isnan FNN_V(isnan)
#define vr_mask_and FNN_V(mask_and)
#define vr_mask_or FNN_V(mask_or)
#define vr_mask_not FNN_V(mask_not)
#define vr_mask_first FNN_V(mask_first)
#define vr_mask_any FNN_V(mask_any)
#define vr_mask_bits FNN_V(mask_bits)
#define vr_select FNN_V(select)
#define vr_reduce_add FNN_V(reduce_add)
#define vr_reduce_max FNN_V(reduce_max)
/* of an array of VR words: lane k reduces word k by the same tree */
#define vr_reduce_add_rows FNN_V(reduce_add_rows)
#define vr_reduce_max_rows FNN_V(reduce_max_rows)
#define vr_reduce_mul_rows FNN_V(reduce_mul_rows)
#define vr_zip_lo FNN_V(zip_lo)
#define vr_zip_hi FNN_V(zip_hi)
/* from simd/vec_math.h */
#define vr_exp FNN_V(exp)
#define vr_expm1 FNN_V(expm1)
#define vr_log FNN_V(log)
#define vr_log1p FNN_V(log1p)
#define vr_tanh FNN_V(tanh)
#define vr_sigmoid FNN_V(sigmoid)
#define vr_erf FNN_V(erf)
#define vr_half_line FNN_V(half_line)
#define vr_normal_tail FNN_V(normal_tail)
#define vr_normal_bend FNN_V(normal_bend)
#define vr_tanh_tail FNN_V(tanh_tail)
#define vr_tanh_bend FNN_V(tanh_bend)
#define vr_sin FNN_V(sin)
#define vr_cos FNN_V(cos)
#define vr_tan FNN_V(tan)
#define vr_asin FNN_V(asin)
#define vr_acos FNN_V(acos)
#define vr_atan FNN_V(atan)
#define vr_atan2 FNN_V(atan2)
#define vr_sinh FNN_V(sinh)
#define vr_cosh FNN_V(cosh)
#define vr_exp2 FNN_V(exp2)
#define vr_log2 FNN_V(log2)
#define vr_log10 FNN_V(log10)
#define vr_erfc FNN_V(erfc)
#define vr_erfinv FNN_V(erfinv)
#define vr_pow FNN_V(pow)
#endif

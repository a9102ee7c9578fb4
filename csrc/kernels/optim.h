/* Optimizer steps over flat arrays (kernels over `real`; see isa/unit.inc).
 *
 * Invariant: the operations and their order are those of torch.optim's single-tensor code, with an fma where torch's own
 * kernels have one, so that training runs agree for thousands of steps. Elementwise: any split gives the same bits. */

/* x / c for x >= 0, rounded as the division itself rounds, at a quarter of its cost. r + rest is 1/c to twice the precision, so q
 * is within an ulp of x/c, and the exact remainder of such a q corrects it (Markstein 1990). Infinity would give inf - inf. */
static inline vr K(divide_by)(vr x, vr minus_c, vr r, vr rest) {
    vr q = vr_fma(x, r, vr_mul(x, rest));
    return vr_select(vr_eq(x, vr_set1((real)INFINITY)), x, vr_fma(vr_fma(q, minus_c, x), r, q));
}

/* m = m + (1 - beta1) (g - m); v = beta2 v + (1 - beta2) g g; p = p - step_size m / (sqrt(v) / bc2_sqrt + eps) */
static void K(adam_step)(real *p, real *m, real *v, real *vmax, const real *g, int64_t n, const fnn_adam_numbers *a) {
    const vr decay = vr_set1((real)(1 - a->lr * a->weight_decay)), wd = vr_set1((real)a->weight_decay);
    const real c1 = (real)(1 - a->beta1);
    const vr w1 = vr_set1(c1 < (real)0.5 ? c1 : c1 - 1), b2 = vr_set1((real)a->beta2), w2 = vr_set1((real)(1 - a->beta2));
    const real c = (real)a->bias_correction2_sqrt, r = 1 / c;
    const vr minus_bc2 = vr_set1(-c), inverse = vr_set1(r), rest = vr_set1((real)(fma(-(double)r, (double)c, 1.0) / (double)c));
    const vr eps = vr_set1((real)a->eps);
    const vr step = vr_set1((real)(-a->step_size));
    for (int64_t i = 0; i < n; i += VR) {
        int64_t left = n - i;
        vr vp = K(get)(p + i, left), vg = K(get)(g + i, left), vm = K(get)(m + i, left), vv = K(get)(v + i, left);
        if (a->maximize) vg = vr_neg(vg);
        if (a->weight_decay != 0) {
            if (a->decoupled) vp = vr_mul(vp, decay);
            else vg = vr_fma(vp, wd, vg);
        }
        /* torch's lerp starts from the nearer end */
        vm = vr_fma(w1, vr_sub(vg, vm), c1 < (real)0.5 ? vm : vg);
        vv = vr_fma(vr_mul(w2, vg), vg, vr_mul(vv, b2));
        K(put)(m + i, left, vm);
        K(put)(v + i, left, vv);
        if (vmax) {
            vr vx = K(get)(vmax + i, left);
            vx = vr_select(vr_mask_or(vr_lt(vx, vv), vr_isnan(vv)), vv, vx);
            K(put)(vmax + i, left, vx);
            vv = vx;
        }
        vr d = vr_add(K(divide_by)(vr_sqrt(vv), minus_bc2, inverse, rest), eps);
        K(put)(p + i, left, vr_add(vp, vr_div(vr_mul(step, vm), d)));
    }
}

/* g += weight_decay p; buf = momentum buf + (1 - dampening) g (first: buf = g); p -= lr (nesterov: g + momentum buf, else buf) */
static void K(sgd_step)(real *p, real *buf, const real *g, int64_t n, const fnn_sgd_numbers *a) {
    const vr wd = vr_set1((real)a->weight_decay), mom = vr_set1((real)a->momentum), lr = vr_set1((real)-a->lr);
    const vr keep = vr_set1((real)(1 - a->dampening));
    for (int64_t i = 0; i < n; i += VR) {
        int64_t left = n - i;
        vr vp = K(get)(p + i, left), vg = K(get)(g + i, left);
        if (a->maximize) vg = vr_neg(vg);
        if (a->weight_decay != 0) vg = vr_fma(vp, wd, vg);
        if (buf) {
            vr vb = vg;
            if (!a->first) vb = vr_fma(vg, keep, vr_mul(K(get)(buf + i, left), mom));
            K(put)(buf + i, left, vb);
            vg = a->nesterov ? vr_fma(vb, mom, vg) : vb;
        }
        K(put)(p + i, left, vr_fma(vg, lr, vp));
    }
}

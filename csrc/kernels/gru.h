/* One step of GRU, forward and back, both variants (kernels over `real`). Formulas: recurrent_task.h; the walk:
 * recurrent_walk.h. gx (rows,3H) are the input products with their bias; gh (rows,3H) and u (rows,H) are scratch. */

/* One row, reset after: gx, gh the two products with biases -> y (H), saved (5H) or NULL. */
static void K(gru_gates_after)(int64_t H, const real *gx, const real *gh, const real *h, real *y, real *saved) {
    EACH_COLUMN(H) {
        const vr r = vr_sigmoid(vr_add(LOAD(gx), LOAD(gh)));
        const vr z = vr_sigmoid(vr_add(LOAD(gx + H), LOAD(gh + H)));
        const vr u = LOAD(gh + 2 * H), old = LOAD(h);
        const vr new = vr_tanh(vr_fma(r, u, LOAD(gx + 2 * H)));
        STORE(y, vr_fma(z, vr_sub(old, new), new));
        if (!saved) continue;
        const vr all[5] = {r, z, new, u, old};
        for (int k = 0; k < 5; k++) STORE(saved + k * H, all[k]);
    }
}

/* One row, reset before, first half: r and z from gx, gh (2H of it); u = r h. z waits in gh. */
static void K(gru_gates_reset)(int64_t H, const real *gx, real *gh, const real *h, real *u, real *saved) {
    EACH_COLUMN(H) {
        const vr r = vr_sigmoid(vr_add(LOAD(gx), LOAD(gh)));
        const vr z = vr_sigmoid(vr_add(LOAD(gx + H), LOAD(gh + H)));
        const vr old = LOAD(h), rh = vr_mul(r, old);
        STORE(gh + H, z);
        STORE(u, rh);
        if (!saved) continue;
        STORE(saved, r);
        STORE(saved + H, z);
        STORE(saved + 3 * H, rh);
        STORE(saved + 4 * H, old);
    }
}
/* Second half: n from gx and gn (H), h' = h + z (n - h). */
static void K(gru_gates_new)(int64_t H, const real *gx, const real *z, const real *gn, const real *h, real *y, real *saved) {
    EACH_COLUMN(H) {
        const vr old = LOAD(h), new = vr_tanh(vr_add(LOAD(gx + 2 * H), LOAD(gn)));
        STORE(y, vr_fma(LOAD(z), vr_sub(new, old), old));
        if (saved) STORE(saved + 2 * H, new);
    }
}

static void K(gru_step)(const fnn_recurrent_task *t, const K(step_rows) * s, const real *gx, real *gh, real *u) {
    const int64_t H = s->H;
#define ROW(p, stride) ((p) + b * (stride))
#define SAVED (s->saved ? ROW(s->saved, s->saved_b) : NULL)
    if (t->kind == FNN_GRU_AFTER) {
        K(recurrent_product)(gh, 3 * H, s->h, s->h_b, t->ph, s->rows, 3 * H, H, t->bh, 0);
        for (int64_t b = 0; b < s->rows; b++)
            K(gru_gates_after)(H, ROW(gx, 3 * H), ROW(gh, 3 * H), ROW(s->h, s->h_b), ROW(s->y, s->y_b), SAVED);
        return;
    }
    K(recurrent_product)(gh, 3 * H, s->h, s->h_b, t->ph, s->rows, 2 * H, H, NULL, 0);
    for (int64_t b = 0; b < s->rows; b++)
        K(gru_gates_reset)(H, ROW(gx, 3 * H), ROW(gh, 3 * H), ROW(s->h, s->h_b), ROW(u, H), SAVED);
    K(recurrent_product)(gh + 2 * H, 3 * H, u, H, t->pn, s->rows, H, H, NULL, 0);
    for (int64_t b = 0; b < s->rows; b++)
        K(gru_gates_new)(H, ROW(gx, 3 * H), ROW(gh + H, 3 * H), ROW(gh + 2 * H, 3 * H), ROW(s->h, s->h_b), ROW(s->y, s->y_b), SAVED);
#undef ROW
#undef SAVED
}

/* Row b, forward h' = n + z (h - n), n = tanh(gx + r u): dh becomes the part of the old h's gradient that goes past the
 * products. */
static void K(gru_gates_after_back)(const K(step_rows) * s, int64_t b) {
    const int64_t H = s->H;
    const real *saved = s->saved + b * s->saved_b;
    K(fetch_step_before)(s, b);
    EACH_COLUMN(H) {
        const vr r = LOAD(saved), z = LOAD(saved + H), new = LOAD(saved + 2 * H), u = LOAD(saved + 3 * H), old = LOAD(saved + 4 * H);
        const vr g = K(whole_dh)(s, b, j, n);
        const vr dn = vr_mul(vr_mul(g, vr_sub(vr_set1(1), z)), K(slope_of_tanh)(new));
        K(gate_gradient)(s, b, 0, j, n, dn);
        K(gate_gradient)(s, b, 1, j, n, vr_mul(vr_mul(dn, u), K(slope_of_sigmoid)(r)));
        K(gate_gradient)(s, b, 2, j, n, vr_mul(vr_mul(g, vr_sub(old, new)), K(slope_of_sigmoid)(z)));
        K(gate_gradient)(s, b, 3, j, n, vr_mul(dn, r));
        STORE(s->dh + b * H, vr_mul(g, z));
    }
}

/* Row b, forward h' = h + z (n - h): first what does not need the gradient of u = r h ... */
static void K(gru_gates_new_back)(const K(step_rows) * s, int64_t b) {
    const int64_t H = s->H;
    const real *saved = s->saved + b * s->saved_b;
    K(fetch_step_before)(s, b);
    EACH_COLUMN(H) {
        const vr z = LOAD(saved + H), new = LOAD(saved + 2 * H), old = LOAD(saved + 4 * H), g = K(whole_dh)(s, b, j, n);
        K(gate_gradient)(s, b, 0, j, n, vr_mul(vr_mul(g, z), K(slope_of_tanh)(new)));
        K(gate_gradient)(s, b, 2, j, n, vr_mul(vr_mul(g, vr_sub(new, old)), K(slope_of_sigmoid)(z)));
        STORE(s->dh + b * H, vr_mul(g, vr_sub(vr_set1(1), z)));
    }
}
/* ... then the rest, from du (H). */
static void K(gru_gates_reset_back)(const K(step_rows) * s, int64_t b, const real *du) {
    const int64_t H = s->H;
    const real *saved = s->saved + b * s->saved_b;
    real *dh = s->dh + b * H;
    EACH_COLUMN(H) {
        const vr r = LOAD(saved), old = LOAD(saved + 4 * H), g = LOAD(du);
        K(gate_gradient)(s, b, 1, j, n, vr_mul(vr_mul(g, old), K(slope_of_sigmoid)(r)));
        STORE(dh, vr_fma(g, r, LOAD(dh)));
    }
}

static void K(gru_step_back)(const fnn_recurrent_task *t, const K(step_rows) * s, real *du) {
    const int64_t H = s->H;
    if (t->kind == FNN_GRU_AFTER) {
        for (int64_t b = 0; b < s->rows; b++) K(gru_gates_after_back)(s, b);
        K(recurrent_back_product)(t, s->dh, s->d + H, 0, 3, s->dh);
        return;
    }
    for (int64_t b = 0; b < s->rows; b++) K(gru_gates_new_back)(s, b);
    K(recurrent_back_product)(t, du, s->d, 2, 1, NULL);
    for (int64_t b = 0; b < s->rows; b++) K(gru_gates_reset_back)(s, b, du + b * H);
    K(recurrent_back_product)(t, s->dh, s->d + H, 0, 2, s->dh);
}

/* GRU over a whole sequence for a range of batch rows, forward and backward (kernels over `real`; see isa/unit.inc).
 *
 * Rows of a batch never meet, so a task walks all time steps of its rows alone: no barrier between steps, and the state stays
 * in the cache. Weight gradients are not formed here: backward leaves the gate gradients of all steps behind, and one product
 * over them (ops/gru_core.c) does the rest.
 * Invariant: products are chains over increasing index (kernels/gemm.h); a row's results do not depend on the rows beside it.
 * Read next: gru_task.h (formulas, layouts), ops/gru_core.c. */

#define GRU_AT(type, p, i) ((type *)(p) + (i))
/* n lanes from column j on, and whether the word is whole */
#define GRU_COLUMNS(H) for (int64_t j = 0, n; j < (H) && (n = (H)-j < VR ? (H)-j : VR); j += VR)

/* sigmoid'(a) from s = sigmoid(a): s (1 - s); tanh'(a) from t = tanh(a): 1 - t t */
static inline vr K(gru_dsigmoid)(vr s) { return vr_mul(s, vr_sub(vr_set1(1), s)); }
static inline vr K(gru_dtanh)(vr t) { return vr_sub(vr_set1(1), vr_mul(t, t)); }

/* One row, reset after: gx, gh (3H) the two products with biases -> y (H), saved (5H) or NULL. */
static void K(gru_gates_after)(int64_t H, const real *gx, const real *gh, const real *h, real *y, real *saved) {
    GRU_COLUMNS(H) {
        const vr r = vr_sigmoid(vr_add(vr_load_n(gx + j, n), vr_load_n(gh + j, n)));
        const vr z = vr_sigmoid(vr_add(vr_load_n(gx + H + j, n), vr_load_n(gh + H + j, n)));
        const vr u = vr_load_n(gh + 2 * H + j, n), old = vr_load_n(h + j, n);
        const vr new = vr_tanh(vr_fma(r, u, vr_load_n(gx + 2 * H + j, n)));
        vr_store_n(y + j, n, vr_fma(z, vr_sub(old, new), new));
        if (!saved) continue;
        vr_store_n(saved + j, n, r);
        vr_store_n(saved + H + j, n, z);
        vr_store_n(saved + 2 * H + j, n, new);
        vr_store_n(saved + 3 * H + j, n, u);
        vr_store_n(saved + 4 * H + j, n, old);
    }
}

/* One row, reset before, first half: r and z from gx, gh (2H of it); u = r h. z waits in gh. */
static void K(gru_gates_reset)(int64_t H, const real *gx, real *gh, const real *h, real *u, real *saved) {
    GRU_COLUMNS(H) {
        const vr r = vr_sigmoid(vr_add(vr_load_n(gx + j, n), vr_load_n(gh + j, n)));
        const vr z = vr_sigmoid(vr_add(vr_load_n(gx + H + j, n), vr_load_n(gh + H + j, n)));
        const vr old = vr_load_n(h + j, n), rh = vr_mul(r, old);
        vr_store_n(gh + H + j, n, z);
        vr_store_n(u + j, n, rh);
        if (!saved) continue;
        vr_store_n(saved + j, n, r);
        vr_store_n(saved + H + j, n, z);
        vr_store_n(saved + 3 * H + j, n, rh);
        vr_store_n(saved + 4 * H + j, n, old);
    }
}
/* Second half: n from gx and gn (H), h' = h + z (n - h). */
static void K(gru_gates_new)(int64_t H, const real *gx, const real *z, const real *gn, const real *h, real *y, real *saved) {
    GRU_COLUMNS(H) {
        const vr old = vr_load_n(h + j, n), new = vr_tanh(vr_add(vr_load_n(gx + 2 * H + j, n), vr_load_n(gn + j, n)));
        vr_store_n(y + j, n, vr_fma(vr_load_n(z + j, n), vr_sub(new, old), old));
        if (saved) vr_store_n(saved + 2 * H + j, n, new);
    }
}

/* C (M,N) = A packed-B + bias */
static inline void K(gru_product)(real *c, int64_t c_row, const real *a, int64_t a_row, const void *packed, int64_t M, int64_t N,
                                  int64_t depth, const void *bias) {
    const fnn_gemm_task g = {.M = M, .N = N, .K = depth, .a = a, .a_row = a_row, .a_col = 1, .b = packed, .b_form = FNN_GEMM_PACKED,
                             .c = c, .c_row = c_row, .add = bias};
    K(gemm_block)(&g);
}

/* Input products of steps t .. t+steps-1 into gx (steps, rows, 3H): by step where there are rows enough, else by row. */
static void K(gru_inputs)(const fnn_gru_task *t, int64_t step, int64_t steps, real *gx) {
    const int64_t G = 3 * t->H;
    const real *x = GRU_AT(const real, t->x, t->row * t->x_b + step * t->x_t);
    if (steps == 1) K(gru_product)(gx, G, x, t->x_b, t->wx, t->rows, G, t->I, t->bx);
    else
        for (int64_t b = 0; b < t->rows; b++)
            K(gru_product)(gx + b * G, t->rows * G, x + b * t->x_b, t->x_t, t->wx, steps, G, t->I, t->bx);
}

static void K(gru_step)(const fnn_gru_task *t, int64_t step, const real *gx, real *gh, const real *h, int64_t h_b) {
    const int64_t H = t->H, rows = t->rows;
    real *y = GRU_AT(real, t->y, t->row * t->y_b + step * t->y_t), *u = gh + 3 * rows * H;
    real *saved = t->saved ? GRU_AT(real, t->saved, (t->row * t->T + step) * 5 * H) : NULL;
    const int64_t saved_b = t->saved ? t->T * 5 * H : 0;
    if (!t->before) {
        K(gru_product)(gh, 3 * H, h, h_b, t->wh, rows, 3 * H, H, t->bh);
        for (int64_t b = 0; b < rows; b++)
            K(gru_gates_after)(H, gx + b * 3 * H, gh + b * 3 * H, h + b * h_b, y + b * t->y_b, saved ? saved + b * saved_b : NULL);
        return;
    }
    K(gru_product)(gh, 3 * H, h, h_b, t->wh, rows, 2 * H, H, NULL);
    for (int64_t b = 0; b < rows; b++)
        K(gru_gates_reset)(H, gx + b * 3 * H, gh + b * 3 * H, h + b * h_b, u + b * H, saved ? saved + b * saved_b : NULL);
    K(gru_product)(gh + 2 * H, 3 * H, u, H, t->wn, rows, H, H, NULL);
    for (int64_t b = 0; b < rows; b++)
        K(gru_gates_new)(H, gx + b * 3 * H, gh + b * 3 * H + H, gh + b * 3 * H + 2 * H, h + b * h_b, y + b * t->y_b,
                         saved ? saved + b * saved_b : NULL);
}

static void K(gru_forward)(const fnn_gru_task *t) {
    const int64_t H = t->H;
    real *gx = t->scratch, *gh = gx + t->hoist * t->rows * 3 * H, *zeros = gh + 4 * t->rows * H;
    const real *h = t->h0 ? GRU_AT(const real, t->h0, t->row * t->h0_b) : zeros;
    int64_t h_b = t->h0 ? t->h0_b : H;
    if (!t->h0) memset(zeros, 0, (size_t)(t->rows * H) * sizeof(real));
    for (int64_t step = 0; step < t->T; step++) {
        const int64_t ahead = step % t->hoist;
        if (ahead == 0) K(gru_inputs)(t, step, t->T - step < t->hoist ? t->T - step : t->hoist, gx);
        K(gru_step)(t, step, gx + ahead * t->rows * 3 * H, gh, h, h_b);
        h = GRU_AT(const real, t->y, t->row * t->y_b + step * t->y_t);
        h_b = t->y_b;
    }
}

/* One row, forward h' = n + z (h - n), n = tanh(gx + r u): dh becomes the part of the old h's gradient that goes past the
 * products, d (4H) the gate gradients n, r, z, r n; db their running sums. */
static void K(gru_gates_after_backward)(int64_t H, const real *saved, real *dh, real *d, real *db) {
    GRU_COLUMNS(H) {
        const vr r = vr_load_n(saved + j, n), z = vr_load_n(saved + H + j, n), new = vr_load_n(saved + 2 * H + j, n);
        const vr u = vr_load_n(saved + 3 * H + j, n), old = vr_load_n(saved + 4 * H + j, n), g = vr_load_n(dh + j, n);
        const vr dz = vr_mul(vr_mul(g, vr_sub(old, new)), K(gru_dsigmoid)(z));
        const vr dn = vr_mul(vr_mul(g, vr_sub(vr_set1(1), z)), K(gru_dtanh)(new));
        const vr dr = vr_mul(vr_mul(dn, u), K(gru_dsigmoid)(r)), dnr = vr_mul(dn, r);
        const vr all[4] = {dn, dr, dz, dnr};
        for (int i = 0; i < 4; i++) {
            vr_store_n(d + i * H + j, n, all[i]);
            vr_store_n(db + i * H + j, n, vr_add(vr_load_n(db + i * H + j, n), all[i]));
        }
        vr_store_n(dh + j, n, vr_mul(g, z));
    }
}

/* One row, forward h' = h + z (n - h): first what does not need the gradient of u = r h ... */
static void K(gru_gates_new_backward)(int64_t H, const real *saved, real *dh, real *d, real *db) {
    GRU_COLUMNS(H) {
        const vr z = vr_load_n(saved + H + j, n), new = vr_load_n(saved + 2 * H + j, n);
        const vr old = vr_load_n(saved + 4 * H + j, n), g = vr_load_n(dh + j, n);
        const vr dz = vr_mul(vr_mul(g, vr_sub(new, old)), K(gru_dsigmoid)(z)), dn = vr_mul(vr_mul(g, z), K(gru_dtanh)(new));
        vr_store_n(d + j, n, dn);
        vr_store_n(d + 2 * H + j, n, dz);
        vr_store_n(db + j, n, vr_add(vr_load_n(db + j, n), dn));
        vr_store_n(db + 2 * H + j, n, vr_add(vr_load_n(db + 2 * H + j, n), dz));
        vr_store_n(dh + j, n, vr_mul(g, vr_sub(vr_set1(1), z)));
    }
}
/* ... then the rest, from du. */
static void K(gru_gates_reset_backward)(int64_t H, const real *saved, const real *du, real *dh, real *d, real *db) {
    GRU_COLUMNS(H) {
        const vr r = vr_load_n(saved + j, n), old = vr_load_n(saved + 4 * H + j, n), g = vr_load_n(du + j, n);
        const vr dr = vr_mul(vr_mul(g, old), K(gru_dsigmoid)(r));
        vr_store_n(d + H + j, n, dr);
        vr_store_n(db + H + j, n, vr_add(vr_load_n(db + H + j, n), dr));
        vr_store_n(dh + j, n, vr_fma(g, r, vr_load_n(dh + j, n)));
    }
}

/* c (rows,H) = d (rows, depth) times rows `first`.. of the recurrent weights (+ add) */
static inline void K(gru_back_product)(const fnn_gru_task *t, real *c, const real *d, int64_t first, int64_t depth,
                                       const real *add) {
    const fnn_gemm_task g = {.M = t->rows, .N = t->H, .K = depth, .a = d, .a_row = t->T * 4 * t->H, .a_col = 1,
                             .b = GRU_AT(const real, t->uh, first * t->uh_row), .b_row = t->uh_row, .c = c, .c_row = t->H,
                             .add = add, .add_row = t->H};
    K(gemm_block)(&g);
}

static void K(gru_backward)(const fnn_gru_task *t) {
    const int64_t H = t->H, rows = t->rows;
    real *dh = GRU_AT(real, t->dh0, t->row * H), *du = t->scratch, *db = t->db;
    memset(db, 0, (size_t)(4 * H) * sizeof(real));
    if (t->dhn) memcpy(dh, GRU_AT(const real, t->dhn, t->row * H), (size_t)(rows * H) * sizeof(real));
    else memset(dh, 0, (size_t)(rows * H) * sizeof(real));
    for (int64_t step = t->T - 1; step >= 0; step--) {
        const real *saved = GRU_AT(const real, t->saved, (t->row * t->T + step) * 5 * H);
        real *d = GRU_AT(real, t->dgates, (t->row * t->T + step) * 4 * H);
        const int64_t saved_b = t->T * 5 * H, d_b = t->T * 4 * H;
        for (int64_t b = 0; b < rows; b++) {
            const real *dy = t->dy ? GRU_AT(const real, t->dy, (t->row + b) * t->dy_b + step * t->dy_t) : NULL;
            if (dy) GRU_COLUMNS(H) vr_store_n(dh + b * H + j, n, vr_add(vr_load_n(dh + b * H + j, n), vr_load_n(dy + j, n)));
            (t->before ? K(gru_gates_new_backward) : K(gru_gates_after_backward))(H, saved + b * saved_b, dh + b * H, d + b * d_b, db);
        }
        if (!t->before) {
            K(gru_back_product)(t, dh, d + H, 0, 3 * H, dh);
            continue;
        }
        K(gru_back_product)(t, du, d, 2 * H, H, NULL);
        for (int64_t b = 0; b < rows; b++)
            K(gru_gates_reset_backward)(H, saved + b * saved_b, du + b * H, dh + b * H, d + b * d_b, db);
        K(gru_back_product)(t, dh, d + H, 0, 2 * H, dh);
    }
}
#undef GRU_AT
#undef GRU_COLUMNS

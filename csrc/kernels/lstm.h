/* One step of LSTM, forward and back (kernels over `real`). Formulas: recurrent_task.h; the walk: recurrent_walk.h. */

/* One row: g (4H) = a + p -> c in place, y, saved */
static void K(lstm_gates)(int64_t H, const real *g, const real *h, real *c, real *y, real *saved) {
    EACH_COLUMN(H) {
        const vr i = vr_sigmoid(LOAD(g)), f = vr_sigmoid(LOAD(g + H)), new = vr_tanh(LOAD(g + 2 * H)), o = vr_sigmoid(LOAD(g + 3 * H));
        const vr old = LOAD(c), next = vr_fma(f, old, vr_mul(i, new)), t = vr_tanh(next);
        if (saved) {
            const vr all[7] = {i, f, new, o, old, t, LOAD(h)};
            for (int k = 0; k < 7; k++) STORE(saved + k * H, all[k]);
        }
        STORE(c, next);
        STORE(y, vr_mul(o, t));
    }
}

/* g (rows,4H): the input products, becomes a + p */
static void K(lstm_step)(const fnn_recurrent_task *t, const K(step_rows) * s, real *g) {
    const int64_t H = s->H;
    real *c = AT(real, t->cn, t->row * H);
    K(recurrent_product)(g, 4 * H, s->h, s->h_b, t->ph, s->rows, 4 * H, H, g, 4 * H);
    for (int64_t b = 0; b < s->rows; b++)
        K(lstm_gates)(H, g + b * 4 * H, s->h + b * s->h_b, c + b * H, s->y + b * s->y_b, s->saved ? s->saved + b * s->saved_b : NULL);
}

/* h' = o tanh(c'), c' = f c + i n */
static void K(lstm_step_back)(const fnn_recurrent_task *t, const K(step_rows) * s) {
    const int64_t H = s->H;
    for (int64_t b = 0; b < s->rows; b++) {
        const real *saved = s->saved + b * s->saved_b;
        K(fetch_step_before)(s, b);
        real *dc = AT(real, t->dc0, (t->row + b) * H);
        EACH_COLUMN(H) {
            const vr i = LOAD(saved), f = LOAD(saved + H), new = LOAD(saved + 2 * H), o = LOAD(saved + 3 * H);
            const vr old = LOAD(saved + 4 * H), tc = LOAD(saved + 5 * H), g = K(whole_dh)(s, b, j, n);
            const vr d = vr_fma(vr_mul(g, o), K(slope_of_tanh)(tc), LOAD(dc));
            K(gate_gradient)(s, b, 0, j, n, vr_mul(vr_mul(d, new), K(slope_of_sigmoid)(i)));
            K(gate_gradient)(s, b, 1, j, n, vr_mul(vr_mul(d, old), K(slope_of_sigmoid)(f)));
            K(gate_gradient)(s, b, 2, j, n, vr_mul(vr_mul(d, i), K(slope_of_tanh)(new)));
            K(gate_gradient)(s, b, 3, j, n, vr_mul(vr_mul(g, tc), K(slope_of_sigmoid)(o)));
            STORE(dc, vr_mul(d, f));
        }
    }
    K(recurrent_back_product)(t, s->dh, s->d, 0, 4, NULL);
}

/* One step of RNN, forward and back (kernels over `real`). Formulas: recurrent_task.h; the walk: recurrent_walk.h. */

/* g (rows,H): the input products, becomes a + p */
static void K(rnn_step)(const fnn_recurrent_task *t, const K(step_rows) * s, real *g) {
    const int64_t H = s->H;
    K(recurrent_product)(g, H, s->h, s->h_b, t->ph, s->rows, H, H, g, H);
    for (int64_t b = 0; b < s->rows; b++) EACH_COLUMN(H) {
        const vr a = LOAD(g + b * H);
        const vr y = t->kind == FNN_RNN_TANH ? vr_tanh(a) : vr_select(vr_le(a, vr_set1(0)), vr_set1(0), a); /* NaN stays */
        if (s->saved) {
            STORE(s->saved + b * s->saved_b, y);
            STORE(s->saved + b * s->saved_b + H, LOAD(s->h + b * s->h_b));
        }
        STORE(s->y + b * s->y_b, y);
    }
}

/* dh (1 - y y), or dh where y > 0: then dh is what the product gives */
static void K(rnn_step_back)(const fnn_recurrent_task *t, const K(step_rows) * s) {
    const int64_t H = s->H;
    for (int64_t b = 0; b < s->rows; b++) {
        K(fetch_step_before)(s, b);
        EACH_COLUMN(H) {
            const vr y = LOAD(s->saved + b * s->saved_b), g = K(whole_dh)(s, b, j, n);
            K(gate_gradient)(s, b, 0, j, n, t->kind == FNN_RNN_TANH ? vr_mul(g, K(slope_of_tanh)(y))
                                                                   : vr_select(vr_le(y, vr_set1(0)), vr_set1(0), g));
        }
    }
    K(recurrent_back_product)(t, s->dh, s->d, 0, 1, NULL);
}

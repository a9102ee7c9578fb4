/* The walk over the steps of RNN, LSTM and GRU, and the products that need no order (kernels over `real`).
 *
 * forward:  input products of some steps ahead, then step by step.
 * backward: step by step from the last; then, while the gate gradients of these rows are in the cache, dx and this task's
 *           share of the weight gradients.
 * Invariant: sums over rows and steps run in the order of (b, t), in pieces of RECURRENT_PIECE that are added up in order.
 * Read next: ops/recurrent_core.c (chunks, merging the shares). */

#define RECURRENT_PIECE 512 /* rows of a weight gradient's sum: as ops/product.c's pieces, so the error grows as there */

/* Input products of steps t .. t+steps-1 into gx (steps, rows, GH): by step where there are rows enough, else by row. */
static void K(recurrent_inputs)(const fnn_recurrent_task *t, int64_t step, int64_t steps, real *gx) {
    const int64_t G = FNN_RECURRENCE[t->kind].gates * t->H;
    const real *x = AT(const real, t->x, t->row * t->x_b + step * t->x_t);
    if (steps == 1) K(recurrent_product)(gx, G, x, t->x_b, t->px, t->rows, G, t->I, t->bx, 0);
    else
        for (int64_t b = 0; b < t->rows; b++)
            K(recurrent_product)(gx + b * G, t->rows * G, x + b * t->x_b, t->x_t, t->px, steps, G, t->I, t->bx, 0);
}

/* out (rows,H) = in, or zeros for NULL */
static void K(recurrent_start)(real *out, const real *in, int64_t in_b, int64_t rows, int64_t H) {
    for (int64_t b = 0; b < rows; b++) EACH_COLUMN(H) STORE(out + b * H, in ? LOAD(in + b * in_b) : vr_set1(0));
}

static void K(recurrent_forward)(const fnn_recurrent_task *t) {
    const int64_t H = t->H, rows = t->rows, G = FNN_RECURRENCE[t->kind].gates * H, S = FNN_RECURRENCE[t->kind].saved * H;
    real *gx = t->scratch, *gh = gx + t->hoist * rows * G, *u = gh + rows * G, *zeros = u + rows * H;
    K(step_rows) s = {.H = H, .rows = rows, .h = zeros, .h_b = H, .y_b = t->y_b, .saved_b = t->T * S};
    if (t->h0) s.h = AT(const real, t->h0, t->row * t->h0_b), s.h_b = t->h0_b;
    else K(recurrent_start)(zeros, NULL, 0, rows, H);
    if (t->kind == FNN_LSTM)
        K(recurrent_start)(AT(real, t->cn, t->row * H), t->c0 ? AT(const real, t->c0, t->row * t->c0_b) : NULL, t->c0_b, rows, H);
    for (int64_t step = 0; step < t->T; step++) {
        const int64_t ahead = step % t->hoist;
        real *g = gx + ahead * rows * G;
        if (ahead == 0) K(recurrent_inputs)(t, step, t->T - step < t->hoist ? t->T - step : t->hoist, gx);
        s.y = AT(real, t->y, t->row * t->y_b + step * t->y_t);
        if (t->saved) s.saved = AT(real, t->saved, (t->row * t->T + step) * S);
        if (t->kind == FNN_LSTM) K(lstm_step)(t, &s, g);
        else if (t->kind == FNN_GRU_AFTER || t->kind == FNN_GRU_BEFORE) K(gru_step)(t, &s, g, gh, u);
        else K(rnn_step)(t, &s, g);
        s.h = s.y;
        s.h_b = s.y_b;
    }
}

/* dx (rows,T,I) = gate gradients times input weights; one product where the rows of dx follow each other evenly */
static void K(recurrent_dx)(const fnn_recurrent_task *t) {
    const fnn_recurrence_shape *shape = &FNN_RECURRENCE[t->kind];
    const int64_t H = t->H;
    const int folds = t->rows == 1 || t->T == 1 || t->dx_b == t->T * t->dx_t;
    const int64_t M = folds ? t->rows * t->T : t->T;
    for (int64_t b = 0; b < (folds ? 1 : t->rows); b++)
        for (int i = 0; i < shape->x_runs; i++) {
            const fnn_gate_run *run = &shape->x[i];
            real *dx = AT(real, t->dx, (t->row + b) * t->dx_b);
            const int64_t row = t->T == 1 ? t->dx_b : t->dx_t;
            const fnn_gemm_task g = {.M = M, .N = t->I, .K = run->gates * H, .a_row = t->d_row, .a_col = 1,
                                     .a = AT(const real, t->dgates, b * t->T * t->d_row + run->d * H),
                                     .b = AT(const real, t->wx, run->row * H * t->wx_row), .b_row = t->wx_row,
                                     .c = dx, .c_row = row, .add = i ? dx : NULL, .add_row = row};
            K(gemm_block)(&g);
        }
}

/* dw (gates H, N) = the run's gate gradients, turned, times v (n, N), over the n = rows T of this task */
static void K(recurrent_dw)(const fnn_recurrent_task *t, real *dw, int64_t N, const fnn_gate_run *run, const real *v, int64_t v_row) {
    const int64_t H = t->H, n = t->rows * t->T;
    real *c = dw + run->row * H * N;
    int64_t k = 0;
    do { /* at least once: nothing sums up to 0 */
        const fnn_gemm_task g = {.M = run->gates * H, .N = N, .K = n - k < RECURRENT_PIECE ? n - k : RECURRENT_PIECE,
                                 .a = AT(const real, t->dgates, k * t->d_row + run->d * H), .a_row = 1, .a_col = t->d_row,
                                 .b = v + k * v_row, .b_row = v_row, .c = c, .c_row = N, .add = k ? c : NULL, .add_row = N};
        K(gemm_block)(&g);
        k += RECURRENT_PIECE;
    } while (k < n);
}

/* The rows of x in the order of (b, t) with one distance: x itself, or a copy in `room`. */
static const real *K(recurrent_even_x)(const fnn_recurrent_task *t, real *room, int64_t *x_row) {
    const real *x = AT(const real, t->x, t->row * t->x_b);
    *x_row = t->T == 1 ? t->x_b : t->x_t;
    if (t->B == 1 || t->T == 1 || t->x_b == t->T * t->x_t) return x;
    for (int64_t b = 0; b < t->rows; b++) K(recurrent_start)(room + b * t->T * t->I, x + b * t->x_b, t->x_t, t->T, t->I);
    *x_row = t->I;
    return room;
}

static void K(recurrent_shares)(const fnn_recurrent_task *t, real *room) {
    const fnn_recurrence_shape *shape = &FNN_RECURRENCE[t->kind];
    const int64_t S = shape->saved * t->H;
    if (t->dwx) {
        int64_t x_row;
        const real *x = K(recurrent_even_x)(t, room, &x_row);
        for (int i = 0; i < shape->x_runs; i++) K(recurrent_dw)(t, t->dwx, t->I, &shape->x[i], x, x_row);
    }
    if (!t->dwh) return;
    const real *saved = AT(const real, t->saved, t->row * t->T * S);
    for (int i = 0; i < shape->h_runs; i++) K(recurrent_dw)(t, t->dwh, t->H, &shape->h[i], saved + shape->h[i].saved * t->H, S);
}

static void K(recurrent_backward)(const fnn_recurrent_task *t) {
    const fnn_recurrence_shape *shape = &FNN_RECURRENCE[t->kind];
    const int64_t H = t->H, rows = t->rows, S = shape->saved * H, D = shape->grads * H;
    real *du = t->scratch, *step_db = du + rows * H, *db = t->db;
    K(step_rows) s = {.H = H, .rows = rows, .dh = AT(real, t->dh0, t->row * H), .saved_b = t->T * S, .dy_b = t->dy_b,
                      .d_b = t->T * t->d_row, .db = step_db};
    memset(db, 0, (size_t)D * sizeof(real));
    K(recurrent_start)(s.dh, t->dhn ? AT(const real, t->dhn, t->row * H) : NULL, H, rows, H);
    if (t->kind == FNN_LSTM)
        K(recurrent_start)(AT(real, t->dc0, t->row * H), t->dcn ? AT(const real, t->dcn, t->row * H) : NULL, H, rows, H);
    for (int64_t step = t->T - 1; step >= 0; step--) {
        memset(step_db, 0, (size_t)D * sizeof(real));
        s.saved = AT(real, t->saved, (t->row * t->T + step) * S);
        s.before = step > 0 ? S : 0;
        s.d = AT(real, t->dgates, step * t->d_row);
        if (t->dy) s.dy = AT(const real, t->dy, t->row * t->dy_b + step * t->dy_t);
        if (t->kind == FNN_LSTM) K(lstm_step_back)(t, &s);
        else if (t->kind == FNN_GRU_AFTER || t->kind == FNN_GRU_BEFORE) K(gru_step_back)(t, &s, du);
        else K(rnn_step_back)(t, &s);
        EACH_COLUMN(D) STORE(db, vr_add(LOAD(db), LOAD(step_db)));
    }
    if (t->dx) K(recurrent_dx)(t);
    K(recurrent_shares)(t, step_db + D);
}
#undef RECURRENT_PIECE
#undef AT
#undef EACH_COLUMN
#undef LOAD
#undef STORE

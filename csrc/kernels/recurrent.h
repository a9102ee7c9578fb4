/* What RNN, LSTM and GRU kernels share: columns, derivatives, products (kernels over `real`; see isa/unit.inc).
 *
 * Rows of a batch never meet, so a task walks all time steps of its rows alone: no barrier between steps, and the state stays
 * in the cache. Each kind is two functions, one step forward and one step back (rnn.h, lstm.h, gru.h); the walk over the
 * steps and the products that need no order are in recurrent_walk.h.
 * Invariant: products add up as kernels/gemm.h says; a row's results do not depend on the rows beside it.
 * Read next: recurrent_task.h (formulas, layouts), recurrent_walk.h. */

#define AT(type, p, i) ((type *)(p) + (i))
/* n lanes from column j on */
#define EACH_COLUMN(H) for (int64_t j = 0, n; j < (H) && (n = (H)-j < VR ? (H)-j : VR); j += VR)
#define LOAD(p) vr_load_n((p) + j, n)
#define STORE(p, v) vr_store_n((p) + j, n, v)

/* sigmoid'(a) from s = sigmoid(a): s (1 - s); tanh'(a) from t = tanh(a): 1 - t t */
static inline vr K(slope_of_sigmoid)(vr s) { return vr_mul(s, vr_sub(vr_set1(1), s)); }
static inline vr K(slope_of_tanh)(vr t) { return vr_sub(vr_set1(1), vr_mul(t, t)); }

/* C (M,N) = A packed-B + add */
static inline void K(recurrent_product)(real *c, int64_t c_row, const real *a, int64_t a_row, const void *packed, int64_t M, int64_t N,
                                        int64_t depth, const void *add, int64_t add_row) {
    const fnn_gemm_task g = {.M = M, .N = N, .K = depth, .a = a, .a_row = a_row, .a_col = 1, .b = packed, .b_form = FNN_GEMM_PACKED,
                             .c = c, .c_row = c_row, .add = add, .add_row = add_row};
    K(gemm_block)(&g);
}

/* c (rows,H) = d times gates `first` .. first+gates-1 of the recurrent weights (+ add); d: those gates' gradients */
static inline void K(recurrent_back_product)(const fnn_recurrent_task *t, real *c, const real *d, int64_t first, int64_t gates,
                                             const real *add) {
    const fnn_gemm_task g = {.M = t->rows, .N = t->H, .K = gates * t->H, .a = d, .a_row = t->T * t->d_row, .a_col = 1,
                             .b = AT(const real, t->wh, first * t->H * t->wh_row), .b_row = t->wh_row, .c = c, .c_row = t->H,
                             .add = add, .add_row = t->H};
    K(gemm_block)(&g);
}

/* One step of a task: where its rows begin and how far apart they are. */
typedef struct K(step_rows) {
    int64_t H, rows;
    const real *h; /* (rows,H): the state before the step (forward) */
    int64_t h_b;
    real *y;       /* forward */
    int64_t y_b;
    real *saved;   /* NULL: not wanted */
    int64_t saved_b, before; /* between rows; backward: numbers of one row of the step before, 0 at the first step */
    const real *dy; /* backward: NULL is zeros */
    int64_t dy_b;
    real *dh, *d;   /* (rows,H) contiguous; (rows,DH) */
    int64_t d_b;
    real *db;       /* (DH): sums over the rows of this step are added */
} K(step_rows);

/* Backward's way through saved is none that the processor guesses: what row b of the step before will be read from is fetched
 * into the L2 cache. Every other line: the processor fetches them in pairs. */
static inline void K(fetch_step_before)(const K(step_rows) * s, int64_t b) {
    const real *p = s->saved + b * s->saved_b - s->before;
    for (int64_t j = 0; j < s->before; j += 128 / (int64_t)sizeof(real)) __builtin_prefetch(p + j, 0, 2);
}

/* The gradient of h' that comes from the next step and from y */
static inline vr K(whole_dh)(const K(step_rows) * s, int64_t b, int64_t j, int64_t n) {
    const vr g = LOAD(s->dh + b * s->H);
    return s->dy ? vr_add(g, LOAD(s->dy + b * s->dy_b)) : g;
}
/* Stores gate i's gradient and adds it to the sums. */
static inline void K(gate_gradient)(const K(step_rows) * s, int64_t b, int i, int64_t j, int64_t n, vr g) {
    STORE(s->d + b * s->d_b + i * s->H, g);
    STORE(s->db + i * s->H, vr_add(LOAD(s->db + i * s->H), g));
}

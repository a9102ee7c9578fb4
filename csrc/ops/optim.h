/* An optimizer step in two halves, for several groups of parameters that step together or not at all; the public calls of
 * fastnn.h are the two halves behind one another.
 *
 * Invariant: after a preparation, which makes all checks and takes all memory and has written nothing, nothing can fail. What
 * is prepared is either begun and run, or dropped. Read next: optim.c. */
#ifndef FNN_OPS_OPTIM_H
#define FNN_OPS_OPTIM_H

#include "op.h"

typedef const fnn_tensor *const *fnn_tensor_list;

enum { FNN_STEP_SLOTS = 5 };
typedef struct fnn_step {
    bool adam;
    bool release; /* the host's lock, while the step runs */
    bool from_end; /* every other step of Adam in one thread: what the last one left in the cache comes first */
    double work;
    int64_t n, pieces;
    struct item *items;
    struct piece *piece;
    size_t bytes; /* of the one block that holds both */
    fnn_tensor_list list[FNN_STEP_SLOTS], steps; /* the caller's, until the step has begun */
    fnn_adam_options adam_options;
} fnn_step;

/* pin: other threads of the host may run between begin and run, because another group's run lets them. */
fnn_status fnn_adam_prepare(fnn_step *u, int64_t n, fnn_tensor_list params, fnn_tensor_list grads, fnn_tensor_list exp_avgs, fnn_tensor_list exp_avg_sqs,
                            fnn_tensor_list max_exp_avg_sqs, fnn_tensor_list steps, const fnn_adam_options *options, bool pin);
fnn_status fnn_sgd_prepare(fnn_step *u, int64_t n, fnn_tensor_list params, fnn_tensor_list grads, fnn_tensor_list buffers, const bool *first,
                           const fnn_sgd_options *options, bool pin);
void fnn_step_begin(fnn_step *u); /* counts the step and the versions; the lists are not read after it */
void fnn_step_run(fnn_step *u);   /* the writing; lets go of everything */
void fnn_step_drop(fnn_step *u);  /* instead of both */

#endif

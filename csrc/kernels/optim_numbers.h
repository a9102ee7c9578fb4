/* The numbers of one optimizer step, all in double as Python computes them; kernels round them to `real`. */
#ifndef FNN_KERNELS_OPTIM_NUMBERS_H
#define FNN_KERNELS_OPTIM_NUMBERS_H
#include <stdbool.h>

typedef struct fnn_adam_numbers {
    double lr, beta1, beta2, eps, weight_decay;
    double step_size;             /* lr / (1 - beta1^step) */
    double bias_correction2_sqrt; /* sqrt(1 - beta2^step) */
    bool decoupled;               /* AdamW: the parameter shrinks; Adam: weight_decay * p joins the gradient */
    bool maximize;
} fnn_adam_numbers;

typedef struct fnn_sgd_numbers {
    double lr, momentum, dampening, weight_decay;
    bool nesterov, maximize;
    bool first; /* the momentum buffer is new: it becomes the gradient */
} fnn_sgd_numbers;
#endif

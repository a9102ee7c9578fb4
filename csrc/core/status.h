/* Status codes and the error message that goes with them.
 *
 * Every function that can fail returns an fnn_status; on anything but FNN_OK the calling thread's message says what
 * went wrong, starting with the op: "layer_norm: weight has shape (64,), expected (128,)".
 * Invariant: a message is written only by fnn_fail, in the thread that failed, and stays until that thread's next
 * failure; FNN_OK never touches it. Nothing here prints.
 * It does not: map codes to Python exceptions (csrc/python does, in one place).
 * Next: pool.h. */
#ifndef FNN_CORE_STATUS_H
#define FNN_CORE_STATUS_H

typedef enum fnn_status {
    FNN_OK = 0,
    FNN_ERR_RUNTIME,        /* RuntimeError */
    FNN_ERR_VALUE,          /* ValueError */
    FNN_ERR_TYPE,           /* TypeError */
    FNN_ERR_INDEX,          /* IndexError */
    FNN_ERR_MEMORY,         /* MemoryError */
    FNN_ERR_NOT_IMPLEMENTED /* NotImplementedError */
} fnn_status;

/* Room for a message, its final 0 included; a longer one is cut and ends in "...". */
#define FNN_MESSAGE_SIZE 1024

/* Sets this thread's message (printf's format language; arguments may point into the current message) and returns
 * `status`, so that a check reads `return fnn_fail(FNN_ERR_VALUE, "op: ...", ...);`. errno is left as it was. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3), cold))
#endif
fnn_status fnn_fail(fnn_status status, const char *format, ...);

/* This thread's last message; "" before the first failure. Valid until the thread's next fnn_fail. */
const char *fnn_error_message(void);

/* A small buffer of this thread for parts of a message (the text of a shape); good until FNN_SCRATCH_TEXTS more are asked for. */
#define FNN_SCRATCH_TEXTS 4
#define FNN_SCRATCH_TEXT 192
char *fnn_scratch_text(void);

#endif

/* See status.h. Each thread that fails gets one block of text, made on its first failure and freed when the thread ends.
 *
 * Why not plain thread-local arrays: the whole module's thread-local data must fit the small static block that the loader
 * keeps for libraries opened at run time (pool.c wants its one pointer there, for speed). A thread that cannot get its block
 * shares `last_resort`: reporting that memory ran out must not need memory. */
#include "status.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct texts {
    char message[FNN_MESSAGE_SIZE];
    char scratch[FNN_SCRATCH_TEXTS][FNN_SCRATCH_TEXT];
    unsigned turn;
} texts;

static texts last_resort;
static _Thread_local texts *own;
static pthread_key_t key;
static bool have_key; /* without one, blocks are not freed when their thread ends */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_key(void) { have_key = pthread_key_create(&key, free) == 0; }

static texts *own_texts(void) {
    if (own) return own;
    pthread_once(&once, make_key);
    texts *block = calloc(1, sizeof *block);
    if (!block) return &last_resort;
    if (have_key) pthread_setspecific(key, block);
    return own = block;
}

char *fnn_scratch_text(void) {
    texts *t = own_texts();
    return t->scratch[t->turn++ % FNN_SCRATCH_TEXTS];
}

fnn_status fnn_fail(fnn_status status, const char *format, ...) {
    const int saved_errno = errno;
    char text[FNN_MESSAGE_SIZE]; /* built aside: an argument may be the current message, as when a caller prefixes it */
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0) {
        text[0] = '\0';
    } else if ((size_t)length >= sizeof text) {
        memcpy(text + sizeof text - 4, "...", 4);
    }
    memcpy(own_texts()->message, text, strlen(text) + 1);
    errno = saved_errno;
    return status;
}

const char *fnn_error_message(void) { return own ? own->message : last_resort.message; }

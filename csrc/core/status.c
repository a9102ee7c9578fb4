/* See status.h. The buffer is thread-local and of fixed size: reporting that memory ran out must not need memory. */
#include "status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[FNN_MESSAGE_SIZE];

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
    memcpy(message, text, strlen(text) + 1);
    errno = saved_errno;
    return status;
}

const char *fnn_error_message(void) { return message; }

const char *fnn_status_name(fnn_status status) {
    switch (status) {
    case FNN_OK: return "FNN_OK";
    case FNN_ERR_RUNTIME: return "FNN_ERR_RUNTIME";
    case FNN_ERR_VALUE: return "FNN_ERR_VALUE";
    case FNN_ERR_TYPE: return "FNN_ERR_TYPE";
    case FNN_ERR_INDEX: return "FNN_ERR_INDEX";
    case FNN_ERR_MEMORY: return "FNN_ERR_MEMORY";
    case FNN_ERR_NOT_IMPLEMENTED: return "FNN_ERR_NOT_IMPLEMENTED";
    }
    return "unknown status";
}

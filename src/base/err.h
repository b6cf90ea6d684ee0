/* Errors as values. The leaf that finds a fault writes one line (file, place, expected, found) into
 * a thread-local text and returns a code; callers forward the code with WN_TRY, and may put a
 * context in front of the text with wn_context. Nothing here prints, exits or allocates. The codes
 * themselves are public and stand in winnow.h. */
#ifndef WN_BASE_ERR_H
#define WN_BASE_ERR_H

#include "winnow.h"

#define WN_ERROR_TEXT_BYTES 1024

/* Sets the calling thread's error text (cut at WN_ERROR_TEXT_BYTES) and returns `code`. */
wn_err wn_fail(wn_err code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Puts "context: " in front of the text of a failure and returns `code`; does nothing for WN_OK. */
wn_err wn_context(wn_err code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The text of the last failure of this thread; never NULL. */
const char *wn_error_text(void);

/* Replaces this thread's error text: how wn_par_for carries a worker's text to its caller. */
void wn_error_set_text(const char *text);

/* "out of memory: N bytes for WHAT". */
wn_err wn_fail_nomem(size_t bytes, const char *what);

_Noreturn void wn_assert_failed(const char *file, int line, const char *cond);

/* Forwards a failure whose text the leaf has already written. */
#define WN_TRY(expr)                                                                               \
    do {                                                                                           \
        wn_err try_err_ = (expr);                                                                  \
        if (try_err_ != WN_OK)                                                                     \
            return try_err_;                                                                       \
    } while (0)

/* Misuse by our own code; aborts, in release builds too. Never for file contents or user input. */
#define WN_ASSERT(cond) ((cond) ? (void)0 : wn_assert_failed(__FILE__, __LINE__, #cond))

#endif

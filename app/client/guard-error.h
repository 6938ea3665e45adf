/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What can go wrong when the guard is asked for something.  The values are the exit statuses of bulkhead-ctl. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

#define GUARD_ERROR (guard_error_quark ())

typedef enum
{
  GUARD_ERROR_FAILED          = 1,
  GUARD_ERROR_USAGE           = 2,
  GUARD_ERROR_NO_SUCH_MACHINE = 3,
  GUARD_ERROR_WRONG_STATE     = 4,
  GUARD_ERROR_REFUSED         = 5,      /* by policy: the text names channel, both labels and the failing half */
  GUARD_ERROR_TIMEOUT         = 124,
} GuardError;

/* Registers the mapping to io.github.bulkhead.Guard1.Error.* on first use. */
GQuark guard_error_quark (void);

/* The exit status for any error that came from the guard or from the way to it; never 0. */
int guard_error_exit_status (const GError *error);

G_END_DECLS

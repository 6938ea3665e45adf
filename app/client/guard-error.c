/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "guard-error.h"

static const GDBusErrorEntry entries[] = {
  { GUARD_ERROR_FAILED, "io.github.bulkhead.Guard1.Error.Failed" },
  { GUARD_ERROR_USAGE, "io.github.bulkhead.Guard1.Error.Usage" },
  { GUARD_ERROR_NO_SUCH_MACHINE, "io.github.bulkhead.Guard1.Error.NoSuchMachine" },
  { GUARD_ERROR_WRONG_STATE, "io.github.bulkhead.Guard1.Error.WrongState" },
  { GUARD_ERROR_REFUSED, "io.github.bulkhead.Guard1.Error.Refused" },
  { GUARD_ERROR_TIMEOUT, "io.github.bulkhead.Guard1.Error.Timeout" },
};

GQuark
guard_error_quark (void)
{
  static gsize quark;

  g_dbus_error_register_error_domain ("bulkhead-guard-error", &quark, entries, G_N_ELEMENTS (entries));
  return (GQuark) quark;
}

int
guard_error_exit_status (const GError *error)
{
  if (!error)
    return GUARD_ERROR_FAILED;
  if (error->domain == GUARD_ERROR)
    return error->code;
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
    return GUARD_ERROR_TIMEOUT;
  if (g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_INVALID_ARGS))
    return GUARD_ERROR_USAGE;
  return GUARD_ERROR_FAILED;
}

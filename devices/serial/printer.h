/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A printer behind a parallel (or serial) port: it cuts what the guest sends into numbered jobs.
 *
 * A job begins with the first byte and ends when the guest has been silent for a while, or for a shorter while after a
 * form feed.  Where the bytes go, and under which name, is the owner's business: the printer only calls. */
#pragma once

#include "chardev.h"
#include "clock.h"

#include <stdbool.h>

typedef struct
{
  /* number counts from 1.  False: the job cannot be kept; its bytes are dropped and end_job is not called. */
  bool (*begin_job) (void *data, uint32_t number);
  /* false: nothing more of this job can be kept (disk full): the rest is dropped, end_job says so. */
  bool (*write)     (void *data, const uint8_t *bytes, size_t n_bytes);
  void (*end_job)   (void *data, uint32_t number, uint64_t n_guest_bytes, bool complete);
} PrinterCallbacks;

typedef struct
{
  uint64_t    idle_ns;                  /* silence that ends a job; 0: five seconds */
  uint64_t    idle_after_form_feed_ns;  /* the same after a form feed; 0: one second */
  const char *banner;                   /* text before the guest's bytes, with a form feed after it; NULL: none */
  const char *trailer;                  /* text after them, with a form feed before it unless the guest sent one */
} PrinterConfig;

/* Guest time of this clock paces the jobs.  The texts are copied.  NULL when memory is short.  Closing it ends the job. */
CharBackend *printer_new (Clock *clock, const PrinterConfig *config, const PrinterCallbacks *callbacks, void *data);

/* Ends the job that is being printed, if any: the machine stops, or is about to be restored to another time. */
void printer_flush (CharBackend *self);

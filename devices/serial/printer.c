/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The printer holds no state that the guest can see, so nothing of it is in a snapshot; an open job ends when one is
 * restored (printer_flush). */
#include "printer.h"

#include <stdlib.h>
#include <string.h>

enum { FORM_FEED = 0x0c };
#define DEFAULT_IDLE_NS            (5 * CLOCK_NS_PER_SECOND)
#define DEFAULT_IDLE_FORM_FEED_NS  (1 * CLOCK_NS_PER_SECOND)

typedef struct
{
  CharBackend      backend;
  Device           device;      /* the timer's owner */
  Clock           *clock;
  Timer           *timer;
  PrinterCallbacks callbacks;
  void            *data;
  uint64_t         idle_ns, idle_after_form_feed_ns;
  char            *banner, *trailer;
  bool             in_job;      /* the owner has been told of it */
  bool             dropping;    /* in a job that the owner cannot keep */
  bool             failed;
  uint8_t          last;
  uint32_t         number;
  uint64_t         n_bytes;
} Printer;

static Printer *
printer_of (Device *device)
{
  return (Printer *) ((uint8_t *) device - offsetof (Printer, device));
}

static void
emit (Printer *self, const void *bytes, size_t n_bytes)
{
  if (n_bytes && !self->failed && !self->callbacks.write (self->data, bytes, n_bytes))
    self->failed = true;
}

static void
begin_job (Printer *self)
{
  self->number++;
  self->n_bytes = 0;
  self->last = 0;
  self->failed = false;
  self->in_job = true;
  self->dropping = !self->callbacks.begin_job (self->data, self->number);
  if (self->dropping || !self->banner)
    return;
  emit (self, self->banner, strlen (self->banner));
  emit (self, "\f", 1);
}

static void
end_job (Printer *self)
{
  timer_disarm (self->timer);
  if (!self->in_job)
    return;
  self->in_job = false;
  if (self->dropping)
    return;
  if (self->trailer)
    {
      if (self->last != FORM_FEED)
        emit (self, "\f", 1);
      emit (self, self->trailer, strlen (self->trailer));
      emit (self, "\f", 1);
    }
  self->callbacks.end_job (self->data, self->number, self->n_bytes, !self->failed);
}

static void
idle_fire (Device *device)
{
  end_job (printer_of (device));
}

static size_t
printer_write (CharBackend *backend, const uint8_t *bytes, size_t n_bytes)
{
  Printer *self = (Printer *) backend;

  if (!n_bytes)
    return 0;
  if (!self->in_job)
    begin_job (self);
  if (!self->dropping)
    emit (self, bytes, n_bytes);
  self->n_bytes += n_bytes;
  self->last = bytes[n_bytes - 1];
  timer_arm (self->timer, clock_now_ns (self->clock)
                          + (self->last == FORM_FEED ? self->idle_after_form_feed_ns : self->idle_ns));
  return n_bytes;
}

static void
printer_close (CharBackend *backend)
{
  Printer *self = (Printer *) backend;

  end_job (self);
  timer_free (self->timer);
  free (self->banner);
  free (self->trailer);
  free (self);
}

static const CharClass printer_class = { printer_write, NULL, printer_close };

CharBackend *
printer_new (Clock *clock, const PrinterConfig *config, const PrinterCallbacks *callbacks, void *data)
{
  Printer *self = calloc (1, sizeof *self);

  if (!self)
    return NULL;
  self->backend.klass = &printer_class;
  self->clock = clock;
  self->callbacks = *callbacks;
  self->data = data;
  self->idle_ns = config->idle_ns ? config->idle_ns : DEFAULT_IDLE_NS;
  self->idle_after_form_feed_ns = config->idle_after_form_feed_ns ? config->idle_after_form_feed_ns
                                                                  : DEFAULT_IDLE_FORM_FEED_NS;
  self->banner = config->banner ? strdup (config->banner) : NULL;
  self->trailer = config->trailer ? strdup (config->trailer) : NULL;
  self->timer = clock_add_timer (clock, &self->device, idle_fire);
  if (!self->timer || (config->banner && !self->banner) || (config->trailer && !self->trailer))
    {
      timer_free (self->timer);
      free (self->banner);
      free (self->trailer);
      free (self);
      return NULL;
    }
  return &self->backend;
}

void
printer_flush (CharBackend *backend)
{
  end_job ((Printer *) backend);
}

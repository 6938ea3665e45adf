/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Requests go to the far end as they come, answers find their chain by their tag.  A request that cannot be answered gets
 * an Rlerror of this device, so that no guest waits for ever: the far end is gone, or the machine was restored from a saved
 * state and the session with the far end is not there any more. */
#include "virtio-9p.h"

#include "clock.h"
#include "virtio-pci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FEATURE_MOUNT_TAG = 1, MAX_TAG = 32, HEADER = 7, RLERROR = 7, N_PENDING = VIRTIO_QUEUE_SIZE };

typedef struct
{
  uint8_t  used, reserved;
  uint16_t tag, head;
} Pending;

struct Virtio9p
{
  Device   parent;
  Virtio   virtio[1];
  Pending  pending[N_PENDING];
  MessageBackend *far_end;
  Clock   *clock;
  Timer   *restored;            /* fires once the guest's memory is back */
  VirtioElement elements[N_PENDING];    /* of the pending requests */
  uint8_t  message[MESSAGE_MAX_BYTES];
  bool     stalled;                     /* the message in `message`, of `n_message` bytes, waits for room */
  size_t   n_message;
};

static void
answer (Virtio9p *self, Pending *pending, const uint8_t *bytes, size_t n_bytes)
{
  VirtioElement *element = &self->elements[pending - self->pending];

  pending->used = 0;
  n_bytes = virtio_write_in (self->virtio, element, bytes, n_bytes);
  virtio_push (self->virtio, 0, pending->head, (uint32_t) n_bytes);
}

static void
answer_error (Virtio9p *self, Pending *pending, uint32_t error)
{
  uint8_t bytes[HEADER + 4] = { HEADER + 4, 0, 0, 0, RLERROR, (uint8_t) pending->tag, (uint8_t) (pending->tag >> 8) };

  memcpy (bytes + HEADER, &error, 4);
  answer (self, pending, bytes, sizeof bytes);
}

static void
lose_far_end (Virtio9p *self)
{
  if (self->far_end)
    self->far_end->close (self->far_end);
  self->far_end = NULL;
  self->stalled = false;
  for (unsigned i = 0; i < N_PENDING; i++)
    if (self->pending[i].used)
      answer_error (self, &self->pending[i], EIO);
}

/* False: there is no room now. */
static bool
pass_on (Virtio9p *self)
{
  int result = self->far_end ? self->far_end->send (self->far_end, self->message, self->n_message) : -EPIPE;

  self->stalled = result == -EAGAIN;
  if (result == -EPIPE)
    lose_far_end (self);
  return !self->stalled;
}

static void
take_requests (Virtio9p *self)
{
  for (unsigned n = 0; !self->stalled && n < N_PENDING; n++)
    {
      Pending *pending = self->pending;
      VirtioElement *element;
      uint32_t size;

      while (pending < self->pending + N_PENDING && pending->used)
        pending++;
      if (pending == self->pending + N_PENDING)
        return;
      element = &self->elements[pending - self->pending];
      if (!virtio_pop (self->virtio, 0, element))
        return;
      self->n_message = virtio_read_out (self->virtio, element, 0, self->message, sizeof self->message);
      pending->head = element->head;
      pending->used = 1;
      memcpy (&pending->tag, self->message + 5, 2);
      memcpy (&size, self->message, 4);
      /* The size that the message gives itself is what the far end goes by. */
      if (self->n_message < HEADER || size < HEADER || size > self->n_message)
        {
          pending->tag = self->n_message < HEADER ? 0xffff : pending->tag;
          answer_error (self, pending, EINVAL);
          continue;
        }
      self->n_message = size;
      pass_on (self);
    }
}

static void
notify (Device *device, unsigned queue)
{
  take_requests ((Virtio9p *) device);
}

static void
forget (Device *device)
{
  Virtio9p *self = (Virtio9p *) device;

  /* Answers to what was asked before the reset find no request any more. */
  memset (self->pending, 0, sizeof self->pending);
  self->stalled = false;
  timer_disarm (self->restored);
}

static void
received (Device *device, const uint8_t *bytes, size_t n_bytes)
{
  Virtio9p *self = (Virtio9p *) device;
  uint16_t tag;

  if (n_bytes == 0)
    {
      lose_far_end (self);
      return;
    }
  if (n_bytes < HEADER)
    return;
  memcpy (&tag, bytes + 5, 2);
  for (unsigned i = 0; i < N_PENDING; i++)
    if (self->pending[i].used && self->pending[i].tag == tag)
      {
        answer (self, &self->pending[i], bytes, n_bytes);
        break;
      }
  if (self->stalled && !pass_on (self))
    return;
  take_requests (self);
}

static const VirtioClass virtio_9p_virtio = {
  .name = "virtio-9p", .subsystem = 9, .device_id = 0x1009, .class_code = 0x018000, .n_queues = 1, .features = FEATURE_MOUNT_TAG,
  .n_config = 2 + MAX_TAG, .notify = notify, .restart = forget,
};

static void
virtio_9p_reset (Device *device)
{
  virtio_reset (((Virtio9p *) device)->virtio);
}

static void
virtio_9p_finish (Device *device)
{
  Virtio9p *self = (Virtio9p *) device;

  if (self->far_end)
    self->far_end->close (self->far_end);
  timer_free (self->restored);
  free (self);
}

static const StateField pending_fields[] = {
  STATE_FIELD (Pending, used, STATE_UINT, 1),
  STATE_FIELD (Pending, tag, STATE_UINT, 1),
  STATE_FIELD (Pending, head, STATE_UINT, 1),
  STATE_END,
};
static const StateTable pending_state = { "9p-request", 1, pending_fields, NULL };

static const StateField virtio_9p_fields[] = {
  STATE_NESTED (Virtio9p, virtio, &virtio_state, 1),
  STATE_NESTED (Virtio9p, pending, &pending_state, 1),
  STATE_END,
};

/* What was under way when the state was saved has no answer any more. The guest's memory comes after its devices. */
static void
answer_orphans (Device *device)
{
  Virtio9p *self = (Virtio9p *) device;

  for (unsigned i = 0; i < N_PENDING; i++)
    if (self->pending[i].used)
      {
        if (virtio_read_again (self->virtio, 0, self->pending[i].head, &self->elements[i]))
          answer_error (self, &self->pending[i], EIO);
        self->pending[i].used = 0;
      }
}

static int
virtio_9p_check (Device *device)
{
  Virtio9p *self = (Virtio9p *) device;
  int result;

  for (unsigned i = 0; i < N_PENDING; i++)
    if (self->pending[i].used > 1 || self->pending[i].head >= VIRTIO_QUEUE_SIZE)
      return -EBADMSG;
  self->stalled = false;
  result = virtio_restored (self->virtio);
  for (unsigned i = 0; i < N_PENDING; i++)
    {
      self->elements[i].n_out = self->elements[i].n_in = 0;
      if (self->pending[i].used)
        timer_arm (self->restored, clock_now_ns (self->clock) + 1);
    }
  return result;
}

static const StateTable virtio_9p_state = { "virtio-9p", 1, virtio_9p_fields, virtio_9p_check };
static const DeviceClass virtio_9p_class = { "virtio-9p", sizeof (Virtio9p), &virtio_9p_state, virtio_9p_reset, virtio_9p_finish };

int
virtio_9p_new (const DeviceHost *host, PciBus *bus, uint8_t devfn, const char *tag, MessageBackend *far_end, Virtio9p **ret)
{
  size_t n = strlen (tag);
  Virtio9p *self;
  int result;

  if (n < 1 || n > MAX_TAG)
    return -EINVAL;
  self = calloc (1, sizeof *self);
  if (!self)
    return -ENOMEM;
  self->parent.klass = &virtio_9p_class;
  self->clock = host->clock;
  self->restored = clock_add_timer (host->clock, &self->parent, answer_orphans);
  if (!self->restored)
    {
      free (self);
      return -ENOMEM;
    }
  self->virtio->config[0] = (uint8_t) n;
  memcpy (self->virtio->config + 2, tag, n);
  result = virtio_setup (self->virtio, &virtio_9p_virtio, &self->parent, host, bus, devfn);
  if (result < 0)
    {
      timer_free (self->restored);
      free (self);
      return result;
    }
  self->far_end = far_end;
  if (far_end)
    {
      far_end->device = &self->parent;
      far_end->receive = received;
    }
  *ret = self;
  return 0;
}

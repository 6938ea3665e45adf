/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Ready-made far ends, and the sound ring. */
#include "char-fd.h"
#include "char-null.h"
#include "sound-ring.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

typedef struct
{
  Device  parent;
  GString *got;
  size_t   room;
} Receiver;

static size_t
receive (Device *device, const uint8_t *bytes, size_t n_bytes)
{
  Receiver *self = (Receiver *) device;
  size_t    n = MIN (n_bytes, self->room);

  g_string_append_len (self->got, (const char *) bytes, (gssize) n);
  self->room -= n;
  return n;
}

static void
count (void *data)
{
  ++*(unsigned *) data;
}

static void
test_null (void)
{
  CharBackend *backend = char_null_new ();

  g_assert_cmpuint (backend->klass->write (backend, (const uint8_t *) "abc", 3), ==, 3);
  backend->klass->close (backend);
}

static void
test_fd_write (void)
{
  CharBackend *backend;
  char         text[8];
  uint8_t      block[4096] = { 0 };
  int          fds[2];
  size_t       total = 0, n;

  g_assert_cmpint (pipe2 (fds, O_NONBLOCK), ==, 0);
  backend = char_fd_new (fds[1], true, NULL, NULL);
  g_assert_cmpuint (backend->klass->write (backend, (const uint8_t *) "abc", 3), ==, 3);
  g_assert_cmpint (read (fds[0], text, sizeof text), ==, 3);
  g_assert_cmpint (memcmp (text, "abc", 3), ==, 0);
  /* A full pipe takes nothing, and has no error. */
  while ((n = backend->klass->write (backend, block, sizeof block)) > 0)
    total += n;
  g_assert_cmpuint (total, >=, 4096);
  g_assert_cmpint (char_fd_error (backend), ==, 0);
  /* One whose reader is gone swallows. */
  close (fds[0]);
  g_assert_cmpuint (backend->klass->write (backend, block, 10), ==, 10);
  g_assert_cmpint (char_fd_error (backend), ==, EPIPE);
  g_assert_cmpuint (backend->klass->write (backend, block, 10), ==, 10);
  backend->klass->close (backend);
  g_assert_cmpint (fcntl (fds[1], F_GETFD), ==, -1);
}

static void
test_fd_receive (void)
{
  Receiver     receiver = { .got = g_string_new (NULL), .room = 4 };
  CharBackend *backend;
  unsigned     n_ready = 0;
  int          fds[2];

  g_assert_cmpint (pipe2 (fds, O_NONBLOCK), ==, 0);
  backend = char_fd_new (fds[0], true, count, &n_ready);
  backend->receive = receive;
  backend->device = &receiver.parent;
  g_assert_cmpuint (char_fd_room (backend), ==, 1);
  g_assert_cmpint (char_fd_receive (backend), ==, -EAGAIN);
  g_assert_cmpint (write (fds[1], "0123456789", 10), ==, 10);
  backend->klass->ready (backend, 16);
  g_assert_cmpuint (char_fd_room (backend), ==, 16);
  g_assert_cmpint (char_fd_receive (backend), ==, 10);
  g_assert_cmpstr (receiver.got->str, ==, "0123");
  /* What the device refused is kept, and nothing more is read. */
  g_assert_cmpuint (char_fd_room (backend), ==, 0);
  g_assert_cmpint (char_fd_receive (backend), ==, -EAGAIN);
  receiver.room = 3;
  backend->klass->ready (backend, 3);
  g_assert_cmpstr (receiver.got->str, ==, "0123456");
  g_assert_cmpuint (n_ready, ==, 0);
  receiver.room = 30;
  backend->klass->ready (backend, 30);
  g_assert_cmpstr (receiver.got->str, ==, "0123456789");
  g_assert_cmpuint (n_ready, ==, 1);
  close (fds[1]);
  g_assert_cmpint (char_fd_receive (backend), ==, 0);
  backend->klass->close (backend);
  g_string_free (receiver.got, TRUE);
}

static void
test_fd_feed (void)
{
  Receiver     receiver = { .got = g_string_new (NULL), .room = 2 };
  CharBackend *backend = char_fd_new (-1, false, NULL, NULL);

  g_assert_cmpuint (char_fd_feed (backend, (const uint8_t *) "abc", 3), ==, 0);
  backend->receive = receive;
  backend->device = &receiver.parent;
  g_assert_cmpuint (char_fd_feed (backend, (const uint8_t *) "abc", 3), ==, 2);
  g_assert_cmpuint (char_fd_room (backend), ==, 0);
  backend->klass->ready (backend, 9);
  receiver.room = 9;
  g_assert_cmpuint (char_fd_feed (backend, (const uint8_t *) "c", 1), ==, 1);
  g_assert_cmpstr (receiver.got->str, ==, "abc");
  backend->klass->close (backend);
  g_string_free (receiver.got, TRUE);
}

/* --- Sound ring ----------------------------------------------------------------------------------------------- */

static const int16_t *
ring_frame (const uint8_t *mapping, uint64_t frame)
{
  return (const int16_t *) (const void *) (mapping + SOUND_RING_OFFSET) + frame % SOUND_RING_FRAMES * 2;
}

static void
write_constant (SoundSink *sink, int16_t value, unsigned n_frames)
{
  int16_t frames[2 * 480];

  while (n_frames)
    {
      unsigned n = MIN (n_frames, 480u);

      for (unsigned i = 0; i < n; i++)
        {
          frames[2 * i] = value;
          frames[2 * i + 1] = (int16_t) -value;
        }
      sink->write (sink, frames, n);
      n_frames -= n;
    }
}

static void
test_ring (void)
{
  g_autofree uint8_t    *mapping = g_malloc0 (SOUND_RING_BYTES);
  const SoundRingHeader *header = (const SoundRingHeader *) (const void *) mapping;
  SoundRing             *ring;
  SoundSink             *sink;

  g_assert_null (sound_ring_new (mapping, SOUND_RING_BYTES - 1));
  ring = sound_ring_new (mapping, SOUND_RING_BYTES);
  sink = sound_ring_add_sink (ring);
  g_assert_cmphex (header->magic, ==, SOUND_RING_MAGIC);
  g_assert_cmpuint (header->rate, ==, SOUND_RATE);
  write_constant (sink, 1000, 100);
  g_assert_cmpuint (header->written, ==, 100);
  g_assert_cmpint (ring_frame (mapping, 99)[0], ==, 1000);
  g_assert_cmpint (ring_frame (mapping, 99)[1], ==, -1000);
  g_assert_cmpint (ring_frame (mapping, 100)[0], ==, 0);
  /* Round and round. */
  write_constant (sink, 2000, 3 * SOUND_RING_FRAMES);
  g_assert_cmpuint (sound_ring_written (ring), ==, 100 + 3 * SOUND_RING_FRAMES);
  g_assert_cmpint (ring_frame (mapping, 50)[0], ==, 2000);
  sink->close (sink);
  sound_ring_free (ring);
}

static void
test_ring_mixes (void)
{
  g_autofree uint8_t *mapping = g_malloc0 (SOUND_RING_BYTES);
  SoundRing          *ring = sound_ring_new (mapping, SOUND_RING_BYTES);
  SoundSink          *a = sound_ring_add_sink (ring), *b = sound_ring_add_sink (ring);

  write_constant (a, 1000, 480);
  write_constant (b, 30000, 480);
  g_assert_cmpuint (sound_ring_written (ring), ==, 480);
  g_assert_cmpint (ring_frame (mapping, 10)[0], ==, 31000);
  write_constant (b, 30000, 480);
  write_constant (a, 5000, 480);
  g_assert_cmpuint (sound_ring_written (ring), ==, 960);
  g_assert_cmpint (ring_frame (mapping, 500)[0], ==, 32767);
  g_assert_cmpint (ring_frame (mapping, 500)[1], ==, -32768);
  /* One that was silent joins at the end. */
  write_constant (a, 100, 10000);
  write_constant (b, 7, 10);
  g_assert_cmpint (ring_frame (mapping, 960 + 10000)[0], ==, 7);
  g_assert_cmpuint (sound_ring_written (ring), ==, 960 + 10010);
  /* In any order. */
  sound_ring_free (ring);
  a->close (a);
  write_constant (b, 7, 10);
  b->close (b);
}

static void
test_ring_trusts_nothing (void)
{
  g_autofree uint8_t *mapping = g_malloc0 (SOUND_RING_BYTES);
  SoundRing          *ring = sound_ring_new (mapping, SOUND_RING_BYTES);
  SoundSink          *sink = sound_ring_add_sink (ring);

  write_constant (sink, 1, 10);
  memset (mapping, 0xff, sizeof (SoundRingHeader));
  write_constant (sink, 1, 10);
  g_assert_cmpuint (((SoundRingHeader *) (void *) mapping)->written, ==, 20);
  sink->close (sink);
  sound_ring_free (ring);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  signal (SIGPIPE, SIG_IGN);
  g_test_add_func ("/char-null/takes-everything", test_null);
  g_test_add_func ("/char-fd/write", test_fd_write);
  g_test_add_func ("/char-fd/receive", test_fd_receive);
  g_test_add_func ("/char-fd/feed", test_fd_feed);
  g_test_add_func ("/sound-ring/wraps", test_ring);
  g_test_add_func ("/sound-ring/mixes", test_ring_mixes);
  g_test_add_func ("/sound-ring/trusts-nothing", test_ring_trusts_nothing);
  return g_test_run ();
}

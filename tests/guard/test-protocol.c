/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every message of the table in every wrong way, on a real socket. */
#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const Phase phases[] = { PHASE_SETUP, PHASE_RUNNING, PHASE_PAUSED };

/* The payload with the fewest demands that check_contents accepts. */
static Message
sound (unsigned type)
{
  Message frame;

  memset (&frame, 0, sizeof frame);
  frame.header.type = (uint16_t) type;
  frame.header.n_bytes = (uint16_t) protocol_message_bytes (type);
  switch (type)
    {
    case MESSAGE_CONFIGURE:
      frame.configure.version = PROTOCOL_VERSION;
      frame.configure.memory_mib = 32;
      break;
    case MESSAGE_READY:
      frame.ready.version = PROTOCOL_VERSION;
      break;
    case MESSAGE_DRIVE_KEY:
      frame.drive_key.n_key = 64;
      break;
    case MESSAGE_FOLDER:
      memcpy (frame.folder.tag, "shared", 6);
      break;
    case MESSAGE_SCREEN_ROW:
      frame.screen_row.n_rows = 1;
      break;
    case MESSAGE_STATUS_INFO:
      frame.status.phase = PHASE_RUNNING;
      break;
    case MESSAGE_INSERT:
    case MESSAGE_EJECT:
      frame.drive.kind = DRIVE_FLOPPY;
      break;
    default:
      break;
    }
  return frame;
}

static Phase
own_phase (unsigned type, Sender sender)
{
  Message frame = sound (type);

  for (guint i = 0; i < G_N_ELEMENTS (phases); i++)
    if (protocol_check (phases[i], sender, &frame, sizeof (MessageHeader) + frame.header.n_bytes, protocol_message_fds (type), NULL) == 0)
      return phases[i];
  return (Phase) 0;
}

static Sender
own_sender (unsigned type)
{
  return own_phase (type, SENDER_GUARD) ? SENDER_GUARD : SENDER_MONITOR;
}

static void
test_every_message_has_a_way (void)
{
  for (unsigned type = 0; type < N_MESSAGES; type++)
    {
      Sender sender = own_sender (type);
      Phase phase = own_phase (type, sender);
      Message frame = sound (type);
      size_t n = sizeof (MessageHeader) + frame.header.n_bytes, n_fds = protocol_message_fds (type);

      if (!phase)
        g_error ("%s is never accepted", protocol_message_name (type));
      g_assert_cmpint (protocol_check (phase, sender == SENDER_GUARD ? SENDER_MONITOR : SENDER_GUARD, &frame, n, n_fds, NULL), ==, -EBADMSG);
      g_assert_cmpint (protocol_check (phase, sender, &frame, n, n_fds + 1, NULL), ==, -EBADMSG);
      g_assert_cmpint (protocol_check (phase, sender, &frame, n + 1, n_fds, NULL), ==, -EBADMSG);
      for (size_t k = 0; k < n; k++)
        g_assert_cmpint (protocol_check (phase, sender, &frame, k, n_fds, NULL), ==, -EBADMSG);
      if (n_fds)
        g_assert_cmpint (protocol_check (phase, sender, &frame, n, n_fds - 1, NULL), ==, -EBADMSG);
      frame.header.n_bytes++;
      g_assert_cmpint (protocol_check (phase, sender, &frame, n, n_fds, NULL), ==, -EBADMSG);
      frame.header.n_bytes--;
      frame.header.type = (uint16_t) (N_MESSAGES + type);
      g_assert_cmpint (protocol_check (phase, sender, &frame, n, n_fds, NULL), ==, -EBADMSG);
    }
  g_assert_cmpstr (protocol_message_name (N_MESSAGES), ==, "?");
  g_assert_cmpuint (protocol_message_bytes (N_MESSAGES), ==, 0);
}

static int
check (const Message *frame)
{
  Sender sender = own_sender (frame->header.type);

  return protocol_check (own_phase (frame->header.type, sender), sender, frame, sizeof (MessageHeader) + frame->header.n_bytes,
                         protocol_message_fds (frame->header.type), NULL);
}

static void
test_contents (void)
{
  Message f;

#define REFUSED(message, change) \
  do { f = sound (message); g_assert_cmpint (check (&f), ==, 0); change; g_assert_cmpint (check (&f), ==, -EBADMSG); } while (0)
  REFUSED (MESSAGE_CONFIGURE, f.configure.version++);
  REFUSED (MESSAGE_CONFIGURE, f.configure.memory_mib = 0);
  REFUSED (MESSAGE_CONFIGURE, f.configure.memory_mib = PROTOCOL_MAX_MEMORY + 1);
  REFUSED (MESSAGE_CONFIGURE, f.configure.model = N_MODELS);
  REFUSED (MESSAGE_CONFIGURE, f.configure.engine = N_ENGINE_CHOICES);
  REFUSED (MESSAGE_CONFIGURE, f.configure.rtc = N_RTCS);
  REFUSED (MESSAGE_CONFIGURE, f.configure.reserved = 1);
  REFUSED (MESSAGE_CONFIGURE, f.configure.flags = ~0u);
  REFUSED (MESSAGE_CONFIGURE, f.configure.boot[0] = N_BOOTS);
  REFUSED (MESSAGE_CONFIGURE, f.configure.boot[2] = BOOT_DISK);        /* behind the end */
  REFUSED (MESSAGE_CONFIGURE, f.configure.utc_offset_s = INT32_MIN);
  REFUSED (MESSAGE_DRIVE, f.drive.kind = N_DRIVES);
  REFUSED (MESSAGE_DRIVE, f.drive.slot = 4);
  REFUSED (MESSAGE_DRIVE, f.drive.format = N_FORMATS);
  REFUSED (MESSAGE_DRIVE, f.drive.flags = 0x80);
  REFUSED (MESSAGE_DRIVE, f.drive.depth = 1);                           /* a writable backing file */
  REFUSED (MESSAGE_DRIVE, (f.drive.flags = DRIVE_READ_ONLY, f.drive.depth = PROTOCOL_MAX_DEPTH + 1));
  REFUSED (MESSAGE_INSERT, f.drive.slot = 2);
  REFUSED (MESSAGE_INSERT, f.drive.kind = DRIVE_DISK);
  REFUSED (MESSAGE_DRIVE_KEY, f.drive_key.n_key = 0);
  REFUSED (MESSAGE_DRIVE_KEY, f.drive_key.n_key = 65);
  REFUSED (MESSAGE_SERIAL, f.port.index = 2);
  REFUSED (MESSAGE_SERIAL, f.port.kind = PORT_PRINTER);
  REFUSED (MESSAGE_PARALLEL, f.port.index = 1);
  REFUSED (MESSAGE_PARALLEL, f.port.kind = PORT_SOCKET);
  REFUSED (MESSAGE_NETWORK, f.network.mac[0] = 1);                      /* a group address */
  REFUSED (MESSAGE_TYPE, memset (f.text.text, 'x', sizeof f.text.text));
  REFUSED (MESSAGE_TYPE, f.text.text[5] = 'x');                         /* something behind the end */
  REFUSED (MESSAGE_DONE, f.done.error = 1);
  REFUSED (MESSAGE_DONE, f.done.error = INT32_MIN);
  REFUSED (MESSAGE_DONE, memset (f.done.text, 'x', sizeof f.done.text));
  REFUSED (MESSAGE_SCREEN_ROW, f.screen_row.row = 1);
  REFUSED (MESSAGE_SCREEN_ROW, f.screen_row.n_rows = PROTOCOL_SCREEN_ROWS + 1);
  REFUSED (MESSAGE_STATUS_INFO, f.status.phase = 3);
  REFUSED (MESSAGE_STATUS_INFO, f.status.width = 65536);
  REFUSED (MESSAGE_STATISTICS_INFO, f.statistics.n_reasons = PROTOCOL_REASONS + 1);
  REFUSED (MESSAGE_STATISTICS_INFO, memset (f.statistics.reasons[31].code, 'x', 8));
  REFUSED (MESSAGE_STOPPED, f.stopped.reason = N_STOPPED);
  REFUSED (MESSAGE_READY, f.ready.version = 0);
  REFUSED (MESSAGE_RUN, f.none.unused = 1);
#undef REFUSED
}

static void
test_frames_and_descriptors_travel (void)
{
  int sockets[2], fds[PROTOCOL_MAX_FDS], sent[2];
  Message frame;
  size_t n_fds;
  MsgDrive drive = { .kind = DRIVE_FLOPPY, .slot = 1 };

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), ==, 0);
  sent[0] = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  sent[1] = open ("/dev/zero", O_RDONLY | O_CLOEXEC);
  g_assert_cmpint (protocol_send (sockets[0], MESSAGE_DRIVE, 77, &drive, sent), ==, 0);
  g_assert_cmpint (protocol_receive (sockets[1], &frame, fds, &n_fds), ==, sizeof (MessageHeader) + sizeof drive);
  g_assert_cmpuint (n_fds, ==, 1);
  g_assert_cmpuint (frame.header.sequence, ==, 77);
  g_assert_cmpuint (frame.drive.slot, ==, 1);
  g_assert_cmpint (fcntl (fds[0], F_GETFD), ==, FD_CLOEXEC);
  g_assert_cmpint (protocol_check (PHASE_SETUP, SENDER_GUARD, &frame, sizeof (MessageHeader) + sizeof drive, n_fds, NULL), ==, 0);
  close (fds[0]);
  g_assert_cmpint (protocol_send (sockets[0], MESSAGE_DISPLAY, 1, NULL, sent), ==, 0);
  g_assert_cmpint (protocol_receive (sockets[1], &frame, fds, &n_fds), >, 0);
  g_assert_cmpuint (n_fds, ==, 2);
  close (fds[0]);
  close (fds[1]);
  g_assert_cmpint (protocol_send (sockets[0], N_MESSAGES, 1, NULL, NULL), ==, -EINVAL);
  close (sockets[0]);
  g_assert_cmpint (protocol_receive (sockets[1], &frame, fds, &n_fds), ==, 0);
  close (sockets[1]);
  close (sent[0]);
  close (sent[1]);
}

static guint
n_open (void)
{
  guint n = 0;

  for (int fd = 0; fd < 256; fd++)
    n += fcntl (fd, F_GETFD) >= 0;
  return n;
}

/* More bytes or descriptors than any message has: refused, and nothing stays open. */
static void
test_too_much_is_refused (void)
{
  union { struct cmsghdr align; char bytes[CMSG_SPACE (sizeof (int) * 16)]; } control;
  char big[4096] = { 0 };
  struct iovec part = { big, sizeof (MessageHeader) };
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
  int sockets[2], fds[PROTOCOL_MAX_FDS], many[16];
  Message frame;
  size_t n_fds;
  guint before;

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), ==, 0);
  before = n_open ();
  g_assert_cmpint (send (sockets[0], big, sizeof big, 0), ==, sizeof big);
  g_assert_cmpint (protocol_receive (sockets[1], &frame, fds, &n_fds), ==, -EMSGSIZE);
  memset (&control, 0, sizeof control);
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  CMSG_FIRSTHDR (&message)->cmsg_level = SOL_SOCKET;
  CMSG_FIRSTHDR (&message)->cmsg_type = SCM_RIGHTS;
  CMSG_FIRSTHDR (&message)->cmsg_len = CMSG_LEN (sizeof many);
  for (int i = 0; i < 16; i++)
    many[i] = 0;
  memcpy (CMSG_DATA (CMSG_FIRSTHDR (&message)), many, sizeof many);
  g_assert_cmpint (sendmsg (sockets[0], &message, 0), >, 0);
  g_assert_cmpint (protocol_receive (sockets[1], &frame, fds, &n_fds), ==, -EMSGSIZE);
  g_assert_cmpuint (n_fds, ==, 0);
  g_assert_cmpuint (n_open (), ==, before);
  close (sockets[0]);
  close (sockets[1]);
}

static void
test_random_frames (void)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (20261123);
  guint accepted = 0;

  for (int round = 0; round < 300000; round++)
    {
      unsigned type = (unsigned) g_rand_int_range (random, 0, N_MESSAGES + 2);
      Message frame = sound (type);
      size_t n = sizeof (MessageHeader) + protocol_message_bytes (type);

      for (int k = g_rand_int_range (random, 0, 4); k > 0; k--)
        frame.bytes[g_rand_int_range (random, 0, (gint32) MAX (n, sizeof (MessageHeader)))] = (uint8_t) g_rand_int (random);
      accepted += protocol_check (phases[round % 3], round & 1 ? SENDER_GUARD : SENDER_MONITOR, &frame, n, protocol_message_fds (type), NULL) == 0;
    }
  g_assert_cmpuint (accepted, >, 1000);
}

static void
test_input_messages (void)
{
  InputMessage good[] = {
    { .type = INPUT_KEY, .code = 30, .value_x = 1 }, { .type = INPUT_MOUSE_RELATIVE, .value_x = -32768, .value_y = 32767 },
    { .type = INPUT_MOUSE_ABSOLUTE, .value_x = 65535 }, { .type = INPUT_RELEASE_ALL },
  };
  InputMessage bad[] = {
    { .type = 0 }, { .type = 5 }, { .type = INPUT_KEY, .code = 768 }, { .type = INPUT_KEY, .value_x = 2 },
    { .type = INPUT_MOUSE_RELATIVE, .value_x = 32768 }, { .type = INPUT_MOUSE_ABSOLUTE, .value_x = -1 },
    { .type = INPUT_MOUSE_ABSOLUTE, .value_y = 65536 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_assert_true (input_message_check (&good[i], sizeof good[i]));
      g_assert_false (input_message_check (&good[i], sizeof good[i] - 1));
      g_assert_false (input_message_check (&good[i], sizeof good[i] + 1));
    }
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_false (input_message_check (&bad[i], sizeof bad[i]));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/protocol/every-message-has-a-way", test_every_message_has_a_way);
  g_test_add_func ("/protocol/contents", test_contents);
  g_test_add_func ("/protocol/frames-and-descriptors-travel", test_frames_and_descriptors_travel);
  g_test_add_func ("/protocol/too-much-is-refused", test_too_much_is_refused);
  g_test_add_func ("/protocol/random-frames", test_random_frames);
  g_test_add_func ("/protocol/input-messages", test_input_messages);
  return g_test_run ();
}

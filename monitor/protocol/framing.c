/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocol.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

typedef struct
{
  const char *name;
  uint8_t     sender;
  uint8_t     phases;
  uint8_t     n_fds;
  uint16_t    n_bytes;
} MessageRow;

#define S PHASE_SETUP
#define R PHASE_RUNNING
#define P PHASE_PAUSED
static const MessageRow rows[N_MESSAGES] = {
#define MESSAGE(name, sender, phases, payload, fds) { #name, SENDER_##sender, phases, fds, sizeof (payload) },
#include "protocol.def"
#undef MESSAGE
};
#undef S
#undef R
#undef P

const char *
protocol_message_name (unsigned type)
{
  return type < N_MESSAGES ? rows[type].name : "?";
}

size_t
protocol_message_bytes (unsigned type)
{
  return type < N_MESSAGES ? rows[type].n_bytes : 0;
}

unsigned
protocol_message_fds (unsigned type)
{
  return type < N_MESSAGES ? rows[type].n_fds : 0;
}

/* A text ends within its field and nothing hides behind its end. */
static bool
text_is_sound (const char *text, size_t n_bytes)
{
  size_t length = strnlen (text, n_bytes);

  if (length == n_bytes)
    return false;
  for (size_t i = length; i < n_bytes; i++)
    if (text[i])
      return false;
  return true;
}

static const char *
check_configure (const MsgConfigure *configure)
{
  bool ended = false;

  if (configure->version != PROTOCOL_VERSION)
    return "another version of the protocol";
  if (configure->memory_mib < PROTOCOL_MIN_MEMORY || configure->memory_mib > PROTOCOL_MAX_MEMORY)
    return "memory size";
  if (configure->model >= N_MODELS || configure->engine >= N_ENGINE_CHOICES || configure->rtc >= N_RTCS)
    return "processor, engine or clock";
  if (configure->reserved || configure->flags & ~(uint32_t) MACHINE_FLAGS_ALL)
    return "reserved bits";
  if (configure->utc_offset_s < -86400 || configure->utc_offset_s > 86400)
    return "offset from UTC";
  for (size_t i = 0; i < sizeof configure->boot; i++)
    {
      if (configure->boot[i] >= N_BOOTS || (ended && configure->boot[i] != BOOT_NONE))
        return "boot order";
      ended = configure->boot[i] == BOOT_NONE;
    }
  return NULL;
}

static const char *
check_drive (const MsgDrive *drive)
{
  if (drive->kind >= N_DRIVES || drive->format >= N_FORMATS || drive->flags & ~DRIVE_FLAGS_ALL)
    return "kind, format or flags of a drive";
  if (drive->slot >= (drive->kind == DRIVE_FLOPPY ? 2 : 4))
    return "slot of a drive";
  if (drive->depth > PROTOCOL_MAX_DEPTH || (drive->depth && (drive->kind != DRIVE_DISK || !(drive->flags & DRIVE_READ_ONLY))))
    return "depth of a backing file";
  return NULL;
}

static const char *
check_contents (const Message *frame)
{
  switch ((MessageType) frame->header.type)
    {
    case MESSAGE_CONFIGURE:
      return check_configure (&frame->configure);
    case MESSAGE_DRIVE:
    case MESSAGE_RELEASE_DRIVE:
    case MESSAGE_INSERT:
    case MESSAGE_EJECT:
      if (check_drive (&frame->drive))
        return check_drive (&frame->drive);
      if ((frame->header.type == MESSAGE_INSERT || frame->header.type == MESSAGE_EJECT) && frame->drive.kind == DRIVE_DISK)
        return "a disk cannot be changed";
      return NULL;
    case MESSAGE_DRIVE_KEY:
      if (frame->drive_key.kind >= N_DRIVES || frame->drive_key.slot >= 4 || frame->drive_key.reserved)
        return "drive of a key";
      return frame->drive_key.n_key < 1 || frame->drive_key.n_key > sizeof frame->drive_key.key ? "length of a key" : NULL;
    case MESSAGE_SERIAL:
      return frame->port.index > 1 || frame->port.kind >= N_PORTS || frame->port.kind == PORT_PRINTER || frame->port.reserved
             ? "serial port" : NULL;
    case MESSAGE_PARALLEL:
      return frame->port.index || frame->port.kind >= N_PORTS || frame->port.kind == PORT_SOCKET || frame->port.reserved
             ? "parallel port" : NULL;
    case MESSAGE_NETWORK:
      return frame->network.reserved || frame->network.mac[0] & 1 ? "network address" : NULL;
    case MESSAGE_FOLDER:
      if (frame->folder.index >= PROTOCOL_FOLDERS || frame->folder.reserved[0] || frame->folder.reserved[1] || frame->folder.reserved[2])
        return "number of a folder";
      return !*frame->folder.tag || strnlen (frame->folder.tag, sizeof frame->folder.tag) > 32
             || !text_is_sound (frame->folder.tag, sizeof frame->folder.tag) ? "tag of a folder" : NULL;
    case MESSAGE_APPEND:
    case MESSAGE_KEYS:
    case MESSAGE_TYPE:
    case MESSAGE_WARNING:
      return text_is_sound (frame->text.text, sizeof frame->text.text) ? NULL : "text without end";
    case MESSAGE_READY:
      return frame->ready.version == PROTOCOL_VERSION ? NULL : "another version of the protocol";
    case MESSAGE_DONE:
      if (frame->done.error > 0 || frame->done.error < -4095)
        return "error number";
      return text_is_sound (frame->done.text, sizeof frame->done.text) ? NULL : "text without end";
    case MESSAGE_SCREEN_ROW:
      if (frame->screen_row.n_rows > PROTOCOL_SCREEN_ROWS || frame->screen_row.row >= frame->screen_row.n_rows)
        return "row of the screen";
      return text_is_sound (frame->screen_row.text, sizeof frame->screen_row.text) ? NULL : "text without end";
    case MESSAGE_STATUS_INFO:
      if (frame->status.phase != PHASE_SETUP && frame->status.phase != PHASE_RUNNING && frame->status.phase != PHASE_PAUSED)
        return "phase";
      return frame->status.engine >= N_ENGINE_CHOICES || frame->status.display_mode > 2 || frame->status.reserved
             || frame->status.width > 65535 || frame->status.height > 65535 ? "status" : NULL;
    case MESSAGE_STATISTICS_INFO:
      if (frame->statistics.n_reasons > PROTOCOL_REASONS || frame->statistics.estimated > 1)
        return "statistics";
      for (size_t i = 0; i < PROTOCOL_REASONS; i++)
        if (!text_is_sound (frame->statistics.reasons[i].code, sizeof frame->statistics.reasons[i].code))
          return "reason code without end";
      return NULL;
    case MESSAGE_STOPPED:
      if (frame->stopped.reason >= N_STOPPED)
        return "reason";
      return text_is_sound (frame->stopped.text, sizeof frame->stopped.text) ? NULL : "text without end";
    default:
      return frame->none.unused ? "reserved bits" : NULL;
    }
}

int
protocol_check (Phase now, Sender from, const Message *untrusted_frame, size_t n_bytes, size_t n_fds, const char **ret_why)
{
  const MessageRow *row;
  const char *why = NULL;

  if (n_bytes < sizeof (MessageHeader))
    why = "shorter than a header";
  else if (untrusted_frame->header.type >= N_MESSAGES)
    why = "unknown message";
  else
    {
      row = &rows[untrusted_frame->header.type];
      if (row->sender != from)
        why = "message of the other side";
      else if (!(row->phases & now))
        why = "message of another phase";
      else if (untrusted_frame->header.n_bytes != row->n_bytes || n_bytes != sizeof (MessageHeader) + row->n_bytes)
        why = "wrong length";
      else if (n_fds != row->n_fds)
        why = "wrong number of descriptors";
      else
        why = check_contents (untrusted_frame);
    }
  if (!why)
    return 0;
  if (ret_why)
    *ret_why = why;
  return -EBADMSG;
}

int
protocol_send (int socket, MessageType type, uint32_t sequence, const void *payload, const int *fds)
{
  union { struct cmsghdr align; char bytes[CMSG_SPACE (sizeof (int) * PROTOCOL_MAX_FDS)]; } control;
  Message frame;
  struct iovec part = { &frame, sizeof (MessageHeader) };
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
  ssize_t n;

  if ((unsigned) type >= N_MESSAGES)
    return -EINVAL;
  memset (&frame, 0, sizeof frame);
  frame.header.type = (uint16_t) type;
  frame.header.n_bytes = rows[type].n_bytes;
  frame.header.sequence = sequence;
  if (payload)
    memcpy (frame.bytes + sizeof (MessageHeader), payload, rows[type].n_bytes);
  part.iov_len += rows[type].n_bytes;
  if (rows[type].n_fds)
    {
      struct cmsghdr *header;

      memset (&control, 0, sizeof control);
      message.msg_control = control.bytes;
      message.msg_controllen = CMSG_SPACE (sizeof (int) * rows[type].n_fds);
      header = CMSG_FIRSTHDR (&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN (sizeof (int) * rows[type].n_fds);
      memcpy (CMSG_DATA (header), fds, sizeof (int) * rows[type].n_fds);
    }
  do
    n = sendmsg (socket, &message, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  /* A key must not stay on the stack of either side. */
  if (type == MESSAGE_DRIVE_KEY)
    explicit_bzero (&frame, sizeof frame);
  return n < 0 ? -errno : 0;
}

ssize_t
protocol_receive (int socket, Message *ret_frame, int ret_fds[PROTOCOL_MAX_FDS], size_t *ret_n_fds)
{
  /* Room for more descriptors than any message has: the kernel would drop (and close) the rest, and MSG_CTRUNC says so. */
  union { struct cmsghdr align; char bytes[CMSG_SPACE (sizeof (int) * PROTOCOL_MAX_FDS)]; } control;
  struct iovec part = { ret_frame, sizeof *ret_frame };
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes };
  size_t n_fds = 0;
  ssize_t n;

  memset (ret_frame, 0, sizeof *ret_frame);
  *ret_n_fds = 0;
  do
    n = recvmsg (socket, &message, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0)
    return -errno;
  for (struct cmsghdr *header = CMSG_FIRSTHDR (&message); header; header = CMSG_NXTHDR (&message, header))
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
      {
        size_t n_here = (header->cmsg_len - CMSG_LEN (0)) / sizeof (int);

        for (size_t i = 0; i < n_here; i++)
          {
            int fd;

            memcpy (&fd, CMSG_DATA (header) + i * sizeof fd, sizeof fd);
            if (n_fds < PROTOCOL_MAX_FDS)
              ret_fds[n_fds++] = fd;
            else
              close (fd);
          }
      }
  if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
    {
      while (n_fds)
        close (ret_fds[--n_fds]);
      return -EMSGSIZE;
    }
  *ret_n_fds = n_fds;
  return n;
}

bool
input_message_check (const InputMessage *untrusted_message, size_t n_bytes)
{
  if (n_bytes != sizeof *untrusted_message)
    return false;
  switch (untrusted_message->type)
    {
    case INPUT_KEY:
      return untrusted_message->code < 768 && (untrusted_message->value_x == 0 || untrusted_message->value_x == 1);
    case INPUT_MOUSE_RELATIVE:
      return untrusted_message->value_x >= -32768 && untrusted_message->value_x <= 32767
             && untrusted_message->value_y >= -32768 && untrusted_message->value_y <= 32767;
    case INPUT_MOUSE_ABSOLUTE:
      return untrusted_message->value_x >= 0 && untrusted_message->value_x <= 65535
             && untrusted_message->value_y >= 0 && untrusted_message->value_y <= 65535;
    case INPUT_RELEASE_ALL:
      return true;
    default:
      return false;
    }
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A saved machine.
 *
 *   header   "BHSTATE1", u32 version, u32 memory MiB, u32 CPU model, u32 bytes of the device part
 *   devices  zstd-compressed: clock (u64 ns), CPU section, one section per device in the board's order (state.h)
 *   memory   chunks of 256 KiB of every backing page: u32 compressed length (0: all zero), zstd bytes
 *   trailer  SHA-256 of everything before it
 *
 * The file is hostile input when it comes back: lengths are bounded by what this machine would have written, sections
 * are checked by their devices, and nothing of the guest runs before all of it has been read. */
#include "machine-private.h"

#include <errno.h>
#include <gcrypt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

enum { CHUNK_BYTES = 256 << 10, MAX_DEVICES_BYTES = 64 << 20, VERSION = 2, DIGEST_BYTES = 32 };

/* The fast end of zstd: the guest stands still while its memory is packed. */
#define MEMORY_LEVEL (-1)

typedef struct
{
  char     magic[8];
  uint32_t version, memory_mib, cpu_model, n_devices_bytes;
  uint32_t n_devices_plain, n_backing_pages;
} Header;

static const char magic[8] = { 'B', 'H', 'S', 'T', 'A', 'T', 'E', '1' };

/* A descriptor with a digest of all that went through it. */
typedef struct
{
  int          fd;
  gcry_md_hd_t digest;
  uint64_t     position;
} Stream;

static int
stream_open (Stream *stream, int fd)
{
  *stream = (Stream) { .fd = fd };
  return gcry_md_open (&stream->digest, GCRY_MD_SHA256, 0) ? -ENOMEM : 0;
}

static int
put (Stream *stream, const void *bytes, size_t n_bytes)
{
  const uint8_t *from = bytes;

  gcry_md_write (stream->digest, bytes, n_bytes);
  while (n_bytes)
    {
      ssize_t n = pwrite (stream->fd, from, n_bytes, (off_t) stream->position);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return n < 0 ? -errno : -EIO;
      from += n;
      n_bytes -= (size_t) n;
      stream->position += (uint64_t) n;
    }
  return 0;
}

static int
take (Stream *stream, void *ret_bytes, size_t n_bytes)
{
  uint8_t *to = ret_bytes;
  size_t left = n_bytes;

  while (left)
    {
      ssize_t n = pread (stream->fd, to, left, (off_t) stream->position);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return n < 0 ? -errno : -EBADMSG;
      to += n;
      left -= (size_t) n;
      stream->position += (uint64_t) n;
    }
  gcry_md_write (stream->digest, ret_bytes, n_bytes);
  return 0;
}

static void
save_device (Device *device, void *data)
{
  state_save (device->klass->state, device, data);
}

static bool
all_zero (const uint8_t *bytes, size_t n_bytes)
{
  return bytes[0] == 0 && memcmp (bytes, bytes + 1, n_bytes - 1) == 0;
}

static int
save_memory (Machine *self, Stream *stream)
{
  size_t n_bytes = (size_t) self->memory->n_pages * GUEST_PAGE_SIZE, bound = ZSTD_compressBound (CHUNK_BYTES);
  ZSTD_CCtx *context = ZSTD_createCCtx ();
  uint8_t *packed = malloc (bound);
  int result = context && packed ? 0 : -ENOMEM;

  for (size_t at = 0; at < n_bytes && result == 0; at += CHUNK_BYTES)
    {
      size_t n = n_bytes - at < CHUNK_BYTES ? n_bytes - at : CHUNK_BYTES;
      size_t n_packed = all_zero (self->memory->host + at, n)
                          ? 0 : ZSTD_compressCCtx (context, packed, bound, self->memory->host + at, n, MEMORY_LEVEL);
      uint32_t length = (uint32_t) n_packed;

      if (ZSTD_isError (n_packed))
        result = -EIO;
      if (result == 0)
        result = put (stream, &length, sizeof length);
      if (result == 0 && length)
        result = put (stream, packed, length);
    }
  ZSTD_freeCCtx (context);
  free (packed);
  return result;
}

static int
save_devices (Machine *self, Stream *stream)
{
  StateBuffer buffer = { 0 };
  uint64_t now = clock_now_ns (self->clock);
  size_t bound, length;
  uint8_t *packed;
  Header header = { .version = VERSION, .memory_mib = self->config.memory_mib, .cpu_model = self->config.cpu_model,
                    .n_backing_pages = self->memory->n_pages };
  int result;

  cpu_sync_flags (self->cpu);
  state_buffer_append (&buffer, &now, sizeof now);
  state_save (&cpu_state_table, self->cpu, &buffer);
  board_each_device (self->board, save_device, &buffer);
  bound = ZSTD_compressBound (buffer.length);
  packed = buffer.error ? NULL : malloc (bound);
  if (!packed)
    {
      state_buffer_clear (&buffer);
      return -ENOMEM;
    }
  length = ZSTD_compress (packed, bound, buffer.bytes, buffer.length, 3);
  memcpy (header.magic, magic, sizeof magic);
  header.n_devices_bytes = (uint32_t) length;
  header.n_devices_plain = (uint32_t) buffer.length;
  result = ZSTD_isError (length) ? -EIO : put (stream, &header, sizeof header);
  if (result == 0)
    result = put (stream, packed, length);
  free (packed);
  state_buffer_clear (&buffer);
  return result;
}

int
machine_save (Machine *self, int fd)
{
  Stream stream;
  uint8_t digest[DIGEST_BYTES];
  int result;

  /* A reset that a device has asked for and the run loop has not done yet is no device's state: do it now. */
  if (self->reset_wanted)
    {
      self->reset_wanted = self->halted = false;
      board_reset (self->board);
    }
  result = stream_open (&stream, fd);
  if (result < 0)
    return result;
  result = save_devices (self, &stream);
  if (result == 0)
    result = save_memory (self, &stream);
  memcpy (digest, gcry_md_read (stream.digest, GCRY_MD_SHA256), sizeof digest);
  if (result == 0)
    result = put (&stream, digest, sizeof digest);
  if (result == 0 && ftruncate (fd, (off_t) stream.position) < 0 && errno != EINVAL)
    result = -errno;
  gcry_md_close (stream.digest);
  return result;
}

/* --- restoring -------------------------------------------------------------------------------------------------- */

/* First pass: the digest must fit before a byte of it is believed. */
static int
check_digest (Machine *self, int fd, uint64_t *ret_end)
{
  size_t n_chunks = ((size_t) self->memory->n_pages * GUEST_PAGE_SIZE + CHUNK_BYTES - 1) / CHUNK_BYTES;
  uint8_t *buffer = malloc (ZSTD_compressBound (CHUNK_BYTES)), digest[DIGEST_BYTES], *own;
  Stream stream;
  Header header;
  int result = buffer ? stream_open (&stream, fd) : -ENOMEM;
  uint32_t left;

  if (result < 0)
    {
      free (buffer);
      return result;
    }
  result = take (&stream, &header, sizeof header);
  for (left = result == 0 ? header.n_devices_bytes : 0; left && result == 0;)
    {
      uint32_t n = left < CHUNK_BYTES ? left : CHUNK_BYTES;

      result = left > MAX_DEVICES_BYTES ? -EBADMSG : take (&stream, buffer, n);
      left -= n;
    }
  for (size_t i = 0; i < n_chunks && result == 0; i++)
    {
      uint32_t length;

      result = take (&stream, &length, sizeof length);
      if (result == 0 && length > ZSTD_compressBound (CHUNK_BYTES))
        result = -EBADMSG;
      if (result == 0)
        result = take (&stream, buffer, length);
    }
  own = gcry_md_read (stream.digest, GCRY_MD_SHA256);
  if (result == 0 && (pread (fd, digest, sizeof digest, (off_t) stream.position) != sizeof digest || memcmp (own, digest, sizeof digest) != 0))
    result = -EBADMSG;
  *ret_end = stream.position;
  gcry_md_close (stream.digest);
  free (buffer);
  return result;
}

typedef struct
{
  const uint8_t *bytes;
  size_t         left;
  int            error;
} Sections;

static void
restore_section (Sections *sections, const StateTable *table, void *instance)
{
  int64_t used;

  if (sections->error)
    return;
  used = state_restore (table, instance, sections->bytes, sections->left);
  if (used < 0)
    {
      sections->error = -EBADMSG;
      return;
    }
  sections->bytes += used;
  sections->left -= (size_t) used;
}

static void
restore_device (Device *device, void *data)
{
  restore_section (data, device->klass->state, device);
}

static int
restore_memory (Machine *self, Stream *stream)
{
  size_t n_bytes = (size_t) self->memory->n_pages * GUEST_PAGE_SIZE, bound = ZSTD_compressBound (CHUNK_BYTES);
  uint8_t *packed = malloc (bound);
  int result = packed ? 0 : -ENOMEM;

  for (size_t at = 0; at < n_bytes && result == 0; at += CHUNK_BYTES)
    {
      size_t n = n_bytes - at < CHUNK_BYTES ? n_bytes - at : CHUNK_BYTES;
      uint32_t length;

      result = take (stream, &length, sizeof length);
      if (result == 0 && length > bound)
        result = -EBADMSG;
      if (result == 0 && length == 0)
        {
          if (!all_zero (self->memory->host + at, n))
            memset (self->memory->host + at, 0, n);
        }
      else if (result == 0)
        {
          result = take (stream, packed, length);
          if (result == 0 && ZSTD_decompress (self->memory->host + at, n, packed, length) != n)
            result = -EBADMSG;
        }
    }
  free (packed);
  return result;
}

static int
restore_devices (Machine *self, const Header *header, Stream *stream)
{
  uint8_t *packed = malloc (header->n_devices_bytes), *plain = malloc (header->n_devices_plain);
  Sections sections = { 0 };
  int result = packed && plain ? take (stream, packed, header->n_devices_bytes) : -ENOMEM;

  if (result == 0 && ZSTD_decompress (plain, header->n_devices_plain, packed, header->n_devices_bytes) != header->n_devices_plain)
    result = -EBADMSG;
  if (result == 0)
    {
      uint64_t now;

      memcpy (&now, plain, sizeof now);
      sections = (Sections) { plain + sizeof now, header->n_devices_plain - sizeof now, 0 };
      board_reset (self->board);
      clock_set_now (self->clock, now);
      restore_section (&sections, &cpu_state_table, self->cpu);
      board_each_device (self->board, restore_device, &sections);
      result = sections.error ? sections.error : sections.left ? -EBADMSG : 0;
    }
  free (packed);
  free (plain);
  return result;
}

int
machine_restore (Machine *self, int fd, const char **ret_error)
{
  Header header;
  Stream stream;
  uint64_t end;
  int result;

  *ret_error = "this is not a saved state";
  if (pread (fd, &header, sizeof header, 0) != sizeof header || memcmp (header.magic, magic, sizeof magic) != 0)
    return -EBADMSG;
  *ret_error = "the saved state is of another version of Bulkhead";
  if (header.version != VERSION)
    return -ENOTSUP;
  *ret_error = "the saved state is of a machine with other memory or another processor: set those of the one that was saved";
  if (header.memory_mib != self->config.memory_mib || header.cpu_model != self->config.cpu_model
      || header.n_backing_pages != self->memory->n_pages)
    return -ENOTSUP;
  *ret_error = "the saved state is damaged";
  if (header.n_devices_bytes > MAX_DEVICES_BYTES || header.n_devices_plain > MAX_DEVICES_BYTES || header.n_devices_plain < sizeof (uint64_t))
    return -EBADMSG;
  result = check_digest (self, fd, &end);
  if (result < 0)
    return result;
  result = stream_open (&stream, fd);
  if (result < 0)
    return result;
  stream.position = sizeof header;
  result = restore_devices (self, &header, &stream);
  if (result == 0)
    result = restore_memory (self, &stream);
  gcry_md_close (stream.digest);
  guest_memory_touched (self->memory, 0, self->memory->n_pages);
  if (self->cpu->hooks.flush_all)
    self->cpu->hooks.flush_all (self->cpu);
  self->halted = false;
  self->alarm_deadline_ns = UINT64_MAX;
  cpu_request_exit (self->cpu, CPU_REQUEST_EVENT);
  self->reset_wanted = false;
  if (result < 0)
    board_reset (self->board);
  return result;
}

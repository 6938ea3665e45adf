/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Saving and restoring a device by its table.
 *
 * A section, all little endian:
 *   u8 length + name, u16 version, u32 bytes that follow, then per field: u8 length + name, u32 bytes, the bytes.
 * A nested table's bytes are its elements, each a section.  Fields are found by name, so a table may grow and be
 * reordered; a field that the file does not know keeps its reset value. */
#include "state.h"

#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { STATE_MAX_FIELD = 1 << 30 };

void
state_buffer_append (StateBuffer *self, const void *bytes, size_t n_bytes)
{
  if (self->error)
    return;
  if (self->length + n_bytes > self->capacity)
    {
      size_t capacity = self->capacity ? self->capacity : 256;
      uint8_t *grown;

      while (capacity < self->length + n_bytes)
        capacity *= 2;
      grown = realloc (self->bytes, capacity);
      if (!grown)
        {
          self->error = -ENOMEM;
          return;
        }
      self->bytes = grown;
      self->capacity = capacity;
    }
  if (n_bytes)
    memcpy (self->bytes + self->length, bytes, n_bytes);
  self->length += n_bytes;
}

void
state_buffer_clear (StateBuffer *self)
{
  free (self->bytes);
  *self = (StateBuffer) { 0 };
}

static void
append_name (StateBuffer *out, const char *name)
{
  uint8_t length = (uint8_t) strlen (name);

  state_buffer_append (out, &length, 1);
  state_buffer_append (out, name, length);
}

static size_t
begin_length (StateBuffer *out)
{
  uint32_t zero = 0;

  state_buffer_append (out, &zero, sizeof zero);
  return out->length;
}

static void
end_length (StateBuffer *out, size_t begin)
{
  uint32_t length = (uint32_t) (out->length - begin);

  if (!out->error)
    memcpy (out->bytes + begin - sizeof length, &length, sizeof length);
}

void
state_save (const StateTable *table, const void *instance, StateBuffer *out)
{
  const uint8_t *base = instance;
  size_t section;

  append_name (out, table->name);
  state_buffer_append (out, &table->version, sizeof table->version);
  section = begin_length (out);
  for (const StateField *field = table->fields; field->name; field++)
    {
      const uint8_t *at = base + field->offset;
      size_t begin;

      append_name (out, field->name);
      begin = begin_length (out);
      switch (field->kind)
        {
        case STATE_UINT:
        case STATE_BYTES:
          state_buffer_append (out, at, field->size);
          break;
        case STATE_BUFFER:
          state_buffer_append (out, *(void *const *) at, field->size);
          break;
        case STATE_TIMER:
          {
            const Timer *timer = *(Timer *const *) at;
            uint64_t deadline = timer && timer_armed (timer) ? timer_deadline_ns (timer) : UINT64_MAX;

            state_buffer_append (out, &deadline, sizeof deadline);
            break;
          }
        case STATE_TABLE:
          for (unsigned i = 0; i < field->count; i++)
            state_save (field->nested, at + (size_t) i * field->size, out);
          break;
        }
      end_length (out, begin);
    }
  end_length (out, section);
}

typedef struct
{
  const uint8_t *bytes;
  size_t         left;
  bool           bad;
} Reader;

static const uint8_t *
take (Reader *reader, size_t n)
{
  const uint8_t *at = reader->bytes;

  if (reader->bad || n > reader->left)
    {
      reader->bad = true;
      return NULL;
    }
  reader->bytes += n;
  reader->left -= n;
  return at;
}

static uint32_t
take_u32 (Reader *reader)
{
  const uint8_t *at = take (reader, 4);
  uint32_t value = 0;

  if (at)
    memcpy (&value, at, sizeof value);
  return value;
}

/* True if the next name is this one. The name is consumed either way; ret_name must hold 256 bytes. */
static void
take_name (Reader *reader, char *ret_name)
{
  const uint8_t *length = take (reader, 1);
  const uint8_t *text = length ? take (reader, *length) : NULL;

  ret_name[0] = 0;
  if (text)
    {
      memcpy (ret_name, text, *length);
      ret_name[*length] = 0;
    }
}

static int
restore_field (const StateField *field, uint8_t *at, const uint8_t *bytes, size_t n_bytes)
{
  switch (field->kind)
    {
    case STATE_UINT:
    case STATE_BYTES:
      if (n_bytes != field->size)
        return -EBADMSG;
      memcpy (at, bytes, n_bytes);
      return 0;
    case STATE_BUFFER:
      if (n_bytes != field->size)
        return -EBADMSG;
      memcpy (*(void **) at, bytes, n_bytes);
      return 0;
    case STATE_TIMER:
      {
        Timer *timer = *(Timer **) at;
        uint64_t deadline;

        if (n_bytes != sizeof deadline)
          return -EBADMSG;
        memcpy (&deadline, bytes, sizeof deadline);
        if (!timer)
          return 0;
        if (deadline == UINT64_MAX)
          timer_disarm (timer);
        else
          timer_arm (timer, deadline);
        return 0;
      }
    case STATE_TABLE:
      for (unsigned i = 0; i < field->count; i++)
        {
          int64_t used = state_restore (field->nested, at + (size_t) i * field->size, bytes, n_bytes);

          if (used < 0)
            return (int) used;
          bytes += used;
          n_bytes -= (size_t) used;
        }
      return n_bytes ? -EBADMSG : 0;
    }
  return -EBADMSG;
}

int64_t
state_restore (const StateTable *table, void *instance, const uint8_t *untrusted_bytes, size_t n_bytes)
{
  Reader reader = { untrusted_bytes, n_bytes, false };
  Reader body;
  uint8_t *base = instance;
  const uint8_t *at;
  uint16_t version = 0;
  uint32_t length;
  char name[256];

  take_name (&reader, name);
  at = take (&reader, 2);
  if (at)
    memcpy (&version, at, sizeof version);
  length = take_u32 (&reader);
  if (reader.bad || strcmp (name, table->name) != 0 || version > table->version || length > reader.left)
    return -EBADMSG;
  body = (Reader) { reader.bytes, length, false };
  while (body.left && !body.bad)
    {
      const StateField *field;
      uint32_t field_length;

      take_name (&body, name);
      field_length = take_u32 (&body);
      if (field_length > STATE_MAX_FIELD)
        return -EBADMSG;
      at = take (&body, field_length);
      if (!at)
        return -EBADMSG;
      for (field = table->fields; field->name && strcmp (field->name, name) != 0; field++)
        ;
      /* A field that this version no longer has was dropped on purpose: older files stay readable. */
      if (!field->name)
        continue;
      if (restore_field (field, base + field->offset, at, field_length) < 0)
        return -EBADMSG;
    }
  if (body.bad || (table->check && table->check ((Device *) instance) < 0))
    return -EBADMSG;
  return (int64_t) (reader.bytes + length - untrusted_bytes);
}

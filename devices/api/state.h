/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a snapshot holds, as data: the same table saves, restores, prints and fuzzes a device.
 *
 * A state file is hostile input.  Restoring fills the fields as they come and then calls `check`, which refuses
 * every value that the device could not have reached (indices past their buffers above all) with -EBADMSG, and
 * recomputes what is derived.  When check refuses, the caller resets the device. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef enum
{
  STATE_UINT,                   /* unsigned integer, bool or enum of 1, 2, 4 or 8 bytes */
  STATE_BYTES,                  /* that many bytes as they are (also arrays of integers) */
  STATE_TIMER,                  /* a Timer *: armed or not, and its deadline in guest ns */
  STATE_BUFFER,                 /* a pointer to `size` bytes that the device owns (allocated by its constructor) */
  STATE_TABLE,                  /* `count` nested structs of `size` bytes each, described by `nested` */
} StateKind;

typedef struct Device Device;
typedef struct StateTable StateTable;

typedef struct
{
  const char *name;
  StateKind   kind;
  uint32_t    offset;
  uint32_t    size;
  uint16_t    since;            /* first version that has the field; older files leave its reset value */
  uint16_t    count;            /* STATE_TABLE only */
  const StateTable *nested;     /* STATE_TABLE only */
} StateField;

struct StateTable
{
  const char       *name;
  uint16_t          version;
  const StateField *fields;     /* ends with STATE_END */
  int             (*check) (Device *self);   /* may be NULL when every value is possible */
};

#define STATE_FIELD(Type, field, kind, since) \
  { #field, kind, offsetof (Type, field), sizeof (((Type *) 0)->field), since, 0, NULL }
#define STATE_POINTER(Type, field, n_bytes, since) \
  { #field, STATE_BUFFER, offsetof (Type, field), n_bytes, since, 0, NULL }
#define STATE_NESTED(Type, field, table, since) \
  { #field, STATE_TABLE, offsetof (Type, field), sizeof (((Type *) 0)->field[0]), since, \
    sizeof (((Type *) 0)->field) / sizeof (((Type *) 0)->field[0]), table }
#define STATE_END { NULL, STATE_UINT, 0, 0, 0, 0, NULL }

/* A growing byte string: what state_save appends to. Free with state_buffer_clear. */
typedef struct
{
  uint8_t *bytes;
  size_t   length, capacity;
  int      error;               /* -ENOMEM once an append has failed; later appends do nothing */
} StateBuffer;

void state_buffer_append (StateBuffer *buffer, const void *bytes, size_t n_bytes);
void state_buffer_clear  (StateBuffer *buffer);

/* Appends one device's section: name, version, length, fields by name (so that tables may grow and be reordered). */
void state_save    (const StateTable *table, const void *instance, StateBuffer *out);

/* Reads one section made by state_save from untrusted bytes.  Returns the number of bytes used, or
 * -EBADMSG (damaged, other device, newer version, or refused by check); the instance is then half filled: reset it. */
int64_t state_restore (const StateTable *table, void *instance, const uint8_t *untrusted_bytes, size_t n_bytes);

/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A chip driven by the bytes of a fuzzer: IN, OUT, memory cycles, time, lines, the board's functions, reset, and saved
 * states with bytes changed. */
#pragma once

#include "chip-bench.h"

typedef struct
{
  const uint8_t *bytes;
  size_t         left;
} FuzzInput;

typedef struct
{
  const uint16_t *ports;        /* ranges: first, count; ends with count 0 */
  const uint64_t *memory;       /* the same; may be NULL */
  /* Whatever else can happen to the chip. May be NULL. */
  void          (*other) (Bench *bench, FuzzInput *input, unsigned choice);
} FuzzChip;

static inline uint8_t
fuzz_byte (FuzzInput *input)
{
  if (!input->left)
    return 0;
  input->left--;
  return *input->bytes++;
}

static inline uint32_t
fuzz_word (FuzzInput *input)
{
  uint32_t value = 0;

  for (unsigned i = 0; i < 4; i++)
    value |= (uint32_t) fuzz_byte (input) << (i * 8);
  return value;
}

static inline uint16_t
fuzz_port (const FuzzChip *chip, FuzzInput *input)
{
  unsigned n = 0, pick = fuzz_byte (input);

  for (unsigned i = 0; chip->ports[2 * i + 1]; i++)
    n += chip->ports[2 * i + 1];
  pick %= n;
  for (unsigned i = 0;; pick -= chip->ports[2 * i + 1], i++)
    if (pick < chip->ports[2 * i + 1])
      return (uint16_t) (chip->ports[2 * i] + pick);
}

static inline uint64_t
fuzz_address (const FuzzChip *chip, FuzzInput *input)
{
  unsigned n = 0, range;
  uint32_t offset;

  while (chip->memory[2 * n + 1])
    n++;
  range = fuzz_byte (input) % n;
  offset = fuzz_byte (input) * 16u + (fuzz_byte (input) & (fuzz_byte (input) & 1 ? 15 : 0));
  return chip->memory[2 * range] + offset % chip->memory[2 * range + 1];
}

/* A state that was saved and then damaged at up to four places. */
static inline void
fuzz_restore (Device *device, FuzzInput *input)
{
  StateBuffer saved = bench_save (device);

  for (unsigned n = fuzz_byte (input) & 3, i = 0; i <= n; i++)
    {
      size_t at = fuzz_word (input) % saved.length;

      saved.bytes[at] ^= fuzz_byte (input);
    }
  if (bench_restore (device, saved.bytes, saved.length) < 0)
    device->klass->reset (device);
  state_buffer_clear (&saved);
}

static inline void
fuzz_chip (Bench *bench, void *device, const FuzzChip *chip, const uint8_t *bytes, size_t n_bytes)
{
  FuzzInput    input = { bytes, n_bytes };
  const unsigned sizes[4] = { 1, 1, 2, 4 };

  while (input.left)
    {
      uint8_t  op = fuzz_byte (&input);
      unsigned size = sizes[op >> 4 & 3];
      uint64_t ns;

      switch (op & 15)
        {
        case 0: case 1: case 2: case 3:
          if (chip->ports)
            bus_write_port (bench->host.bus, fuzz_port (chip, &input), size, fuzz_byte (&input) * (size == 1 ? 1 : 0x01010101u));
          break;
        case 4: case 5:
          if (chip->ports)
            bus_read_port (bench->host.bus, fuzz_port (chip, &input), size);
          break;
        case 6: case 7:
          if (chip->memory)
            bus_write_memory (bench->host.bus, fuzz_address (chip, &input), 4, fuzz_word (&input));
          break;
        case 8:
          if (chip->memory)
            bus_read_memory (bench->host.bus, fuzz_address (chip, &input), op & 0x80 ? 8 : 4);
          break;
        case 9: case 10:
          /* From nanoseconds to minutes. */
          ns = (uint64_t) fuzz_byte (&input) << (op >> 4) * 2;
          clock_advance (bench->host.clock, ns);
          clock_run_timers (bench->host.clock);
          break;
        case 14:
          fuzz_restore (device, &input);
          break;
        case 15:
          if (fuzz_byte (&input) == 0x5a)
            ((Device *) device)->klass->reset (device);
          break;
        default:
          if (chip->other)
            chip->other (bench, &input, op >> 4);
          break;
        }
    }
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A whole machine saved, scrambled, restored and continued; and state files that nobody saved. */
#include "machine.h"
#include "physical-memory.h"

#include <errno.h>
#include <gcrypt.h>
#include <glib.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

enum { ROM_BYTES = 128 << 10, COUNTER = 0x500, DIGEST_BYTES = 32, HEADER_BYTES = 32 };

typedef struct
{
  Machine  *machine;
  pthread_t thread;
  uint8_t  *ram;
  size_t    n_ram;
} Guest;

/* Counts in a double word at 500h for ever. */
static void
make_rom (uint8_t *rom)
{
  static const uint8_t code[] = {
    0x31, 0xc0,                         /* xor ax, ax */
    0x8e, 0xd8,                         /* mov ds, ax */
    0x66, 0xff, 0x06, 0x00, 0x05,       /* again: inc dword [500h] */
    0xeb, 0xf9,                         /* jmp again */
  };
  static const uint8_t reset[] = { 0xea, 0x00, 0x00, 0x00, 0xf0 };      /* jmp F000:0000 */

  memset (rom, 0xf4, ROM_BYTES);
  memcpy (rom + ROM_BYTES - 0x10000, code, sizeof code);
  memcpy (rom + ROM_BYTES - 0x10, reset, sizeof reset);
}

static void *
run (void *data)
{
  machine_run (data, NULL);
  return NULL;
}

static void
find_ram (Machine *machine, void *data)
{
  Guest *guest = data;
  GuestMemory *memory = machine_memory (machine);

  guest->ram = memory->host;
  guest->n_ram = memory->ram_bytes;
}

static void
guest_start (Guest *guest, uint32_t memory_mib, CpuModel model)
{
  static uint8_t rom[ROM_BYTES], vga[2048] = { 0x55, 0xaa, 4, 0xcb };
  MachineConfig config = { .memory_mib = memory_mib, .cpu_model = model, .engine = MACHINE_ENGINE_INTERPRETER,
                           .clock_source = CLOCK_INSTRUCTIONS, .seed = 1, .memory_fd = -1, .n_floppy_drives = 1,
                           .firmware = rom, .n_firmware = sizeof rom, .vga_firmware = vga, .n_vga_firmware = sizeof vga };
  char *error = NULL;

  make_rom (rom);
  guest->machine = machine_new (&config, &error);
  if (!guest->machine)
    g_error ("%s", error);
  g_assert_cmpint (pthread_create (&guest->thread, NULL, run, guest->machine), ==, 0);
  machine_call (guest->machine, find_ram, guest);
}

static void
call_quit (Machine *machine, void *data)
{
  machine_quit (machine);
}

static void
guest_end (Guest *guest)
{
  machine_call (guest->machine, call_quit, NULL);
  pthread_join (guest->thread, NULL);
  machine_free (guest->machine);
}

static void
call_pause (Machine *machine, void *data)
{
  machine_pause (machine);
}

static void
call_resume (Machine *machine, void *data)
{
  machine_resume (machine);
}

static uint32_t
counter (Guest *guest)
{
  uint32_t value;

  memcpy (&value, guest->ram + COUNTER, sizeof value);
  return value;
}

static void
run_until (Guest *guest, uint32_t wanted)
{
  gint64 end = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;

  machine_call (guest->machine, call_resume, NULL);
  while (counter (guest) < wanted)
    {
      g_assert_cmpint (g_get_monotonic_time (), <, end);
      g_usleep (1000);
    }
  machine_call (guest->machine, call_pause, NULL);
}

typedef struct
{
  int         fd, result;
  const char *text;
} State;

static void
call_save (Machine *machine, void *data)
{
  ((State *) data)->result = machine_save (machine, ((State *) data)->fd);
}

static void
call_restore (Machine *machine, void *data)
{
  State *state = data;

  state->result = machine_restore (machine, state->fd, &state->text);
}

static GBytes *
save (Guest *guest)
{
  State state = { .fd = memfd_create ("state", MFD_CLOEXEC) };
  struct stat info;
  uint8_t *bytes;

  machine_call (guest->machine, call_save, &state);
  g_assert_cmpint (state.result, ==, 0);
  g_assert_cmpint (fstat (state.fd, &info), ==, 0);
  bytes = g_malloc ((gsize) info.st_size);
  g_assert_cmpint (pread (state.fd, bytes, (size_t) info.st_size, 0), ==, info.st_size);
  close (state.fd);
  return g_bytes_new_take (bytes, (gsize) info.st_size);
}

static int
restore (Guest *guest, const void *bytes, gsize n_bytes, const char **ret_text)
{
  State state = { .fd = memfd_create ("state", MFD_CLOEXEC) };

  g_assert_cmpint (pwrite (state.fd, bytes, n_bytes, 0), ==, (gssize) n_bytes);
  machine_call (guest->machine, call_restore, &state);
  close (state.fd);
  if (ret_text)
    *ret_text = state.text;
  return state.result;
}

static void
test_save_scramble_restore_continue (void)
{
  Guest guest;
  g_autoptr (GBytes) state = NULL;
  g_autofree uint8_t *copy = NULL;
  uint32_t then;
  gsize n;

  guest_start (&guest, 4, CPU_MODEL_PENTIUM3);
  run_until (&guest, 1000);
  for (size_t i = 0x10000; i < 0x20000; i++)
    guest.ram[i] = (uint8_t) (i * 7 + i / 256);
  then = counter (&guest);
  copy = g_memdup2 (guest.ram, guest.n_ram);
  state = save (&guest);
  run_until (&guest, then + 100000);
  memset (guest.ram + 0x10000, 0x5a, guest.n_ram - 0x10000);
  g_assert_cmpint (restore (&guest, g_bytes_get_data (state, &n), g_bytes_get_size (state), NULL), ==, 0);
  g_assert_cmpuint (counter (&guest), ==, then);
  g_assert_cmpmem (guest.ram, guest.n_ram, copy, guest.n_ram);
  run_until (&guest, then + 1000);
  guest_end (&guest);
}

static void
test_saving_twice_gives_the_same (void)
{
  Guest guest;
  g_autoptr (GBytes) first = NULL;
  g_autoptr (GBytes) second = NULL;

  guest_start (&guest, 2, CPU_MODEL_PENTIUM3);
  run_until (&guest, 5000);
  first = save (&guest);
  g_assert_cmpint (restore (&guest, g_bytes_get_data (first, NULL), g_bytes_get_size (first), NULL), ==, 0);
  second = save (&guest);
  g_assert_true (g_bytes_equal (first, second));
  guest_end (&guest);
}

/* Video RAM and ROMs lie behind the guest's RAM in the same file: saved once, restored too. */
static void
test_memory_behind_the_ram (void)
{
  Guest guest;
  g_autoptr (GBytes) state = NULL;

  guest_start (&guest, 2, CPU_MODEL_PENTIUM3);
  run_until (&guest, 100);
  guest.ram[guest.n_ram + 12345] = 0x77;
  state = save (&guest);
  g_assert_cmpuint (g_bytes_get_size (state), <, 256 << 10);
  guest.ram[guest.n_ram + 12345] = 0;
  g_assert_cmpint (restore (&guest, g_bytes_get_data (state, NULL), g_bytes_get_size (state), NULL), ==, 0);
  g_assert_cmpuint (guest.ram[guest.n_ram + 12345], ==, 0x77);
  guest_end (&guest);
}

/* After a refusal the machine has been reset and runs. */
static void
assert_refused (Guest *guest, const uint8_t *bytes, gsize n_bytes)
{
  g_assert_cmpint (restore (guest, bytes, n_bytes, NULL), <, 0);
}

static void
assert_alive (Guest *guest)
{
  uint32_t now;

  guest->ram[COUNTER + 3] = 0;
  now = counter (guest);
  run_until (guest, now + 1000);
}

static void
test_cut_at_any_length (void)
{
  Guest guest;
  g_autoptr (GBytes) state = NULL;
  const uint8_t *bytes;
  gsize n;

  guest_start (&guest, 1, CPU_MODEL_PENTIUM3);
  run_until (&guest, 100);
  state = save (&guest);
  bytes = g_bytes_get_data (state, &n);
  for (gsize length = 0; length < n; length += length < 200 || n - length < 100 ? 1 : 997)
    assert_refused (&guest, bytes, length);
  assert_alive (&guest);
  guest_end (&guest);
}

static void
test_flipped_bytes (void)
{
  Guest guest;
  g_autoptr (GBytes) state = NULL;
  g_autofree uint8_t *bytes = NULL;
  gsize n;

  guest_start (&guest, 1, CPU_MODEL_PENTIUM3);
  run_until (&guest, 100);
  state = save (&guest);
  bytes = g_memdup2 (g_bytes_get_data (state, &n), g_bytes_get_size (state));
  n = g_bytes_get_size (state);
  for (gsize at = 0; at < n; at += at < 64 ? 1 : 211)
    for (unsigned bit = 0; bit < 8; bit += 3)
      {
        bytes[at] ^= (uint8_t) (1 << bit);
        assert_refused (&guest, bytes, n);
        bytes[at] ^= (uint8_t) (1 << bit);
      }
  assert_alive (&guest);
  g_assert_cmpint (restore (&guest, bytes, n, NULL), ==, 0);
  guest_end (&guest);
}

/* The state with its device part unpacked, changed and packed again. */
static GBytes *
forge_devices (GBytes *state, GRand *random, unsigned n_changes)
{
  const uint8_t *bytes = g_bytes_get_data (state, NULL);
  uint32_t n_packed, n_plain, n_new;
  gsize n = g_bytes_get_size (state), n_rest;
  g_autofree uint8_t *plain = NULL;
  uint8_t *forged;

  memcpy (&n_packed, bytes + 20, 4);
  memcpy (&n_plain, bytes + 24, 4);
  plain = g_malloc (n_plain);
  g_assert_cmpuint (ZSTD_decompress (plain, n_plain, bytes + HEADER_BYTES, n_packed), ==, n_plain);
  for (unsigned i = 0; i < n_changes; i++)
    plain[g_rand_int_range (random, 0, (gint32) n_plain)] = (uint8_t) (g_rand_boolean (random) ? 0xff : g_rand_int (random));
  n_rest = n - HEADER_BYTES - n_packed;
  forged = g_malloc (HEADER_BYTES + ZSTD_compressBound (n_plain) + n_rest);
  n_new = (uint32_t) ZSTD_compress (forged + HEADER_BYTES, ZSTD_compressBound (n_plain), plain, n_plain, 1);
  memcpy (forged, bytes, HEADER_BYTES);
  memcpy (forged + 20, &n_new, 4);
  memcpy (forged + HEADER_BYTES + n_new, bytes + HEADER_BYTES + n_packed, n_rest);
  return g_bytes_new_take (forged, HEADER_BYTES + n_new + n_rest);
}

/* Somebody who can compute the digest writes what he likes: numbers at the ends of their ranges, garbage in the packed parts,
 * devices in states that they cannot reach.  Whether it is taken or refused: the machine lives. */
static void
test_forged_with_a_right_digest (void)
{
  static const uint32_t numbers[] = { 0, 7, 8, 0x7fffffff, 0x80000000, 0xffffffff, 64 << 20, (64 << 20) + 1 };
  Guest guest;
  g_autoptr (GBytes) state = NULL;
  g_autoptr (GRand) random = g_rand_new_with_seed (3);
  unsigned n_refused = 0, n_devices_refused = 0;

  guest_start (&guest, 1, CPU_MODEL_PENTIUM3);
  run_until (&guest, 100);
  state = save (&guest);
  for (unsigned round = 0; round < 240; round++)
    {
      g_autoptr (GBytes) start = round < 100 ? g_bytes_ref (state) : forge_devices (state, random, 1 + round % 3);
      gsize n = g_bytes_get_size (start);
      g_autofree uint8_t *bytes = g_memdup2 (g_bytes_get_data (start, NULL), n);
      bool refused;

      if (round < 6 * G_N_ELEMENTS (numbers))
        memcpy (bytes + 8 + round / G_N_ELEMENTS (numbers) * 4, &numbers[round % G_N_ELEMENTS (numbers)], 4);
      else if (round < 100)
        for (unsigned i = 0; i < 1 + round % 4; i++)
          bytes[g_rand_int_range (random, HEADER_BYTES, (gint32) (n - DIGEST_BYTES))] ^= (uint8_t) g_rand_int_range (random, 1, 256);
      gcry_md_hash_buffer (GCRY_MD_SHA256, bytes + n - DIGEST_BYTES, bytes, n - DIGEST_BYTES);
      refused = restore (&guest, bytes, n, NULL) < 0;
      n_refused += refused;
      n_devices_refused += refused && round >= 100;
      if (!refused)
        {
          /* What was taken runs, to whatever end. */
          machine_call (guest.machine, call_resume, NULL);
          if (round % 16 == 0)
            g_usleep (1000);
          machine_call (guest.machine, call_pause, NULL);
        }
    }
  g_test_message ("%u of 240 refused, %u of 140 with forged devices", n_refused, n_devices_refused);
  g_assert_cmpuint (n_refused, >, 60);
  g_assert_cmpint (restore (&guest, g_bytes_get_data (state, NULL), g_bytes_get_size (state), NULL), ==, 0);
  assert_alive (&guest);
  guest_end (&guest);
}

static void
test_other_hardware_is_refused (void)
{
  Guest small, large, other;
  g_autoptr (GBytes) state = NULL;
  const char *text = NULL;

  guest_start (&small, 1, CPU_MODEL_PENTIUM3);
  run_until (&small, 100);
  state = save (&small);
  guest_end (&small);
  guest_start (&large, 2, CPU_MODEL_PENTIUM3);
  g_assert_cmpint (restore (&large, g_bytes_get_data (state, NULL), g_bytes_get_size (state), &text), ==, -ENOTSUP);
  g_assert_nonnull (strstr (text, "memory"));
  guest_end (&large);
  guest_start (&other, 1, CPU_MODEL_PENTIUM);
  g_assert_cmpint (restore (&other, g_bytes_get_data (state, NULL), g_bytes_get_size (state), &text), ==, -ENOTSUP);
  guest_end (&other);
}

/* 256 MiB, half of it filled with what programs leave: the pause of a live snapshot. */
static void
test_speed (void)
{
  Guest guest;
  State state = { .fd = memfd_create ("state", MFD_CLOEXEC) };
  gint64 begin, saved, restored, cpu;

  guest_start (&guest, 256, CPU_MODEL_PENTIUM3);
  run_until (&guest, 100);
  for (size_t i = 0x100000; i < 128 << 20; i += 4)
    {
      uint32_t word = (uint32_t) (i * 2654435761u) >> (i & 64 ? 8 : 20);

      memcpy (guest.ram + i, &word, 4);
    }
  cpu = clock () * (G_USEC_PER_SEC / CLOCKS_PER_SEC);
  begin = g_get_monotonic_time ();
  machine_call (guest.machine, call_save, &state);
  saved = g_get_monotonic_time ();
  cpu = clock () * (G_USEC_PER_SEC / CLOCKS_PER_SEC) - cpu;
  g_assert_cmpint (state.result, ==, 0);
  machine_call (guest.machine, call_restore, &state);
  restored = g_get_monotonic_time ();
  g_assert_cmpint (state.result, ==, 0);
  g_test_message ("saved in %d ms (%d ms of the processor), restored in %d ms, %d MiB", (int) ((saved - begin) / 1000),
                  (int) (cpu / 1000), (int) ((restored - saved) / 1000), (int) (lseek (state.fd, 0, SEEK_END) >> 20));
  g_assert_cmpint (cpu, <, 2 * G_USEC_PER_SEC);
  close (state.fd);
  guest_end (&guest);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/state/save-scramble-restore-continue", test_save_scramble_restore_continue);
  g_test_add_func ("/state/saving-twice-gives-the-same", test_saving_twice_gives_the_same);
  g_test_add_func ("/state/memory-behind-the-ram", test_memory_behind_the_ram);
  g_test_add_func ("/state/cut-at-any-length", test_cut_at_any_length);
  g_test_add_func ("/state/flipped-bytes", test_flipped_bytes);
  g_test_add_func ("/state/forged-with-a-right-digest", test_forged_with_a_right_digest);
  g_test_add_func ("/state/other-hardware-is-refused", test_other_hardware_is_refused);
  g_test_add_func ("/state/speed", test_speed);
  return g_test_run ();
}

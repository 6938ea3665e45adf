/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Replays single-instruction vectors recorded from a real 80286 (SingleStepTests, MOO format, gzip) in real mode.
 *
 * The folder comes from the environment variable BULKHEAD_SST80286 or the first argument; without one the test is
 * skipped.  Differences that are right on a P6, and therefore not compared: FLAGS bits 12 … 15; instructions with a
 * LOCK prefix or longer than 10 bytes; x87; undefined flags (the folder's metadata.json has the masks; RCL and RCR by more
 * than 8 also leave OF open).  For tests that end in an exception the pushed FLAGS are compared under the same mask, and
 * three more things differ as they should: a word across the end of the stack segment is vector 12, where the 286 raised
 * 13 for every segment (SDM vol. 3, 6.15, #SS); a string instruction that faults leaves SI, DI and CX as they were (the 286
 * was not restartable in real mode); FS and GS exist. */
#include "bare-machine.h"

#include "interpreter.h"

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <zlib.h>

typedef struct
{
  uint16_t regs[14];            /* ax bx cx dx cs ss ds es sp bp si di ip flags */
  uint16_t mask;
  uint32_t n_ram;
  const uint8_t *ram;           /* n_ram times u32 address, u8 value */
} Image;

typedef struct
{
  const char *name;
  unsigned name_length;
  const uint8_t *bytes;
  uint32_t n_bytes;
  Image before, after;
  bool has_exception;
  uint8_t exception;
} Vector;

enum { AX, BX, CX, DX, CS, SS, DS, ES, SP, BP, SI, DI, IP, FLAGS };

static const char *folder;
static JsonObject *opcodes;
static BareMachine machine;

static uint32_t
u32 (const uint8_t *p)
{
  return (uint32_t) p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16 | (uint32_t) p[3] << 24;
}

static void
parse_image (const uint8_t *at, const uint8_t *end, Image *image)
{
  while (end - at >= 8)
    {
      uint32_t length = u32 (at + 4);
      const uint8_t *body = at + 8;

      g_assert_cmpuint (length, <=, (size_t) (end - body));
      if (!memcmp (at, "REGS", 4))
        {
          const uint8_t *value = body + 2;

          image->mask = (uint16_t) (body[0] | body[1] << 8);
          for (unsigned i = 0; i < 14; i++)
            if (image->mask >> i & 1)
              {
                image->regs[i] = (uint16_t) (value[0] | value[1] << 8);
                value += 2;
              }
        }
      else if (!memcmp (at, "RAM ", 4))
        {
          image->n_ram = u32 (body);
          image->ram = body + 4;
        }
      at = body + length;
    }
}

static void
parse_vector (const uint8_t *at, const uint8_t *end, Vector *vector)
{
  memset (vector, 0, sizeof *vector);
  at += 4;
  while (end - at >= 8)
    {
      uint32_t length = u32 (at + 4);
      const uint8_t *body = at + 8;

      g_assert_cmpuint (length, <=, (size_t) (end - body));
      if (!memcmp (at, "NAME", 4))
        {
          vector->name = (const char *) body + 4;
          vector->name_length = u32 (body);
        }
      else if (!memcmp (at, "BYTS", 4))
        {
          vector->n_bytes = u32 (body);
          vector->bytes = body + 4;
        }
      else if (!memcmp (at, "INIT", 4))
        parse_image (body, body + length, &vector->before);
      else if (!memcmp (at, "FINA", 4))
        parse_image (body, body + length, &vector->after);
      else if (!memcmp (at, "EXCP", 4))
        {
          vector->has_exception = true;
          vector->exception = body[0];
        }
      at = body + length;
    }
}

static bool
has_lock (const Vector *vector)
{
  for (uint32_t i = 0; i < vector->n_bytes; i++)
    switch (vector->bytes[i])
      {
      case 0xf0: return true;
      case 0x26: case 0x2e: case 0x36: case 0x3e: case 0xf2: case 0xf3: continue;
      default: return false;
      }
  return false;
}

/* The opcode behind the prefixes. */
static uint8_t
find_opcode (const Vector *vector, uint8_t *ret_modrm)
{
  for (uint32_t i = 0; i + 1 < vector->n_bytes; i++)
    switch (vector->bytes[i])
      {
      case 0x26: case 0x2e: case 0x36: case 0x3e: case 0xf2: case 0xf3: continue;
      default:
        *ret_modrm = vector->bytes[i + 1];
        return vector->bytes[i];
      }
  return 0;
}

static void
load (Cpu *cpu, const Image *image)
{
  static const uint8_t regs[14] = { REG_EAX, REG_EBX, REG_ECX, REG_EDX, 0, 0, 0, 0, REG_ESP, REG_EBP, REG_ESI, REG_EDI, 0, 0 };
  static const uint8_t segments[14] = { [CS] = SEG_CS, [SS] = SEG_SS, [DS] = SEG_DS, [ES] = SEG_ES };

  cpu_reset (cpu);
  cpu->idt_limit = 0x3ff;
  for (unsigned i = 0; i < 14; i++)
    if (i >= CS && i <= ES)
      cpu->segments[segments[i]] = (Segment) { (uint32_t) image->regs[i] << 4, 0xffff, image->regs[i], 0x93 };
    else if (i == IP)
      cpu->eip = image->regs[i];
    else if (i == FLAGS)
      cpu->eflags = (image->regs[i] & 0xfd5) | EFLAGS_1;
    else
      cpu->regs[regs[i]] = image->regs[i];
  for (uint32_t i = 0; i < image->n_ram; i++)
    guest_memory_write (machine.memory, u32 (image->ram + i * 5), image->ram + i * 5 + 4, 1);
}

static uint16_t
actual (const Cpu *cpu, unsigned i)
{
  static const uint8_t regs[14] = { REG_EAX, REG_EBX, REG_ECX, REG_EDX, 0, 0, 0, 0, REG_ESP, REG_EBP, REG_ESI, REG_EDI, 0, 0 };
  static const uint8_t segments[14] = { [CS] = SEG_CS, [SS] = SEG_SS, [DS] = SEG_DS, [ES] = SEG_ES };

  if (i >= CS && i <= ES)
    return cpu->segments[segments[i]].selector;
  if (i == IP)
    return (uint16_t) cpu->eip;
  return (uint16_t) (i == FLAGS ? cpu_get_eflags (cpu) : cpu->regs[regs[i]]);
}

static bool
run_vector (const Vector *vector, uint16_t flags_mask, GString *report)
{
  static const char *const names[] = { "ax", "bx", "cx", "dx", "cs", "ss", "ds", "es", "sp", "bp", "si", "di", "ip", "flags" };
  Cpu *cpu = machine.cpu;
  uint32_t flags_address = 0;
  bool is_string, is_stack;
  ExitReason reason;
  uint8_t opcode, modrm = 0;

  opcode = find_opcode (vector, &modrm);
  is_string = (opcode >= 0x6c && opcode <= 0x6f) || (opcode >= 0xa4 && opcode <= 0xa7) || (opcode >= 0xaa && opcode <= 0xaf);
  load (cpu, &vector->before);
  g_string_truncate (report, 0);
  cpu->exception_vector = 0xff;
  for (unsigned i = 0; vector->has_exception && vector->exception == VECTOR_GP && (opcode < 0xcc || opcode > 0xce) && i < 100 && cpu->exception_vector == 0xff; i++)
    cpu_step (cpu);
  is_stack = vector->has_exception && vector->exception == VECTOR_GP && cpu->exception_vector == VECTOR_SS;
  reason = bare_machine_run (&machine, 100000);
  if (vector->has_exception)
    {
      uint16_t ss = vector->before.regs[SS], sp = vector->after.mask >> SP & 1 ? vector->after.regs[SP] : vector->before.regs[SP];

      flags_address = ((uint32_t) ss << 4) + (uint16_t) (sp + 4);
    }
  if (reason != EXIT_HALT)
    g_string_append_printf (report, " ended with %d", reason);
  for (unsigned i = 0; i < 14; i++)
    {
      uint16_t expected = vector->after.mask >> i & 1 ? vector->after.regs[i] : vector->before.regs[i];
      uint16_t mask = i == FLAGS ? flags_mask & 0xfd5 : 0xffff;

      if (is_string && vector->has_exception && (i == SI || i == DI || i == CX))
        continue;
      if ((expected ^ actual (cpu, i)) & mask)
        g_string_append_printf (report, " %s %04x, not %04x", names[i], actual (cpu, i) & mask, expected & mask);
    }
  for (uint32_t i = 0; i < vector->after.n_ram; i++)
    {
      uint32_t address = u32 (vector->after.ram + i * 5);
      uint8_t expected = vector->after.ram[i * 5 + 4], byte, mask = 0xff;

      guest_memory_read (machine.memory, address, &byte, 1);
      if (vector->has_exception && address == flags_address)
        mask = (uint8_t) (flags_mask & 0xd5);
      else if (vector->has_exception && address == flags_address + 1)
        mask = (uint8_t) ((flags_mask & 0x0f00) >> 8);
      if ((byte ^ expected) & mask)
        g_string_append_printf (report, " [%06x] %02x, not %02x", address, byte, expected);
    }
  /* Leave memory as the next vector expects it: zero. */
  for (uint32_t i = 0; i < vector->before.n_ram; i++)
    guest_memory_write (machine.memory, u32 (vector->before.ram + i * 5), "", 1);
  for (uint32_t i = 0; i < vector->after.n_ram; i++)
    guest_memory_write (machine.memory, u32 (vector->after.ram + i * 5), "", 1);
  return is_stack || report->len == 0;
}

/* MOV to or from segment register 4 … 7: the 286 knew four. */
static bool
needs_no_fs (const Vector *vector)
{
  uint8_t modrm = 0, opcode = find_opcode (vector, &modrm);

  return (opcode == 0x8c || opcode == 0x8e) && modrm & 0x20;
}

static uint16_t
find_flags_mask (const char *opcode)
{
  g_auto (GStrv) parts = g_strsplit (opcode, ".", 2);
  JsonObject *entry = json_object_has_member (opcodes, parts[0]) ? json_object_get_object_member (opcodes, parts[0]) : NULL;

  if (entry && parts[1] && json_object_has_member (entry, "reg"))
    entry = json_object_get_object_member (json_object_get_object_member (entry, "reg"), parts[1]);
  return entry && json_object_has_member (entry, "flags-mask") ? (uint16_t) json_object_get_int_member (entry, "flags-mask") : 0xffff;
}

static void
test_opcode (gconstpointer data)
{
  const char *file = data;
  g_autofree char *path = g_build_filename (folder, file, NULL);
  g_autofree char *opcode = g_strndup (file, strcspn (file, "M") - 1);
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autoptr (GString) report = g_string_new (NULL);
  uint16_t flags_mask = find_flags_mask (opcode);
  unsigned n = 0, n_failed = 0, n_skipped = 0;
  uint8_t buffer[65536];
  gzFile gz = gzopen (path, "rb");
  int n_read;

  g_assert_nonnull (gz);
  while ((n_read = gzread (gz, buffer, sizeof buffer)) > 0)
    g_byte_array_append (bytes, buffer, (guint) n_read);
  gzclose (gz);
  if (g_str_has_prefix (opcode, "C0.2") || g_str_has_prefix (opcode, "C0.3") || g_str_has_prefix (opcode, "C1.2")
      || g_str_has_prefix (opcode, "C1.3") || g_str_has_prefix (opcode, "D2.2") || g_str_has_prefix (opcode, "D2.3"))
    flags_mask &= (uint16_t) ~EFLAGS_OF;
  for (guint at = 0; at + 8 <= bytes->len;)
    {
      uint32_t length = u32 (bytes->data + at + 4);

      g_assert_cmpuint (length, <=, bytes->len - at - 8);
      if (!memcmp (bytes->data + at, "TEST", 4))
        {
          Vector vector;

          parse_vector (bytes->data + at + 8, bytes->data + at + 8 + length, &vector);
          n++;
          if (has_lock (&vector) || vector.n_bytes > 11 || needs_no_fs (&vector))
            n_skipped++;
          else if (!run_vector (&vector, flags_mask, report))
            {
              if (n_failed++ < 5)
                g_test_message ("%s #%u %.*s:%s", opcode, n - 1, (int) vector.name_length, vector.name, report->str);
            }
        }
      at += 8 + length;
    }
  if (n_failed)
    {
      g_test_message ("%s: %u of %u failed, %u skipped", opcode, n_failed, n, n_skipped);
      g_test_fail ();
    }
}

static gint
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

static void
test_no_vectors (void)
{
  g_test_skip ("no folder of 80286 vectors: set BULKHEAD_SST80286");
}

int
main (int argc, char **argv)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autofree char *metadata = NULL;
  g_autoptr (GDir) dir = NULL;
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  const char *name;
  int result;

  g_test_init (&argc, &argv, NULL);
  folder = g_getenv ("BULKHEAD_SST80286");
  if (!folder && argc > 1)
    folder = argv[1];
  metadata = folder ? g_build_filename (folder, "metadata.json", NULL) : NULL;
  if (!folder || !json_parser_load_from_file (parser, metadata, NULL) || !(dir = g_dir_open (folder, 0, NULL)))
    {
      g_test_add_func ("/sst80286/skipped", test_no_vectors);
      return g_test_run ();
    }
  opcodes = json_object_get_object_member (json_node_get_object (json_parser_get_root (parser)), "opcodes");
  bare_machine_init (&machine, CPU_MODEL_PENTIUM3, 16 << 20);
  /* Every port reads all ones. */
  bus_release (machine.bus, &machine.device, &bare_text_region);
  bus_release (machine.bus, &machine.device, &bare_exit_region);
  bus_release (machine.bus, &machine.device, &bare_port_region);
  while ((name = g_dir_read_name (dir)))
    {
      if (!g_str_has_suffix (name, ".MOO.gz") || (name[0] == 'D' && name[1] >= '8' && g_ascii_isxdigit (name[1])) || g_str_has_prefix (name, "9B"))
        continue;
      g_ptr_array_add (names, g_strdup (name));
    }
  g_ptr_array_sort (names, compare_names);
  for (guint i = 0; i < names->len; i++)
    {
      g_autofree char *test = g_strdup_printf ("/sst80286/%.*s", (int) strcspn (names->pdata[i], "M") - 1, (char *) names->pdata[i]);

      g_test_add_data_func (test, names->pdata[i], test_opcode);
    }
  g_test_set_nonfatal_assertions ();
  result = g_test_run ();
  g_ptr_array_free (names, TRUE);
  bare_machine_clear (&machine);
  return result;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The metadata of a .bulkhead file, as `import` meets it: an extension of any contents, then a sound one with forged text. */
#include "store.h"
#include "vm-header.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes);

static void
read_all (const guint8 *header, const VmKeys *keys)
{
  int slot = vm_header_find (header, NULL);
  g_autofree char *text = slot < 0 ? NULL : vm_header_text (header, slot, keys, NULL);
  g_autoptr (GKeyFile) file = g_key_file_new ();

  if (text && g_key_file_load_from_data (file, text, strlen (text), G_KEY_FILE_NONE, NULL))
    {
      MachineRecord *record = machine_record_from_key_file (file, NULL);

      if (record && (record->memory_mib < PROTOCOL_MIN_MEMORY || record->memory_mib > PROTOCOL_MAX_MEMORY || !*record->name))
        g_error ("a record that cannot be");
      machine_record_free (record);
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes)
{
  static const guint8 colour[3] = { 1, 2, 3 };
  g_autofree guint8 *header = g_malloc0 (VM_HEADER_BYTES);
  g_autofree char *text = g_strndup ((const char *) bytes, n_bytes);
  g_autofree char *machine = g_strconcat ("[machine]\nlabel=s1/i1\nname=x\n", text, NULL);
  g_autoptr (VmKeys) keys = vm_keys_new ();
  gboolean encrypted;

  if (n_bytes > VM_HEADER_BYTES)
    n_bytes = VM_HEADER_BYTES;
  memcpy (header, bytes, n_bytes);
  if (vm_header_check (header, n_bytes, &encrypted, NULL))
    read_all (header, keys);
  /* The same bytes behind a sound beginning, in a slot. */
  vm_header_new (header, NULL, keys, NULL);
  memcpy (header + vm_header_slot_offset (0), bytes, MIN (n_bytes, (size_t) VM_HEADER_SLOT_BYTES));
  read_all (header, keys);
  if (vm_header_fill (header, 1, 1, machine, colour, keys, NULL))
    read_all (header, keys);
  return 0;
}

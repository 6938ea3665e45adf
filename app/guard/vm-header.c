/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vm-header.h"

#include <gcrypt.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <zlib.h>

/* The head.  All numbers are little-endian. */
enum
{
  HEAD_MAGIC = 0, HEAD_VERSION = 16, HEAD_FLAGS = 20, HEAD_PASSES = 24, HEAD_MEMORY_KIB = 28, HEAD_SALT = 32, HEAD_WRAPPED = 48,
  HEAD_END = 88,
  MAGIC_BYTES = 16, SALT_BYTES = 16, WRAPPED_BYTES = VM_HEADER_KEY_BYTES + 8, VERSION = 1, FLAG_ENCRYPTED = 1,
};

/* A slot. */
enum
{
  SLOT_DIGEST = 0, SLOT_SEAL = 32, SLOT_GENERATION = 64, SLOT_LENGTH = 72, SLOT_COLOUR = 76, SLOT_NONCE = 80, SLOT_PAYLOAD = 96,
  NONCE_BYTES = 16, MAX_PAYLOAD = VM_HEADER_SLOT_BYTES - SLOT_PAYLOAD,
  /* In the payload: length of the text, length packed, packed text, zeros up to a multiple of this, which hides the rest
   * of the length. */
  INNER_BYTES = 8, PAYLOAD_STEP = 512,
};

/* Argon2id.  The upper ends bound what a file made by somebody else can cost. */
enum { PASSES = 4, MEMORY_KIB = 65536, MAX_PASSES = 16, MAX_MEMORY_KIB = 262144 };

static const char head_magic[MAGIC_BYTES + 1] = "Bulkhead VM file";

_Static_assert ((int) HEAD_END <= (int) VM_HEADER_HEAD_BYTES, "layout");

static guint32
get32 (const guint8 *at)
{
  guint32 value;

  memcpy (&value, at, sizeof value);
  return GUINT32_FROM_LE (value);
}

static void
put32 (guint8 *at, guint32 value)
{
  value = GUINT32_TO_LE (value);
  memcpy (at, &value, sizeof value);
}

static gboolean G_GNUC_PRINTF (2, 3)
fail (GError **error, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list arguments;

  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error_literal (error, GUARD_ERROR, GUARD_ERROR_FAILED, text);
  return FALSE;
}

/* ------------------------------------------------------------------------------------------------ keys */

VmKeys *
vm_keys_new (void)
{
  void *page = mmap (NULL, sizeof (VmKeys), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  if (page == MAP_FAILED)
    g_error ("out of memory");
  /* A user without a right to locked memory gets the rest of the protection. */
  mlock (page, sizeof (VmKeys));
  madvise (page, sizeof (VmKeys), MADV_DONTDUMP);
  return page;
}

void
vm_keys_free (VmKeys *keys)
{
  if (!keys)
    return;
  explicit_bzero (keys, sizeof *keys);
  munmap (keys, sizeof *keys);
}

void
vm_header_plain_key (const guint8 guard_key[SEAL_BYTES], VmKeys *ret_keys)
{
  files_seal (guard_key, ret_keys->meta, "vm-file", (gsize) 7, NULL);
}

static gboolean
stretch (GBytes *passphrase, const guint8 *salt, guint32 passes, guint32 memory_kib, guint8 ret_key[VM_HEADER_KEY_BYTES],
         GError **error)
{
  const unsigned long parameters[] = { VM_HEADER_KEY_BYTES, passes, memory_kib, 1 };
  gcry_error_t failed;
  gcry_kdf_hd_t kdf;

  failed = gcry_kdf_open (&kdf, GCRY_KDF_ARGON2, GCRY_KDF_ARGON2ID, parameters, G_N_ELEMENTS (parameters),
                          g_bytes_get_data (passphrase, NULL), g_bytes_get_size (passphrase), salt, SALT_BYTES, NULL, 0, NULL, 0);
  if (!failed)
    {
      failed = gcry_kdf_compute (kdf, NULL);
      if (!failed)
        failed = gcry_kdf_final (kdf, VM_HEADER_KEY_BYTES, ret_key);
      gcry_kdf_close (kdf);
    }
  return !failed || fail (error, "the passphrase cannot be worked on: Argon2id: %s", gcry_strerror (failed));
}

/* RFC 3394 key wrap: unwrapping with a wrong key is noticed. */
static gcry_error_t
wrap (const guint8 *by, gboolean encrypt, const guint8 *from, gsize n_from, guint8 *to, gsize n_to)
{
  gcry_cipher_hd_t cipher;
  gcry_error_t failed = gcry_cipher_open (&cipher, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_AESWRAP, 0);

  if (failed)
    return failed;
  failed = gcry_cipher_setkey (cipher, by, VM_HEADER_KEY_BYTES);
  if (!failed)
    failed = encrypt ? gcry_cipher_encrypt (cipher, to, n_to, from, n_from) : gcry_cipher_decrypt (cipher, to, n_to, from, n_from);
  gcry_cipher_close (cipher);
  return failed;
}

gboolean
vm_header_new (guint8 bytes[VM_HEADER_BYTES], GBytes *passphrase, VmKeys *keys, GError **error)
{
  guint8 key[VM_HEADER_KEY_BYTES];
  gcry_error_t failed;

  memset (bytes, 0, VM_HEADER_BYTES);
  memcpy (bytes + HEAD_MAGIC, head_magic, MAGIC_BYTES);
  put32 (bytes + HEAD_VERSION, VERSION);
  if (!passphrase)
    return TRUE;
  put32 (bytes + HEAD_FLAGS, FLAG_ENCRYPTED);
  put32 (bytes + HEAD_PASSES, PASSES);
  put32 (bytes + HEAD_MEMORY_KIB, MEMORY_KIB);
  if (getrandom (bytes + HEAD_SALT, SALT_BYTES, 0) != SALT_BYTES
      || getrandom (keys->meta, sizeof keys->meta, 0) != sizeof keys->meta)
    return fail (error, "no random bytes");
  if (!stretch (passphrase, bytes + HEAD_SALT, PASSES, MEMORY_KIB, key, error))
    return FALSE;
  failed = wrap (key, TRUE, keys->meta, sizeof keys->meta, bytes + HEAD_WRAPPED, WRAPPED_BYTES);
  explicit_bzero (key, sizeof key);
  return !failed || fail (error, "the key cannot be wrapped: %s", gcry_strerror (failed));
}

gboolean
vm_header_check (const guint8 *bytes, gsize n_bytes, gboolean *ret_encrypted, GError **error)
{
  if (n_bytes != VM_HEADER_BYTES || memcmp (bytes + HEAD_MAGIC, head_magic, MAGIC_BYTES) != 0)
    return fail (error, "it is no Bulkhead VM file");
  if (get32 (bytes + HEAD_VERSION) != VERSION || get32 (bytes + HEAD_FLAGS) & ~(guint32) FLAG_ENCRYPTED)
    return fail (error, "it was made by another version of Bulkhead");
  *ret_encrypted = get32 (bytes + HEAD_FLAGS) & FLAG_ENCRYPTED;
  return TRUE;
}

gboolean
vm_header_unlock (const guint8 bytes[VM_HEADER_BYTES], GBytes *passphrase, VmKeys *keys, GError **error)
{
  guint32 passes = get32 (bytes + HEAD_PASSES), memory_kib = get32 (bytes + HEAD_MEMORY_KIB);
  guint8 key[VM_HEADER_KEY_BYTES];
  gcry_error_t failed;

  if (passes < 1 || passes > MAX_PASSES || memory_kib < 8 || memory_kib > MAX_MEMORY_KIB)
    return fail (error, "its header is damaged");
  if (!stretch (passphrase, bytes + HEAD_SALT, passes, memory_kib, key, error))
    return FALSE;
  failed = wrap (key, FALSE, bytes + HEAD_WRAPPED, WRAPPED_BYTES, keys->meta, sizeof keys->meta);
  explicit_bzero (key, sizeof key);
  if (!failed)
    return TRUE;
  explicit_bzero (keys->meta, sizeof keys->meta);
  return fail (error, "the passphrase is wrong");
}

/* ------------------------------------------------------------------------------------------------ slots */

gsize
vm_header_slot_offset (int slot)
{
  return VM_HEADER_HEAD_BYTES + (gsize) slot * VM_HEADER_SLOT_BYTES;
}

static const guint8 *
slot_at (const guint8 *bytes, int slot)
{
  return bytes + vm_header_slot_offset (slot);
}

static gsize
sealed_length (const guint8 *slot)
{
  return SLOT_PAYLOAD - SLOT_GENERATION + get32 (slot + SLOT_LENGTH);
}

static void
plain_digest (const guint8 *bytes, const guint8 *slot, guint8 ret_digest[VM_HEADER_DIGEST_BYTES])
{
  gcry_md_hd_t hash;

  if (gcry_md_open (&hash, GCRY_MD_SHA256, 0))
    g_error ("libgcrypt has no SHA-256");
  gcry_md_write (hash, bytes, VM_HEADER_HEAD_BYTES);
  gcry_md_write (hash, slot + SLOT_SEAL, VM_HEADER_DIGEST_BYTES);
  gcry_md_write (hash, slot + SLOT_GENERATION, sealed_length (slot));
  memcpy (ret_digest, gcry_md_read (hash, 0), VM_HEADER_DIGEST_BYTES);
  gcry_md_close (hash);
}

static void
keyed_digest (const guint8 *bytes, const guint8 *slot, const VmKeys *keys, guint8 ret_seal[SEAL_BYTES])
{
  guint8 key[SEAL_BYTES];

  files_seal (keys->meta, key, "seal", (gsize) 4, NULL);
  files_seal (key, ret_seal, bytes, (gsize) VM_HEADER_HEAD_BYTES, slot + SLOT_GENERATION, sealed_length (slot), NULL);
  explicit_bzero (key, sizeof key);
}

static gboolean
is_sound (const guint8 *bytes, const guint8 *slot)
{
  guint8 digest[VM_HEADER_DIGEST_BYTES];

  if (get32 (slot + SLOT_LENGTH) > MAX_PAYLOAD || get32 (slot + SLOT_LENGTH) < INNER_BYTES)
    return FALSE;
  plain_digest (bytes, slot, digest);
  return memcmp (digest, slot + SLOT_DIGEST, sizeof digest) == 0;
}

guint64
vm_header_generation (const guint8 bytes[VM_HEADER_BYTES], int slot)
{
  guint64 value;

  memcpy (&value, slot_at (bytes, slot) + SLOT_GENERATION, sizeof value);
  return GUINT64_FROM_LE (value);
}

void
vm_header_digest (const guint8 bytes[VM_HEADER_BYTES], int slot, guint8 ret_digest[VM_HEADER_DIGEST_BYTES])
{
  memcpy (ret_digest, slot_at (bytes, slot) + SLOT_DIGEST, VM_HEADER_DIGEST_BYTES);
}

int
vm_header_find (const guint8 bytes[VM_HEADER_BYTES], const guint8 *digest)
{
  int found = -1;

  for (int i = 0; i < VM_HEADER_N_SLOTS; i++)
    {
      const guint8 *slot = slot_at (bytes, i);

      if (!is_sound (bytes, slot) || (digest && memcmp (slot + SLOT_DIGEST, digest, VM_HEADER_DIGEST_BYTES) != 0))
        continue;
      if (found < 0 || vm_header_generation (bytes, i) > vm_header_generation (bytes, found))
        found = i;
    }
  return found;
}

gboolean
vm_header_is_sealed (const guint8 bytes[VM_HEADER_BYTES], int index, const VmKeys *keys)
{
  const guint8 *slot = slot_at (bytes, index);
  guint8 seal[SEAL_BYTES], difference = 0;

  keyed_digest (bytes, slot, keys, seal);
  for (gsize i = 0; i < sizeof seal; i++)
    difference |= seal[i] ^ slot[SLOT_SEAL + i];
  return difference == 0;
}

/* In place, both ways.  The nonce is random and the key only this file's. */
static gboolean
crypt_payload (const VmKeys *keys, const guint8 *nonce, guint8 *payload, gsize n_bytes, GError **error)
{
  gcry_cipher_hd_t cipher;
  guint8 key[SEAL_BYTES];
  gcry_error_t failed = gcry_cipher_open (&cipher, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_CTR, 0);

  if (!failed)
    {
      files_seal (keys->meta, key, "cipher", (gsize) 6, NULL);
      failed = gcry_cipher_setkey (cipher, key, sizeof key);
      explicit_bzero (key, sizeof key);
      if (!failed)
        failed = gcry_cipher_setctr (cipher, nonce, NONCE_BYTES);
      if (!failed)
        failed = gcry_cipher_encrypt (cipher, payload, n_bytes, NULL, 0);
      gcry_cipher_close (cipher);
    }
  return !failed || fail (error, "the header cannot be encrypted: %s", gcry_strerror (failed));
}

char *
vm_header_text (const guint8 bytes[VM_HEADER_BYTES], int index, const VmKeys *keys, GError **error)
{
  const guint8 *slot = slot_at (bytes, index);
  gsize n_payload = get32 (slot + SLOT_LENGTH);
  g_autofree guint8 *payload = g_memdup2 (slot + SLOT_PAYLOAD, n_payload);
  g_autofree char *text = NULL;
  guint32 n_text, n_packed;
  uLongf n;

  if (get32 (bytes + HEAD_FLAGS) & FLAG_ENCRYPTED && !crypt_payload (keys, slot + SLOT_NONCE, payload, n_payload, error))
    return NULL;
  n_text = get32 (payload);
  n_packed = get32 (payload + 4);
  text = n_text <= VM_HEADER_MAX_TEXT && n_packed <= n_payload - INNER_BYTES ? g_malloc (n_text + 1) : NULL;
  n = n_text;
  if (!text || uncompress ((Bytef *) text, &n, payload + INNER_BYTES, n_packed) != Z_OK || n != n_text || memchr (text, 0, n))
    {
      fail (error, "its header is damaged");
      return NULL;
    }
  text[n] = '\0';
  return g_steal_pointer (&text);
}

gboolean
vm_header_fill (guint8 bytes[VM_HEADER_BYTES], int index, guint64 generation, const char *text, const guint8 colour[3],
                const VmKeys *keys, GError **error)
{
  guint8 *slot = bytes + vm_header_slot_offset (index);
  gsize n_text = strlen (text), n_payload;
  uLongf n_packed = compressBound (n_text);
  g_autofree guint8 *packed = g_malloc (n_packed);

  if (n_text > VM_HEADER_MAX_TEXT || compress2 (packed, &n_packed, (const Bytef *) text, n_text, 9) != Z_OK
      || n_packed > MAX_PAYLOAD - INNER_BYTES)
    return fail (error, "the machine's description and its list of snapshots do not fit the file's header: delete snapshots or "
                        "shorten their notes");
  n_payload = (INNER_BYTES + n_packed + PAYLOAD_STEP - 1) / PAYLOAD_STEP * PAYLOAD_STEP;
  n_payload = MIN (n_payload, (gsize) MAX_PAYLOAD);
  memset (slot, 0, VM_HEADER_SLOT_BYTES);
  generation = GUINT64_TO_LE (generation);
  memcpy (slot + SLOT_GENERATION, &generation, sizeof generation);
  put32 (slot + SLOT_LENGTH, (guint32) n_payload);
  memcpy (slot + SLOT_COLOUR, colour, 3);
  put32 (slot + SLOT_PAYLOAD, (guint32) n_text);
  put32 (slot + SLOT_PAYLOAD + 4, (guint32) n_packed);
  memcpy (slot + SLOT_PAYLOAD + INNER_BYTES, packed, n_packed);
  explicit_bzero (packed, n_packed);
  if (get32 (bytes + HEAD_FLAGS) & FLAG_ENCRYPTED)
    {
      if (getrandom (slot + SLOT_NONCE, NONCE_BYTES, 0) != NONCE_BYTES)
        return fail (error, "no random bytes");
      if (!crypt_payload (keys, slot + SLOT_NONCE, slot + SLOT_PAYLOAD, n_payload, error))
        return FALSE;
    }
  keyed_digest (bytes, slot, keys, slot + SLOT_SEAL);
  plain_digest (bytes, slot, slot + SLOT_DIGEST);
  return TRUE;
}

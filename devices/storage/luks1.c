/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "luks1.h"

#include <errno.h>
#include <gcrypt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Offsets inside the header, specification figure 1 and 2. */
enum
{
  AT_MAGIC = 0, AT_VERSION = 6, AT_CIPHER = 8, AT_MODE = 40, AT_HASH = 72, AT_PAYLOAD = 104, AT_KEY_BYTES = 108, AT_DIGEST = 112,
  AT_DIGEST_SALT = 132, AT_DIGEST_ITERATIONS = 164, AT_UUID = 168, AT_SLOTS = 208, N_SLOT = 48,
  SLOT_STATE = 0, SLOT_ITERATIONS = 4, SLOT_SALT = 8, SLOT_MATERIAL = 40, SLOT_STRIPES = 44,
  N_DIGEST = 20, N_SALT = 32
};

#define SLOT_ENABLED  0x00ac71f3u
#define SLOT_DISABLED 0x0000deadu
#define N_MATERIAL    (LUKS1_KEY_BYTES * LUKS1_STRIPES)
#define MIN_ITERATIONS 1000u

static const uint8_t magic[6] = { 'L', 'U', 'K', 'S', 0xba, 0xbe };

struct Luks1Cipher
{
  gcry_cipher_hd_t handle;
};

static uint32_t
get32 (const uint8_t *at)
{
  return (uint32_t) at[0] << 24 | (uint32_t) at[1] << 16 | (uint32_t) at[2] << 8 | at[3];
}

static void
put32 (uint8_t *at, uint32_t value)
{
  at[0] = (uint8_t) (value >> 24);
  at[1] = (uint8_t) (value >> 16);
  at[2] = (uint8_t) (value >> 8);
  at[3] = (uint8_t) value;
}

void
luks1_prepare (void)
{
  if (gcry_control (GCRYCTL_INITIALIZATION_FINISHED_P))
    return;
  gcry_check_version (NULL);
  gcry_control (GCRYCTL_DISABLE_SECMEM, 0);
  gcry_control (GCRYCTL_INITIALIZATION_FINISHED, 0);
}

/* --- the payload cipher -------------------------------------------------------------------------------------------- */

Luks1Cipher *
luks1_cipher_new (const uint8_t key[LUKS1_KEY_BYTES])
{
  Luks1Cipher *self;

  luks1_prepare ();
  self = calloc (1, sizeof *self);
  if (!self)
    return NULL;
  if (gcry_cipher_open (&self->handle, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_XTS, 0)
      || gcry_cipher_setkey (self->handle, key, LUKS1_KEY_BYTES))
    {
      luks1_cipher_free (self);
      return NULL;
    }
  return self;
}

void
luks1_cipher_free (Luks1Cipher *self)
{
  if (self && self->handle)
    gcry_cipher_close (self->handle);
  free (self);
}

/* plain64: the sector number, little-endian, in the first half of the tweak. */
static int
set_sector (Luks1Cipher *self, uint64_t sector)
{
  uint8_t tweak[16] = { 0 };

  for (unsigned i = 0; i < 8; i++)
    tweak[i] = (uint8_t) (sector >> 8 * i);
  return gcry_cipher_setiv (self->handle, tweak, sizeof tweak) ? -EIO : 0;
}

int
luks1_encrypt (Luks1Cipher *self, uint64_t sector, const uint8_t *bytes, uint8_t *ret_bytes, size_t n_bytes)
{
  for (size_t at = 0; at < n_bytes; at += 512, sector++)
    if (set_sector (self, sector) < 0 || gcry_cipher_encrypt (self->handle, ret_bytes + at, 512, bytes + at, 512))
      return -EIO;
  return 0;
}

int
luks1_decrypt (Luks1Cipher *self, uint64_t sector, uint8_t *bytes, size_t n_bytes)
{
  for (size_t at = 0; at < n_bytes; at += 512, sector++)
    if (set_sector (self, sector) < 0 || gcry_cipher_decrypt (self->handle, bytes + at, 512, NULL, 0))
      return -EIO;
  return 0;
}

/* --- hashes ---------------------------------------------------------------------------------------------------------- */

static int
hash_of (const Luks1 *self)
{
  const char *name = (const char *) self->phdr + AT_HASH;

  return strcmp (name, "sha256") == 0 ? GCRY_MD_SHA256 : strcmp (name, "sha1") == 0 ? GCRY_MD_SHA1
         : strcmp (name, "sha512") == 0 ? GCRY_MD_SHA512 : 0;
}

static int
derive (int hash, const void *secret, size_t n_secret, const uint8_t *salt, uint32_t iterations, uint8_t *ret, size_t n_ret)
{
  /* libgcrypt refuses an empty passphrase; so do we. */
  return n_secret == 0 || gcry_kdf_derive (secret, n_secret, GCRY_KDF_PBKDF2, hash, salt, N_SALT, iterations, n_ret, ret)
         ? -EINVAL : 0;
}

/* How many iterations for n_ret bytes take that long here. */
static uint32_t
iterations_for (unsigned ms, size_t n_ret)
{
  uint8_t salt[N_SALT] = { 0 }, out[LUKS1_KEY_BYTES];

  for (uint32_t n = MIN_ITERATIONS; ; n *= 2)
    {
      struct timespec begin, end;
      double spent;

      clock_gettime (CLOCK_THREAD_CPUTIME_ID, &begin);
      if (derive (GCRY_MD_SHA256, "passphrase", 10, salt, n, out, n_ret) < 0)
        return MIN_ITERATIONS;
      clock_gettime (CLOCK_THREAD_CPUTIME_ID, &end);
      spent = (double) (end.tv_sec - begin.tv_sec) * 1e3 + (double) (end.tv_nsec - begin.tv_nsec) / 1e6;
      if (spent >= ms || n >= LUKS1_MAX_ITERATIONS / 2)
        return n;
      if (spent >= 20)
        {
          double wanted = n * (ms / spent);

          return wanted > LUKS1_MAX_ITERATIONS ? LUKS1_MAX_ITERATIONS : (uint32_t) wanted;
        }
    }
}

/* The diffuser of the anti-forensic splitter: every hash-sized piece is hashed with its number (specification 2.4). */
static void
diffuse (int hash, uint8_t block[LUKS1_KEY_BYTES])
{
  size_t n_hash = gcry_md_get_algo_dlen (hash);
  uint8_t work[4 + LUKS1_KEY_BYTES], digest[64];

  for (size_t at = 0, i = 0; at < LUKS1_KEY_BYTES; at += n_hash, i++)
    {
      size_t n = LUKS1_KEY_BYTES - at < n_hash ? LUKS1_KEY_BYTES - at : n_hash;

      put32 (work, (uint32_t) i);
      memcpy (work + 4, block + at, n);
      gcry_md_hash_buffer (hash, digest, work, 4 + n);
      memcpy (block + at, digest, n);
    }
  explicit_bzero (work, sizeof work);
  explicit_bzero (digest, sizeof digest);
}

static void
split_key (int hash, const uint8_t key[LUKS1_KEY_BYTES], uint8_t *ret_material)
{
  uint8_t block[LUKS1_KEY_BYTES] = { 0 };

  gcry_randomize (ret_material, N_MATERIAL - LUKS1_KEY_BYTES, GCRY_STRONG_RANDOM);
  for (size_t stripe = 0; stripe < LUKS1_STRIPES - 1; stripe++)
    {
      for (size_t i = 0; i < LUKS1_KEY_BYTES; i++)
        block[i] ^= ret_material[stripe * LUKS1_KEY_BYTES + i];
      diffuse (hash, block);
    }
  for (size_t i = 0; i < LUKS1_KEY_BYTES; i++)
    ret_material[N_MATERIAL - LUKS1_KEY_BYTES + i] = block[i] ^ key[i];
  explicit_bzero (block, sizeof block);
}

static void
merge_key (int hash, const uint8_t *material, uint8_t ret_key[LUKS1_KEY_BYTES])
{
  memset (ret_key, 0, LUKS1_KEY_BYTES);
  for (size_t stripe = 0; stripe < LUKS1_STRIPES; stripe++)
    {
      for (size_t i = 0; i < LUKS1_KEY_BYTES; i++)
        ret_key[i] ^= material[stripe * LUKS1_KEY_BYTES + i];
      if (stripe < LUKS1_STRIPES - 1)
        diffuse (hash, ret_key);
    }
}

/* --- the header -------------------------------------------------------------------------------------------------------- */

static uint8_t *
slot_at (Luks1 *self, unsigned slot)
{
  return self->phdr + AT_SLOTS + N_SLOT * slot;
}

static const uint8_t *
slot_of (const Luks1 *self, unsigned slot)
{
  return self->phdr + AT_SLOTS + N_SLOT * slot;
}

bool
luks1_slot_active (const Luks1 *self, unsigned slot)
{
  return slot < LUKS1_SLOTS && get32 (slot_of (self, slot) + SLOT_STATE) == SLOT_ENABLED;
}

static bool
is_text (const uint8_t *at, size_t n)
{
  return memchr (at, 0, n) != NULL;
}

int
luks1_load (Luks1 *self, ImageIo *io, uint64_t offset, uint64_t n_bytes)
{
  int result;

  if (n_bytes < LUKS1_PHDR_BYTES)
    return -EINVAL;
  self->io = io;
  self->offset = offset;
  self->n_bytes = n_bytes;
  result = image_io_read (io, offset, self->phdr, sizeof self->phdr);
  if (result < 0)
    return result;
  if (memcmp (self->phdr, magic, sizeof magic) != 0 || self->phdr[AT_VERSION] != 0 || self->phdr[AT_VERSION + 1] != 1
      || !is_text (self->phdr + AT_CIPHER, 32) || !is_text (self->phdr + AT_MODE, 32) || !is_text (self->phdr + AT_HASH, 32))
    return -EINVAL;
  if (strcmp ((char *) self->phdr + AT_CIPHER, "aes") != 0 || strcmp ((char *) self->phdr + AT_MODE, "xts-plain64") != 0
      || get32 (self->phdr + AT_KEY_BYTES) != LUKS1_KEY_BYTES || !hash_of (self))
    return -ENOTSUP;
  if (get32 (self->phdr + AT_DIGEST_ITERATIONS) == 0 || get32 (self->phdr + AT_DIGEST_ITERATIONS) > LUKS1_MAX_ITERATIONS)
    return -EINVAL;
  for (unsigned i = 0; i < LUKS1_SLOTS; i++)
    {
      const uint8_t *slot = slot_at (self, i);
      uint64_t material = (uint64_t) get32 (slot + SLOT_MATERIAL) * 512;
      uint32_t state = get32 (slot + SLOT_STATE);

      if ((state != SLOT_ENABLED && state != SLOT_DISABLED) || get32 (slot + SLOT_STRIPES) != LUKS1_STRIPES
          || material < LUKS1_PHDR_BYTES || material > n_bytes || N_MATERIAL > n_bytes - material)
        return -EINVAL;
      if (state == SLOT_ENABLED
          && (get32 (slot + SLOT_ITERATIONS) == 0 || get32 (slot + SLOT_ITERATIONS) > LUKS1_MAX_ITERATIONS))
        return -EINVAL;
    }
  luks1_prepare ();
  return 0;
}

int
luks1_check_key (const Luks1 *self, const uint8_t key[LUKS1_KEY_BYTES])
{
  uint8_t digest[N_DIGEST], difference = 0;

  if (derive (hash_of (self), key, LUKS1_KEY_BYTES, self->phdr + AT_DIGEST_SALT, get32 (self->phdr + AT_DIGEST_ITERATIONS),
              digest, sizeof digest) < 0)
    return -EIO;
  for (unsigned i = 0; i < N_DIGEST; i++)
    difference |= digest[i] ^ self->phdr[AT_DIGEST + i];
  return difference ? -EKEYREJECTED : 0;
}

static int
try_slot (const Luks1 *self, unsigned i, const void *passphrase, size_t n_passphrase, uint8_t *material,
          uint8_t ret_key[LUKS1_KEY_BYTES])
{
  const uint8_t *slot = slot_of (self, i);
  uint8_t slot_key[LUKS1_KEY_BYTES];
  Luks1Cipher *cipher;
  int result;

  result = image_io_read (self->io, self->offset + (uint64_t) get32 (slot + SLOT_MATERIAL) * 512, material, N_MATERIAL);
  if (result < 0)
    return result;
  result = derive (hash_of (self), passphrase, n_passphrase, slot + SLOT_SALT, get32 (slot + SLOT_ITERATIONS), slot_key,
                   sizeof slot_key);
  if (result < 0)
    return -EKEYREJECTED;
  cipher = luks1_cipher_new (slot_key);
  explicit_bzero (slot_key, sizeof slot_key);
  if (!cipher)
    return -ENOMEM;
  result = luks1_decrypt (cipher, 0, material, N_MATERIAL);
  luks1_cipher_free (cipher);
  if (result < 0)
    return result;
  merge_key (hash_of (self), material, ret_key);
  return luks1_check_key (self, ret_key);
}

int
luks1_unlock (const Luks1 *self, const void *passphrase, size_t n_passphrase, uint8_t *ret_key)
{
  uint8_t *material, key[LUKS1_KEY_BYTES];
  int result = -EKEYREJECTED;
  unsigned slot;

  material = malloc (N_MATERIAL);
  if (!material)
    return -ENOMEM;
  for (slot = 0; slot < LUKS1_SLOTS && result == -EKEYREJECTED; slot++)
    if (luks1_slot_active (self, slot))
      result = try_slot (self, slot, passphrase, n_passphrase, material, key);
  if (result == 0 && ret_key)
    memcpy (ret_key, key, sizeof key);
  explicit_bzero (key, sizeof key);
  explicit_bzero (material, N_MATERIAL);
  free (material);
  return result < 0 ? result : (int) slot - 1;
}

/* The entry of slot 6 lies across a sector boundary: the part behind it goes first, so that a torn write can only leave the
 * state of before. */
static int
write_phdr (Luks1 *self)
{
  int result = image_io_write (self->io, self->offset + 512, self->phdr + 512, LUKS1_PHDR_BYTES - 512);

  if (result == 0)
    result = image_io_flush (self->io);
  if (result == 0)
    result = image_io_write (self->io, self->offset, self->phdr, 512);
  return result < 0 ? result : image_io_flush (self->io);
}

static int
fill_slot (Luks1 *self, unsigned i, const uint8_t key[LUKS1_KEY_BYTES], const void *passphrase, size_t n_passphrase,
           unsigned unlock_ms)
{
  uint8_t *slot = slot_at (self, i), *material, slot_key[LUKS1_KEY_BYTES];
  Luks1Cipher *cipher = NULL;
  int result;

  material = malloc (N_MATERIAL);
  if (!material)
    return -ENOMEM;
  put32 (slot + SLOT_ITERATIONS, iterations_for (unlock_ms ? unlock_ms : 1000, LUKS1_KEY_BYTES));
  gcry_randomize (slot + SLOT_SALT, N_SALT, GCRY_STRONG_RANDOM);
  result = derive (hash_of (self), passphrase, n_passphrase, slot + SLOT_SALT, get32 (slot + SLOT_ITERATIONS), slot_key,
                   sizeof slot_key);
  if (result == 0)
    {
      cipher = luks1_cipher_new (slot_key);
      result = cipher ? 0 : -ENOMEM;
    }
  explicit_bzero (slot_key, sizeof slot_key);
  if (result == 0)
    {
      split_key (hash_of (self), key, material);
      result = luks1_encrypt (cipher, 0, material, material, N_MATERIAL);
    }
  if (result == 0)
    result = image_io_write (self->io, self->offset + (uint64_t) get32 (slot + SLOT_MATERIAL) * 512, material, N_MATERIAL);
  luks1_cipher_free (cipher);
  explicit_bzero (material, N_MATERIAL);
  free (material);
  return result;
}

int
luks1_create (Luks1 *self, ImageIo *io, uint64_t offset, const void *passphrase, size_t n_passphrase, unsigned unlock_ms,
              uint8_t ret_key[LUKS1_KEY_BYTES])
{
  uint8_t *p = self->phdr, uuid[16];
  int result;

  luks1_prepare ();
  memset (self, 0, sizeof *self);
  self->io = io;
  self->offset = offset;
  self->n_bytes = LUKS1_HEADER_BYTES;
  memcpy (p + AT_MAGIC, magic, sizeof magic);
  p[AT_VERSION + 1] = 1;
  strcpy ((char *) p + AT_CIPHER, "aes");
  strcpy ((char *) p + AT_MODE, "xts-plain64");
  strcpy ((char *) p + AT_HASH, "sha256");
  put32 (p + AT_PAYLOAD, LUKS1_HEADER_BYTES / 512);
  put32 (p + AT_KEY_BYTES, LUKS1_KEY_BYTES);
  gcry_randomize (ret_key, LUKS1_KEY_BYTES, GCRY_VERY_STRONG_RANDOM);
  gcry_randomize (p + AT_DIGEST_SALT, N_SALT, GCRY_STRONG_RANDOM);
  /* The master key is random: its digest needs no stretching, and the monitor checks it at each start. */
  put32 (p + AT_DIGEST_ITERATIONS, MIN_ITERATIONS);
  result = derive (GCRY_MD_SHA256, ret_key, LUKS1_KEY_BYTES, p + AT_DIGEST_SALT, MIN_ITERATIONS, p + AT_DIGEST, N_DIGEST);
  if (result < 0)
    return result;
  gcry_create_nonce (uuid, sizeof uuid);
  uuid[6] = (uint8_t) ((uuid[6] & 0x0f) | 0x40);
  uuid[8] = (uint8_t) ((uuid[8] & 0x3f) | 0x80);
  for (unsigned i = 0, at = AT_UUID; i < sizeof uuid; i++)
    {
      static const char digits[] = "0123456789abcdef";

      if (i == 4 || i == 6 || i == 8 || i == 10)
        p[at++] = '-';
      p[at++] = (uint8_t) digits[uuid[i] >> 4];
      p[at++] = (uint8_t) digits[uuid[i] & 15];
    }
  for (unsigned i = 0; i < LUKS1_SLOTS; i++)
    {
      uint8_t *slot = slot_at (self, i);

      put32 (slot + SLOT_STATE, SLOT_DISABLED);
      put32 (slot + SLOT_MATERIAL, 8 + 504 * i);        /* 500 sectors of material, 4 KiB boundaries */
      put32 (slot + SLOT_STRIPES, LUKS1_STRIPES);
    }
  result = fill_slot (self, 0, ret_key, passphrase, n_passphrase, unlock_ms);
  if (result < 0)
    return result;
  put32 (slot_at (self, 0) + SLOT_STATE, SLOT_ENABLED);
  return image_io_write (io, offset, self->phdr, sizeof self->phdr);
}

int
luks1_slot_add (Luks1 *self, const uint8_t key[LUKS1_KEY_BYTES], const void *passphrase, size_t n_passphrase,
                unsigned unlock_ms)
{
  uint8_t before[LUKS1_PHDR_BYTES];
  int result;

  if (n_passphrase == 0)
    return -EINVAL;
  for (unsigned i = 0; i < LUKS1_SLOTS; i++)
    if (!luks1_slot_active (self, i))
      {
        memcpy (before, self->phdr, sizeof before);
        result = fill_slot (self, i, key, passphrase, n_passphrase, unlock_ms);
        if (result == 0)
          result = image_io_flush (self->io);
        if (result == 0)
          {
            put32 (slot_at (self, i) + SLOT_STATE, SLOT_ENABLED);
            result = write_phdr (self);
          }
        if (result == 0)
          return (int) i;
        memcpy (self->phdr, before, sizeof before);
        return result;
      }
  return -ENOSPC;
}

int
luks1_slot_remove (Luks1 *self, unsigned slot)
{
  unsigned n_active = 0;
  uint8_t *noise;
  int result;

  for (unsigned i = 0; i < LUKS1_SLOTS; i++)
    n_active += luks1_slot_active (self, i);
  if (!luks1_slot_active (self, slot))
    return -EINVAL;
  if (n_active == 1)
    return -EBUSY;
  noise = malloc (N_MATERIAL);
  if (!noise)
    return -ENOMEM;
  gcry_randomize (noise, N_MATERIAL, GCRY_STRONG_RANDOM);
  put32 (slot_at (self, slot) + SLOT_STATE, SLOT_DISABLED);
  put32 (slot_at (self, slot) + SLOT_ITERATIONS, 0);
  memset (slot_at (self, slot) + SLOT_SALT, 0, N_SALT);
  result = write_phdr (self);
  if (result == 0)
    result = image_io_write (self->io, self->offset + (uint64_t) get32 (slot_at (self, slot) + SLOT_MATERIAL) * 512, noise,
                             N_MATERIAL);
  if (result == 0)
    result = image_io_flush (self->io);
  free (noise);
  return result;
}

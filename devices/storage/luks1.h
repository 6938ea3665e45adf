/* SPDX-License-Identifier: GPL-3.0-or-later */
/* LUKS version 1 headers (LUKS On-Disk Format Specification 1.2.3) with AES-256-XTS and plain64: reading, making, and the
 * eight key slots.  Works on a range of a seam, because the header stands inside another image. */
#pragma once

#include "image-io.h"

#define LUKS1_KEY_BYTES      64u
#define LUKS1_SLOTS          8u
#define LUKS1_STRIPES        4000u
#define LUKS1_PHDR_BYTES     592u
#define LUKS1_HEADER_BYTES   (4040u * 512u)     /* header, eight slots at 4 KiB boundaries */
#define LUKS1_MAX_ITERATIONS (1u << 25)         /* a header that wants more would hold its opener for minutes */

typedef struct
{
  ImageIo *io;                  /* borrowed */
  uint64_t offset, n_bytes;     /* of the header area in io */
  uint8_t  phdr[LUKS1_PHDR_BYTES];
} Luks1;

typedef struct Luks1Cipher Luks1Cipher;

/* Reads and checks the header.  -EINVAL malformed, -ENOTSUP other ciphers or hashes, errors of the seam. */
int luks1_load (Luks1 *self, ImageIo *io, uint64_t offset, uint64_t n_bytes);
/* A new random master key and a header whose slot 0 opens with the passphrase; not flushed. */
int luks1_create (Luks1 *self, ImageIo *io, uint64_t offset, const void *passphrase, size_t n_passphrase, unsigned unlock_ms,
                  uint8_t ret_key[LUKS1_KEY_BYTES]);
/* 0, or -EKEYREJECTED when the key is not this header's. */
int luks1_check_key (const Luks1 *self, const uint8_t key[LUKS1_KEY_BYTES]);
/* Slot number, or -EKEYREJECTED.  ret_key may be NULL. */
int luks1_unlock (const Luks1 *self, const void *passphrase, size_t n_passphrase, uint8_t *ret_key);
bool luks1_slot_active (const Luks1 *self, unsigned slot);
/* Both flush the seam in the order that never loses the last slot. */
int luks1_slot_add (Luks1 *self, const uint8_t key[LUKS1_KEY_BYTES], const void *passphrase, size_t n_passphrase,
                    unsigned unlock_ms);
int luks1_slot_remove (Luks1 *self, unsigned slot);

/* Once per process, before files are out of reach. */
void luks1_prepare (void);

/* Sectors of 512 bytes, in place or from one buffer to another; sector: the tweak.  n_bytes is a multiple of 512. */
Luks1Cipher *luks1_cipher_new (const uint8_t key[LUKS1_KEY_BYTES]);
int luks1_encrypt (Luks1Cipher *self, uint64_t sector, const uint8_t *bytes, uint8_t *ret_bytes, size_t n_bytes);
int luks1_decrypt (Luks1Cipher *self, uint64_t sector, uint8_t *bytes, size_t n_bytes);
void luks1_cipher_free (Luks1Cipher *self);

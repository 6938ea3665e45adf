/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Files of the guard's own: private folders, atomic durable replacement, keyed seals. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

enum { SEAL_BYTES = 32 };       /* SHA-256 */

/* Closes *fd unless it is negative, and sets it to -1. */
void clear_fd (int *fd);
typedef int AutoFd;
static inline void
auto_fd_clear (AutoFd *fd)
{
  clear_fd (fd);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (AutoFd, auto_fd_clear)

/* Hands the descriptor over: returns it and leaves -1 behind. */
int steal_fd (int *fd);

/* Makes a folder of mode 0700 (and its parents), or checks that the one there is ours and closed to others. */
gboolean files_private_folder (const char *path, GError **error);

/* Replaces a file: written beside it with mode 0600, on disk before it takes the name; a crash leaves the old or the new. */
gboolean files_replace (const char *path, const void *bytes, gsize n_bytes, GError **error);

/* The key of all seals: 32 random bytes in a file of mode 0600, made on first use.  *ret_key is SEAL_BYTES long. */
gboolean files_load_key (const char *path, guint8 ret_key[SEAL_BYTES], GError **error);

/* HMAC-SHA256 over the parts, each a pointer and a length, ending with NULL. */
void files_seal (const guint8 key[SEAL_BYTES], guint8 ret_seal[SEAL_BYTES], ...) G_GNUC_NULL_TERMINATED;

char *files_hex (const guint8 *bytes, gsize n_bytes);

/* SHA-256 of a descriptor's whole contents as hexadecimal digits; NULL and errno on failure. */
char *files_digest_fd (int fd);

/* A key file with a last line "# seal HEX" over its base name and contents.  A file that is not there loads as empty; one
 * without the right seal is an error. */
GKeyFile *files_load_sealed (const char *path, const guint8 key[SEAL_BYTES], GError **error);
gboolean  files_save_sealed (const char *path, GKeyFile *contents, const guint8 key[SEAL_BYTES], GError **error);

/* Replaces what could forge or hide text (control, bidirectional and format characters, broken UTF-8) by '?'.  Cuts at
 * max_chars.  A new string. */
char *files_neutral_text (const char *text, gsize max_chars);

G_END_DECLS

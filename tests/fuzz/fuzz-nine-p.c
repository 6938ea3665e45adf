/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The folder server, fed by a guest.  Inputs are made into requests (right size, a type that exists) so that handlers are
 * reached; the folder they work in lies in one that must not change. */
#include "nine-p.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static char outer[64];

static void
clean (void)
{
  char inner[96];

  strcpy (inner, outer);
  strcat (inner, "/inner");
  rmdir (inner);
  rmdir (outer);
}

static void
empty (int directory, int depth)
{
  int fd = openat (directory, ".", O_RDONLY | O_DIRECTORY);
  DIR *entries = fd >= 0 ? fdopendir (fd) : NULL;
  struct dirent *entry;

  while (entries && (entry = readdir (entries)))
    if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0 && unlinkat (directory, entry->d_name, 0) < 0 && depth < 20)
      {
        int inside = fchmodat (directory, entry->d_name, 0700, 0);

        inside = inside < 0 ? inside : openat (directory, entry->d_name, O_RDONLY | O_DIRECTORY);
        if (inside >= 0)
          {
            empty (inside, depth + 1);
            close (inside);
          }
        unlinkat (directory, entry->d_name, AT_REMOVEDIR);
      }
  if (entries)
    closedir (entries);
}

/* What lies beside the folder: nothing. */
static void
check_outer (void)
{
  DIR *entries = opendir (outer);
  struct dirent *entry;
  unsigned n = 0;

  while (entries && (entry = readdir (entries)))
    n++;
  if (entries)
    closedir (entries);
  if (n != 3)
    abort ();
}

static int
make_folder (void)
{
  char inner[96];

  if (!*outer)
    {
      strcpy (outer, "/tmp/bulkhead-fuzz-9p-XXXXXX");
      if (!mkdtemp (outer))
        abort ();
      atexit (clean);
    }
  strcpy (inner, outer);
  strcat (inner, "/inner");
  mkdir (inner, 0700);
  chmod (inner, 0700);
  return open (inner, O_RDONLY | O_DIRECTORY);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const uint8_t types[] = { 8, 12, 14, 16, 18, 22, 24, 26, 30, 40, 50, 52, 54, 70, 72, 74, 76, 100, 104, 108, 110, 116, 118, 120, 122 };
  static const uint8_t hello[] = { 21, 0, 0, 0, 100, 0xff, 0xff, 0, 0x20, 0, 0, 8, 0, '9', 'P', '2', '0', '0', '0', '.', 'L' };
  static const uint8_t attach[] = { 23, 0, 0, 0, 104, 1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0 };
  static uint8_t answer[NINE_P_MAX_MESSAGE], request[4096];
  int folder = make_folder ();
  NineP *server = folder >= 0 ? nine_p_new (folder, !size || data[0] & 1) : NULL;

  if (!server)
    abort ();
  if (size && data[0] & 2)
    {
      nine_p_handle (server, hello, sizeof hello, answer);
      nine_p_handle (server, attach, sizeof attach, answer);
    }
  for (size_t at = 1; at + 2 <= size; )
    {
      size_t n = data[at + 1] % 64u, total, got;

      if (n > size - at - 2)
        n = size - at - 2;
      total = n + 7;
      memset (request, 0, 7);
      request[0] = (uint8_t) total;
      request[4] = data[at] & 0x80 ? data[at] : types[data[at] % sizeof types];
      memcpy (request + 7, data + at + 2, n);
      got = nine_p_handle (server, request, total, answer);
      if (got > sizeof answer || (got && (got < 7 || answer[0] + (answer[1] << 8) + (answer[2] << 16) != (int) got)))
        abort ();
      at += 2 + n;
    }
  nine_p_free (server);
  empty (folder, 0);
  close (folder);
  check_outer ();
  return 0;
}

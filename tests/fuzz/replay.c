/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs a fuzz target without a fuzzer: every file of the corpus folder given, then seeded random inputs.
 *
 *   fuzz-NAME [--tap] [CORPUS-FOLDER]        BULKHEAD_FUZZ_CASES=N, BULKHEAD_FUZZ_SEED=S for longer runs */
#include <glib.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes);

static const char *corpus;

static void
test_corpus (void)
{
  g_autoptr (GDir) folder = corpus ? g_dir_open (corpus, 0, NULL) : NULL;
  const char *name;

  if (!folder)
    {
      g_test_skip ("no corpus yet");
      return;
    }
  while ((name = g_dir_read_name (folder)))
    {
      g_autofree char *path = g_build_filename (corpus, name, NULL);
      g_autofree char *bytes = NULL;
      gsize n_bytes = 0;

      g_test_message ("%s", name);
      g_assert_true (g_file_get_contents (path, &bytes, &n_bytes, NULL));
      LLVMFuzzerTestOneInput ((const uint8_t *) bytes, n_bytes);
    }
}

static void
test_random (void)
{
  const char *cases_text = g_getenv ("BULKHEAD_FUZZ_CASES");
  const char *seed_text = g_getenv ("BULKHEAD_FUZZ_SEED");
  uint64_t cases = cases_text ? g_ascii_strtoull (cases_text, NULL, 10) : 3000;
  uint32_t seed = seed_text ? (uint32_t) g_ascii_strtoull (seed_text, NULL, 10) : 20261123;
  g_autoptr (GRand) random = g_rand_new_with_seed (seed);
  uint8_t bytes[4096];

  for (uint64_t i = 0; i < cases; i++)
    {
      /* Mostly short inputs; small byte values are more often meaningful than large ones. */
      size_t n_bytes = (size_t) g_rand_int_range (random, 0, i % 16 ? 256 : (gint32) sizeof bytes);
      int style = g_rand_int_range (random, 0, 3);

      for (size_t b = 0; b < n_bytes; b++)
        bytes[b] = style == 0 ? g_rand_int (random) & 0xff
                   : style == 1 ? (g_rand_int (random) & 0x0f)
                                : (g_rand_boolean (random) ? 0xff : 0) ^ (g_rand_int (random) & 0x83);
      LLVMFuzzerTestOneInput (bytes, n_bytes);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (argc > 1)
    corpus = argv[1];
  g_test_add_func ("/fuzz/corpus", test_corpus);
  g_test_add_func ("/fuzz/random", test_random);
  return g_test_run ();
}

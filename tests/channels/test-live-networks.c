/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Virtual networks with real guests: three machines run a probe that broadcasts its own canary and shows what it hears. */
#include "live-guard.h"

static LiveGuard guard;
static char *probe_path;

static const char canaries[3][24] = { "CANARY-aaaaaaaaaaaaaaaa", "CANARY-bbbbbbbbbbbbbbbb", "CANARY-cccccccccccccccc" };

static char *
make_probe (const char *canary)
{
  g_autofree char *image = NULL;
  char *path = g_build_filename (guard.home, canary, NULL);
  gsize n;
  gboolean found = FALSE;

  g_assert_true (g_file_get_contents (probe_path, &image, &n, NULL));
  for (gsize i = 0; i + 23 < 512 && !found; i++)
    if (memcmp (image + i, "CANARY-0123456789abcdef", 23) == 0)
      {
        memcpy (image + i, canary, 23);
        found = TRUE;
      }
  g_assert_true (found);
  g_assert_true (g_file_set_contents (path, image, (gssize) n, NULL));
  return path;
}

static void
create (const char *name, const char *label, const char *network, const char *canary)
{
  g_autofree char *floppy = make_probe (canary);
  g_autofree char *out = NULL;
  int status = live_ctl (&guard, &out, "create", name, "--label", label, "--memory", "8", "--floppy", floppy, "--boot", "floppy",
                         "--network", network, NULL);

  g_test_message ("%s", out);
  g_assert_cmpint (status, ==, 0);
}

static gint64
network_processes (void)
{
  gint64 n = 0;
  g_autoptr (GDir) folder = g_dir_open ("/proc", 0, NULL);
  gint64 pid = live_number (&guard, "status", NULL, "pid");
  const char *name;

  while ((name = g_dir_read_name (folder)))
    {
      g_autofree char *path = g_build_filename ("/proc", name, "stat", NULL);
      g_autofree char *text = NULL;
      char *at;

      if (g_ascii_isdigit (*name) && g_file_get_contents (path, &text, NULL, NULL) && strstr (text, "(bulkhead-networ")
          && (at = strrchr (text, ')')) && g_ascii_strtoll (at + 4, NULL, 10) == pid)
        n++;
    }
  return n;
}

static void
only_equal_labels_join (void)
{
  g_autofree char *out = NULL;
  g_autofree char *audit = NULL;

  g_assert_cmpint (live_ctl (&guard, NULL, "network", "create", "low", "--label", "UNCLASSIFIED", NULL), ==, 0);
  g_assert_cmpint (live_ctl (&guard, NULL, "network", "create", "high", "--label", "SECRET", NULL), ==, 0);
  create ("low-1", "UNCLASSIFIED", "low", canaries[0]);
  create ("low-2", "UNCLASSIFIED", "low", canaries[1]);
  create ("high-1", "SECRET", "high", canaries[2]);
  g_assert_cmpint (live_ctl (&guard, &out, "set", "high-1", "--network", "low", NULL), ==, 5);
  g_assert_nonnull (strstr (out, "network-join"));
  audit = live_audit (&guard);
  g_assert_nonnull (strstr (audit, "network-join"));
}

static void
nat_needs_the_uplinks_label (void)
{
  g_autofree char *out = NULL;

  g_assert_cmpint (live_ctl (&guard, &out, "network", "create", "leak", "--label", "SECRET", "--nat", NULL), ==, 5);
  g_assert_nonnull (strstr (out, "nat"));
  g_assert_cmpint (live_ctl (&guard, NULL, "network", "create", "out", "--label", "UNCLASSIFIED", "--nat", NULL), ==, 0);
}

static void
frames_reach_equals_and_nobody_else (void)
{
  g_autofree char *high = NULL;
  g_autofree char *low = NULL;
  g_autofree char *out = NULL;

  g_assert_cmpint (network_processes (), ==, 0);
  g_assert_cmpint (live_ctl (&guard, &out, "start", "low-1", "--headless", NULL), ==, 0);
  g_assert_cmpint (network_processes (), ==, 1);
  g_assert_cmpint (live_ctl (&guard, NULL, "start", "low-2", "--headless", NULL), ==, 0);
  g_assert_cmpint (network_processes (), ==, 1);
  g_assert_cmpint (live_ctl (&guard, NULL, "start", "high-1", "--headless", NULL), ==, 0);
  g_assert_cmpint (network_processes (), ==, 2);
  g_assert_true (live_wait_screen (&guard, "high-1", "network probe ready", 30));
  g_assert_true (live_wait_screen (&guard, "low-1", canaries[1], 30));
  g_assert_true (live_wait_screen (&guard, "low-2", canaries[0], 30));
  g_usleep (2 * G_USEC_PER_SEC);
  live_ctl (&guard, &high, "screen-text", "high-1", NULL);
  live_ctl (&guard, &low, "screen-text", "low-1", NULL);
  g_assert_null (strstr (high, "CANARY"));
  g_assert_null (strstr (low, canaries[2]));
}

static void
cables_are_pulled_on_stop (void)
{
  g_assert_cmpint (live_ctl (&guard, NULL, "stop", "high-1", "--force", NULL), ==, 0);
  g_assert_cmpint (network_processes (), ==, 1);
  g_assert_cmpint (live_ctl (&guard, NULL, "stop", "low-1", "--force", NULL), ==, 0);
  g_assert_cmpint (network_processes (), ==, 1);
  g_assert_cmpint (live_ctl (&guard, NULL, "stop", "low-2", "--force", NULL), ==, 0);
  g_assert_cmpint (network_processes (), ==, 0);
}

static void
machine_outlives_its_network (void)
{
  g_autofree char *audit = NULL;
  g_autofree char *text = NULL;
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonArray *rows;
  gint64 pid = 0;

  g_assert_cmpint (live_ctl (&guard, NULL, "start", "low-1", "--headless", NULL), ==, 0);
  g_assert_cmpint (live_ctl (&guard, &text, "--json", "network", "list", NULL), ==, 0);
  g_assert_true (json_parser_load_from_data (parser, text, -1, NULL));
  rows = json_node_get_array (json_parser_get_root (parser));
  for (guint i = 0; i < json_array_get_length (rows); i++)
    pid = MAX (pid, json_object_get_int_member (json_array_get_object_element (rows, i), "pid"));
  g_assert_cmpint (pid, >, 1);
  kill ((pid_t) pid, SIGKILL);
  g_usleep (G_USEC_PER_SEC / 2);
  audit = live_audit (&guard);
  g_assert_nonnull (strstr (audit, "network-failed"));
  g_assert_true (live_wait_screen (&guard, "low-1", "network probe ready", 30));
  /* The next machine gets a new process. */
  g_assert_cmpint (live_ctl (&guard, NULL, "start", "low-2", "--headless", NULL), ==, 0);
  g_assert_cmpint (network_processes (), ==, 1);
  live_ctl (&guard, NULL, "stop", "low-1", "--force", NULL);
  live_ctl (&guard, NULL, "stop", "low-2", "--force", NULL);
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (argc, >=, 3);
  probe_path = argv[2];
  live_guard_open (&guard, argv[1]);
  g_test_add_func ("/live-networks/only-equal-labels-join", only_equal_labels_join);
  g_test_add_func ("/live-networks/nat-needs-the-uplinks-label", nat_needs_the_uplinks_label);
  g_test_add_func ("/live-networks/frames-reach-equals-and-nobody-else", frames_reach_equals_and_nobody_else);
  g_test_add_func ("/live-networks/cables-are-pulled-on-stop", cables_are_pulled_on_stop);
  g_test_add_func ("/live-networks/machine-outlives-its-network", machine_outlives_its_network);
  status = g_test_run ();
  live_guard_close (&guard);
  return status;
}

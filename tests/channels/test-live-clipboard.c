/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The two-step clipboard with a guest that has no agent: the host's text is typed into a machine of the host's label, never
 * into another, once, and with records. */
#include "live-guard.h"

static LiveGuard guard;
static const char *probe;

static void
start (const char *name, const char *label)
{
  g_autofree char *floppy = g_strdup_printf ("%s/%s.img", guard.home, name);
  g_autofree char *image = NULL;
  gsize n;

  /* A writable floppy belongs to one machine: each has its own. */
  g_assert_true (g_file_get_contents (probe, &image, &n, NULL));
  g_assert_true (g_file_set_contents (floppy, image, (gssize) n, NULL));
  g_assert_cmpint (live_ctl (&guard, NULL, "create", name, "--label", label, "--memory", "8", "--floppy", floppy, "--boot", "floppy", NULL), ==, 0);
  g_assert_cmpint (live_ctl (&guard, NULL, "start", name, "--headless", NULL), ==, 0);
  g_assert_true (live_wait_screen (&guard, name, "no network card", 60));
}

static gboolean
put_host (const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *address = g_strdup_printf ("unix:path=%s/bulkhead/guard.sock", g_getenv ("XDG_RUNTIME_DIR"));
  g_autoptr (GDBusConnection) bus = g_dbus_connection_new_for_address_sync (address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT,
                                                                            NULL, NULL, &error);
  g_autoptr (GVariant) answer = NULL;

  g_assert_no_error (error);
  answer = g_dbus_connection_call_sync (bus, NULL, "/io/github/bulkhead/Guard", "io.github.bulkhead.Guard1", "PutHostClipboard",
                                        g_variant_new ("(s@ay)", "text/plain", g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, text, strlen (text), 1)),
                                        NULL, 0, 5000, NULL, &error);
  if (error)
    g_test_message ("%s", error->message);
  return answer != NULL;
}

static void
text_goes_to_an_equal_label_only (void)
{
  g_autofree char *out = NULL;
  g_autofree char *again = NULL;
  g_autofree char *audit = NULL;

  start ("low", "UNCLASSIFIED");
  start ("high", "SECRET");
  g_assert_true (put_host ("canary-4711"));
  g_assert_cmpint (live_ctl (&guard, &out, "clipboard", "give", "high", NULL), ==, 5);
  g_assert_nonnull (strstr (out, "clipboard-paste"));
  g_assert_cmpint (live_ctl (&guard, NULL, "clipboard", "give", "low", NULL), ==, 0);
  /* Emptied by giving. */
  g_assert_cmpint (live_ctl (&guard, &again, "clipboard", "give", "low", NULL), ==, 1);
  audit = live_audit (&guard);
  g_assert_nonnull (strstr (audit, "clipboard-paste"));
  g_assert_null (strstr (audit, "canary-4711"));
}

static void
nothing_is_taken_without_an_agent (void)
{
  g_assert_cmpint (live_ctl (&guard, NULL, "clipboard", "take", "low", NULL), !=, 0);
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (argc, >=, 3);
  probe = argv[2];
  live_guard_open (&guard, argv[1]);
  g_test_add_func ("/live-clipboard/text-goes-to-an-equal-label-only", text_goes_to_an_equal_label_only);
  g_test_add_func ("/live-clipboard/nothing-is-taken-without-an-agent", nothing_is_taken_without_an_agent);
  status = g_test_run ();
  live_guard_close (&guard);
  return status;
}

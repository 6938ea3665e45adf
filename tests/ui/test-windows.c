/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The windows, on a display, with a guard that only exists in memory. */
#include "application.h"
#include "attention-window.h"
#include "audit-window.h"
#include "clone-dialog.h"
#include "console-window.h"
#include "fake-guard.h"
#include "guard-error.h"
#include "label-picker.h"
#include "label-strip.h"
#include "library-window.h"
#include "machine-settings.h"
#include "new-machine.h"
#include "preferences-window.h"
#include "question-dialog.h"
#include "resources-window.h"
#include "statistics-window.h"

static FakeGuard     *guard;
static BhApplication *application;
static BhLibrary     *library;

static gboolean
on_time (gpointer data)
{
  *(gboolean *) data = TRUE;
  return G_SOURCE_REMOVE;
}

static void
wait_ms (guint ms)
{
  gboolean over = FALSE;

  g_timeout_add (ms, on_time, &over);
  while (!over)
    g_main_context_iteration (NULL, TRUE);
}

#define WAIT_FOR(condition)                                     \
  G_STMT_START                                                  \
    {                                                           \
      gint64 wait_end = g_get_monotonic_time () + 8000000;      \
      while (!(condition) && g_get_monotonic_time () < wait_end) \
        wait_ms (10);                                           \
      g_assert_true (condition);                                \
    }                                                           \
  G_STMT_END

static void
set_up (void)
{
  guard = fake_guard_new ();
  fake_guard_add (guard, "alpha", "off", "SECRET");
  fake_guard_add (guard, "beta", "running", "UNCLASSIFIED");
  fake_guard_add (guard, "gamma", "suspended", "CONFIDENTIAL");
  if (application == NULL)
    {
      /* One for all tests: a process has one application. */
      application = bh_application_new (G_APPLICATION_NON_UNIQUE);
      library = bh_application_get_library (application);
      bh_application_set_guard (application, fake_guard_get_proxy (guard));
      g_assert_true (g_application_register (G_APPLICATION (application), NULL, NULL));
    }
  else
    bh_application_set_guard (application, fake_guard_get_proxy (guard));
  bh_library_set_problem (library, NULL);
  WAIT_FOR (bh_library_get_online (library) && bh_library_get_status (library) && bh_library_get_encodings (library));
}

static void
close_all (void)
{
  GList *windows;

  /* One may take others with it. */
  while ((windows = gtk_window_list_toplevels ()) != NULL)
    {
      gtk_window_destroy (windows->data);
      g_list_free (windows);
    }
  wait_ms (50);
}

static void
tear_down (void)
{
  close_all ();
  bh_library_set_guard (library, NULL);
  g_clear_pointer (&guard, fake_guard_free);
}

static gpointer
find_window (GType type)
{
  g_autoptr (GList) windows = gtk_window_list_toplevels ();

  for (GList *l = windows; l != NULL; l = l->next)
    if (G_TYPE_CHECK_INSTANCE_TYPE (l->data, type) && gtk_widget_get_visible (l->data))
      return l->data;
  return NULL;
}

static gpointer
find_child (GtkWidget *widget, GType type)
{
  if (G_TYPE_CHECK_INSTANCE_TYPE (widget, type))
    return widget;
  for (GtkWidget *child = gtk_widget_get_first_child (widget); child != NULL; child = gtk_widget_get_next_sibling (child))
    {
      gpointer found = find_child (child, type);

      if (found != NULL)
        return found;
    }
  return NULL;
}

static GtkWidget *
find_button (GtkWidget *widget, const char *text)
{
  if (GTK_IS_BUTTON (widget) && g_strcmp0 (gtk_button_get_label (GTK_BUTTON (widget)), text) == 0)
    return widget;
  for (GtkWidget *child = gtk_widget_get_first_child (widget); child != NULL; child = gtk_widget_get_next_sibling (child))
    {
      GtkWidget *found = find_button (child, text);

      if (found != NULL)
        return found;
    }
  return NULL;
}

static void
activate (const char *action, GVariant *parameter)
{
  g_action_group_activate_action (G_ACTION_GROUP (application), action, parameter);
}

static BhConsoleWindow *
open_console (const char *name)
{
  activate ("open-machine", g_variant_new_string (name));
  WAIT_FOR (find_window (BH_TYPE_CONSOLE_WINDOW) != NULL);
  WAIT_FOR (g_strcmp0 (bh_console_window_get_page (find_window (BH_TYPE_CONSOLE_WINDOW)), "screen") == 0);
  return find_window (BH_TYPE_CONSOLE_WINDOW);
}

/* ------------------------------------------------------------------------------------------------ model */

static void
test_library_model (void)
{
  BhMachine *alpha;

  set_up ();
  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (library)), ==, 3);
  g_assert_cmpuint (bh_library_get_n_running (library), ==, 1);
  g_assert_cmpstr (bh_library_get_highest (library)->text, ==, "SECRET");
  alpha = bh_library_find (library, "alpha");
  g_assert_cmpint (bh_machine_get_state (alpha), ==, BH_MACHINE_OFF);
  fake_guard_set_state (guard, "alpha", "running", NULL);
  WAIT_FOR (bh_machine_get_state (alpha) == BH_MACHINE_RUNNING);
  g_assert_cmpuint (bh_library_get_n_running (library), ==, 2);
  fake_guard_add (guard, "Aardvark", "off", "TOP SECRET");
  WAIT_FOR (g_strcmp0 (bh_library_get_highest (library)->text, "TOP SECRET") == 0);
  {
    g_autoptr (BhMachine) first = g_list_model_get_item (G_LIST_MODEL (library), 0);

    g_assert_cmpstr (bh_machine_get_name (first), ==, "Aardvark");
  }
  fake_guard_die (guard);
  WAIT_FOR (!bh_library_get_online (library));
  g_assert_nonnull (bh_library_get_problem (library));
  tear_down ();
}

/* ------------------------------------------------------------------------------------------------ library window */

static void
test_library_window (void)
{
  BhLibraryWindow *window;
  GtkWidget       *search;

  set_up ();
  activate ("library", NULL);
  window = find_window (BH_TYPE_LIBRARY_WINDOW);
  wait_ms (300);
  g_assert_cmpuint (bh_library_window_get_n_shown (window), ==, 3);
  g_assert_cmpstr (bh_label_strip_get_text (find_child (GTK_WIDGET (window), BH_TYPE_LABEL_STRIP)), ==,
                   "Highest label shown: SECRET");
  search = find_child (GTK_WIDGET (window), GTK_TYPE_SEARCH_ENTRY);
  gtk_editable_set_text (GTK_EDITABLE (search), "secret");
  WAIT_FOR (bh_library_window_get_n_shown (window) == 1);
  gtk_editable_set_text (GTK_EDITABLE (search), "susp");
  wait_ms (400);
  g_assert_cmpuint (bh_library_window_get_n_shown (window), ==, 1);
  gtk_editable_set_text (GTK_EDITABLE (search), "");
  WAIT_FOR (bh_library_window_get_n_shown (window) == 3);
  gtk_widget_activate_action (GTK_WIDGET (window), "win.toggle-view", NULL);
  wait_ms (200);
  g_assert_cmpuint (bh_library_window_get_n_shown (window), ==, 3);
  tear_down ();
}

static void
test_delete_can_be_undone (void)
{
  BhLibraryWindow *window;
  GtkWidget       *undo;

  set_up ();
  activate ("library", NULL);
  window = find_window (BH_TYPE_LIBRARY_WINDOW);
  bh_library_window_select (window, "alpha");
  gtk_widget_activate_action (GTK_WIDGET (window), "machine.delete", NULL);
  g_assert_cmpuint (bh_library_window_get_n_shown (window), ==, 2);
  g_assert_false (fake_guard_was_called (guard, "DeleteMachine(alpha)"));
  WAIT_FOR ((undo = find_button (GTK_WIDGET (window), "_Undo")) != NULL);
  g_signal_emit_by_name (undo, "clicked");
  WAIT_FOR (bh_library_window_get_n_shown (window) == 3);
  wait_ms (500);
  g_assert_false (fake_guard_was_called (guard, "DeleteMachine(alpha)"));

  bh_library_window_select (window, "alpha");
  gtk_widget_activate_action (GTK_WIDGET (window), "machine.delete", NULL);
  WAIT_FOR (fake_guard_was_called (guard, "DeleteMachine(alpha)"));
  WAIT_FOR (bh_library_find (library, "alpha") == NULL);
  tear_down ();
}

static void
test_running_machine_cannot_be_deleted (void)
{
  BhLibraryWindow *window;

  set_up ();
  activate ("library", NULL);
  window = find_window (BH_TYPE_LIBRARY_WINDOW);
  bh_library_window_select (window, "beta");
  gtk_widget_activate_action (GTK_WIDGET (window), "machine.delete", NULL);
  wait_ms (100);
  g_assert_cmpuint (bh_library_window_get_n_shown (window), ==, 3);
  gtk_widget_activate_action (GTK_WIDGET (window), "machine.pause", NULL);
  WAIT_FOR (fake_guard_was_called (guard, "Pause(beta)"));
  tear_down ();
}

/* ------------------------------------------------------------------------------------------------ console */

static void
test_console_powers_on (void)
{
  set_up ();
  g_assert_nonnull (open_console ("alpha"));
  g_assert_true (fake_guard_was_called (guard, "Start(alpha)"));
  close_all ();
  open_console ("gamma");
  g_assert_true (fake_guard_was_called (guard, "Resume(gamma)"));
  close_all ();
  fake_guard_clear_calls (guard);
  open_console ("beta");
  g_assert_false (fake_guard_was_called (guard, "Start(beta)"));
  tear_down ();
}

static void
test_refused_start_is_told (void)
{
  GtkWindow *dialog;

  set_up ();
  fake_guard_fail (guard, "Start", GUARD_ERROR_REFUSED, "network-join refused: “office” is UNCLASSIFIED, the VM is SECRET (secrecy)");
  activate ("open-machine", g_variant_new_string ("alpha"));
  WAIT_FOR ((dialog = find_window (ADW_TYPE_MESSAGE_DIALOG)) != NULL);
  g_assert_nonnull (strstr (adw_message_dialog_get_body (ADW_MESSAGE_DIALOG (dialog)), "network-join"));
  g_assert_nonnull (strstr (adw_message_dialog_get_body (ADW_MESSAGE_DIALOG (dialog)), "(secrecy)"));
  g_assert_null (strstr (adw_message_dialog_get_body (ADW_MESSAGE_DIALOG (dialog)), "GDBus"));
  WAIT_FOR (g_strcmp0 (bh_console_window_get_page (find_window (BH_TYPE_CONSOLE_WINDOW)), "still") == 0);
  tear_down ();
}

static void
strips_of (GtkWidget *widget, GPtrArray *strips)
{
  if (BH_IS_LABEL_STRIP (widget))
    g_ptr_array_add (strips, widget);
  for (GtkWidget *child = gtk_widget_get_first_child (widget); child != NULL; child = gtk_widget_get_next_sibling (child))
    strips_of (child, strips);
}

/* Every pixel of the window outside of the guest's view is the same whatever the guest shows. */
static GBytes *
render_without_view (GtkWidget *window, GtkWidget *view)
{
  g_autoptr (GdkPaintable)   paintable = gtk_widget_paintable_new (window);
  g_autoptr (GtkSnapshot)    snapshot = gtk_snapshot_new ();
  g_autoptr (GskRenderNode)  node = NULL;
  const int                  width = gtk_widget_get_width (window);
  const int                  height = gtk_widget_get_height (window);
  cairo_surface_t           *surface = cairo_image_surface_create (CAIRO_FORMAT_RGB24, width, height);
  cairo_t                   *cr = cairo_create (surface);
  graphene_rect_t            bounds;
  GBytes                    *bytes;

  gdk_paintable_snapshot (paintable, snapshot, width, height);
  node = gtk_snapshot_free_to_node (g_steal_pointer (&snapshot));
  gsk_render_node_draw (node, cr);
  g_assert_true (gtk_widget_compute_bounds (view, window, &bounds));
  cairo_set_source_rgb (cr, 0, 0, 0);
  cairo_rectangle (cr, bounds.origin.x, bounds.origin.y, bounds.size.width, bounds.size.height);
  cairo_fill (cr);
  cairo_destroy (cr);
  cairo_surface_flush (surface);
  bytes = g_bytes_new (cairo_image_surface_get_data (surface), (gsize) cairo_image_surface_get_stride (surface) * (gsize) height);
  cairo_surface_destroy (surface);
  return bytes;
}

static void
test_strips (void)
{
  BhConsoleWindow      *window;
  BhGuestView          *view;
  g_autoptr (GPtrArray) strips = g_ptr_array_new ();
  g_autoptr (GBytes)    before = NULL;
  graphene_rect_t       top, bottom, middle;
  int                   width, height;

  set_up ();
  fake_guard_paint (guard, 640, 480, 0x102030, TRUE);
  window = open_console ("alpha");
  view = bh_console_window_get_view (window);
  WAIT_FOR (bh_guest_view_get_guest_size (view, &width, &height) && width == 640);
  wait_ms (600);
  strips_of (GTK_WIDGET (window), strips);
  g_assert_cmpuint (strips->len, ==, 2);
  for (guint i = 0; i < 2; i++)
    g_assert_cmpstr (bh_label_strip_get_text (g_ptr_array_index (strips, i)), ==, "SECRET");
  g_assert_true (gtk_widget_compute_bounds (strips->pdata[0], GTK_WIDGET (window), &top));
  g_assert_true (gtk_widget_compute_bounds (strips->pdata[1], GTK_WIDGET (window), &bottom));
  g_assert_true (gtk_widget_compute_bounds (GTK_WIDGET (view), GTK_WIDGET (window), &middle));
  g_assert_false (graphene_rect_intersection (&top, &middle, NULL));
  g_assert_false (graphene_rect_intersection (&bottom, &middle, NULL));

  /* No size, no colour and no damage that a guest can choose reaches past its rectangle. */
  bh_console_window_set_frozen (window, TRUE);  /* the note on the strips shall not change in between */
  wait_ms (300);
  before = render_without_view (GTK_WIDGET (window), GTK_WIDGET (view));
  for (guint i = 0; i < 4; i++)
    {
      g_autoptr (GBytes) after = NULL;

      fake_guard_paint (guard, 640, 480, i % 2 ? 0xffffff : 0xc8102e, i % 2 == 0);
      fake_guard_publish (guard, 0xfffffff0, 0xfffffff0, 0xffffffff, 0xffffffff);
      wait_ms (150);
      after = render_without_view (GTK_WIDGET (window), GTK_WIDGET (view));
      g_assert_true (g_bytes_equal (before, after));
    }
  tear_down ();
}

static void
test_console_follows_the_machine (void)
{
  BhConsoleWindow *window;

  set_up ();
  fake_guard_paint (guard, 640, 400, 0x102030, TRUE);
  window = open_console ("alpha");
  fake_guard_set_state (guard, "alpha", "off", NULL);
  WAIT_FOR (g_strcmp0 (bh_console_window_get_page (window), "still") == 0);
  bh_console_window_power_on (window);
  WAIT_FOR (g_strcmp0 (bh_console_window_get_page (window), "screen") == 0);
  fake_guard_set_state (guard, "alpha", "crashed", "The monitor ended with signal 11.");
  WAIT_FOR (bh_machine_get_state (bh_console_window_get_machine (window)) == BH_MACHINE_CRASHED);
  wait_ms (50);
  g_assert_null (bh_guest_view_get_input (bh_console_window_get_view (window)));
  fake_guard_clear_calls (guard);
  gtk_widget_activate_action (GTK_WIDGET (window), "machine.start", NULL);
  WAIT_FOR (fake_guard_was_called (guard, "Start(alpha)"));
  WAIT_FOR (g_strcmp0 (bh_console_window_get_page (window), "screen") == 0);
  fake_guard_die (guard);
  WAIT_FOR (g_strcmp0 (bh_console_window_get_page (window), "still") == 0);
  tear_down ();
}

static void
test_pointer_mapping (void)
{
  BhConsoleWindow *window;
  BhGuestView     *view;
  double           x, y;
  int              width, height;

  set_up ();
  fake_guard_paint (guard, 800, 600, 0x102030, TRUE);
  window = open_console ("alpha");
  view = bh_console_window_get_view (window);
  WAIT_FOR (bh_guest_view_get_guest_size (view, &width, &height) && width == 800);
  wait_ms (700);
  /* One to one after the window has followed the guest's size: no error anywhere. */
  g_assert_cmpint (gtk_widget_get_width (GTK_WIDGET (view)), ==, 800);
  g_assert_cmpint (gtk_widget_get_height (GTK_WIDGET (view)), ==, 600);
  for (guint i = 0; i < 800; i += 37)
    {
      g_assert_true (bh_guest_view_to_guest (view, i, 5, &x, &y));
      g_assert_cmpfloat (x, ==, i);
      g_assert_cmpfloat (y, ==, 5);
    }
  g_assert_false (bh_guest_view_to_guest (view, -3, 700, &x, &y));
  g_assert_cmpfloat (x, ==, 0);
  g_assert_cmpfloat (y, ==, 599);
  tear_down ();
}

static void
test_actions_reach_the_guard (void)
{
  static const struct { const char *action, *target, *call; } rows[] = {
    { "machine.pause", NULL, "Pause(alpha)" },
    { "machine.resume", NULL, "Resume(alpha)" },
    { "machine.power-button", NULL, "PowerButton(alpha)" },
    { "win.send-keys", "ctrl-alt-delete", "Key(alpha,ctrl-alt-delete)" },
    { "win.eject", "cdrom0", "Eject(alpha,cdrom0)" },
    { "win.clipboard-take", NULL, "TakeClipboard(alpha)" },
    { "win.clipboard-give", NULL, "GiveClipboard(alpha)" },
    { "machine.suspend", NULL, "Suspend(alpha)" },
  };
  BhConsoleWindow *window;

  set_up ();
  window = open_console ("alpha");
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_assert_true (gtk_widget_activate_action (GTK_WIDGET (window), rows[i].action, rows[i].target ? "s" : NULL, rows[i].target));
      WAIT_FOR (fake_guard_was_called (guard, rows[i].call));
      wait_ms (30);
    }
  tear_down ();
}

/* ------------------------------------------------------------------------------------------------ attention, questions */

static void
test_attention (void)
{
  BhConsoleWindow   *window;
  BhAttentionWindow *list;
  InputMessage       message;

  set_up ();
  fake_guard_paint (guard, 640, 400, 0x102030, TRUE);
  window = open_console ("alpha");
  activate ("attention", NULL);
  WAIT_FOR ((list = find_window (BH_TYPE_ATTENTION_WINDOW)) != NULL);
  /* At once, before any answer of anybody. */
  g_assert_true (bh_input_channel_get_frozen (bh_guest_view_get_input (bh_console_window_get_view (window))));
  WAIT_FOR (fake_guard_was_called (guard, "Attention"));
  WAIT_FOR (bh_attention_window_get_n_sessions (list) == 3);
  while (fake_guard_read_input (guard, &message))
    ;
  bh_input_channel_key (bh_guest_view_get_input (bh_console_window_get_view (window)), 30, TRUE);
  g_assert_false (fake_guard_read_input (guard, &message));
  gtk_window_close (GTK_WINDOW (list));
  WAIT_FOR (!bh_input_channel_get_frozen (bh_guest_view_get_input (bh_console_window_get_view (window))));
  tear_down ();
}

static GVariant *
new_question (guint seconds)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", "channel", g_variant_new_string ("clipboard-paste"));
  g_variant_builder_add (&builder, "{sv}", "from", g_variant_new_string ("UNCLASSIFIED"));
  g_variant_builder_add (&builder, "{sv}", "to", g_variant_new_string ("SECRET"));
  g_variant_builder_add (&builder, "{sv}", "from-name", g_variant_new_string ("beta"));
  g_variant_builder_add (&builder, "{sv}", "to-name", g_variant_new_string ("alpha"));
  g_variant_builder_add (&builder, "{sv}", "preview", g_variant_new_string ("<b>not markup</b>"));
  g_variant_builder_add (&builder, "{sv}", "seconds", g_variant_new_uint32 (seconds));
  return g_variant_builder_end (&builder);
}

static void
test_question_is_refused (void)
{
  gboolean   answered;
  GtkWidget *dialog, *allow;

  set_up ();
  activate ("library", NULL);
  fake_guard_ask (guard, 5, new_question (30));
  WAIT_FOR ((dialog = find_window (BH_TYPE_QUESTION_DIALOG)) != NULL);
  allow = find_button (dialog, "_Allow");
  g_assert_false (gtk_widget_get_sensitive (allow));    /* not before there was time to read */
  g_assert_true (gtk_window_get_default_widget (GTK_WINDOW (dialog)) == find_button (dialog, "_Refuse"));
  gtk_window_close (GTK_WINDOW (dialog));
  WAIT_FOR ((fake_guard_get_answer (guard, &answered), answered));
  g_assert_false (fake_guard_get_answer (guard, &answered));

  /* Silence is a refusal too. */
  fake_guard_ask (guard, 6, new_question (1));
  WAIT_FOR (find_window (BH_TYPE_QUESTION_DIALOG) != NULL);
  WAIT_FOR ((fake_guard_get_answer (guard, &answered), answered));
  g_assert_false (fake_guard_get_answer (guard, &answered));
  tear_down ();
}

static void
test_question_is_allowed (void)
{
  gboolean   answered;
  GtkWidget *dialog, *allow;

  set_up ();
  activate ("library", NULL);
  fake_guard_ask (guard, 5, new_question (30));
  WAIT_FOR ((dialog = find_window (BH_TYPE_QUESTION_DIALOG)) != NULL);
  allow = find_button (dialog, "_Allow");
  WAIT_FOR (gtk_widget_get_sensitive (allow));
  g_signal_emit_by_name (allow, "clicked");
  WAIT_FOR (fake_guard_get_answer (guard, &answered));
  tear_down ();
}

/* ------------------------------------------------------------------------------------------------ dialogs */

static void
test_new_machine (void)
{
  GtkWidget *dialog, *next;

  set_up ();
  activate ("new-machine", NULL);
  WAIT_FOR ((dialog = find_window (BH_TYPE_NEW_MACHINE)) != NULL);
  for (guint i = 0; i < 3; i++)
    {
      next = gtk_window_get_default_widget (GTK_WINDOW (dialog));
      WAIT_FOR (gtk_widget_get_sensitive (next));
      g_signal_emit_by_name (next, "clicked");
      wait_ms (100);
    }
  WAIT_FOR (fake_guard_was_called (guard, "CreateMachine(New Machine)"));
  WAIT_FOR (fake_guard_was_called (guard, "Start(New Machine)"));
  WAIT_FOR (find_window (BH_TYPE_CONSOLE_WINDOW) != NULL);
  g_assert_null (find_window (BH_TYPE_NEW_MACHINE));
  tear_down ();
}

static void
test_new_machine_from_image (void)
{
  GtkWidget *dialog, *next;

  set_up ();
  dialog = bh_new_machine_new (library, "/srv/images/win98se.iso", BH_IMAGE_CD);
  gtk_window_set_application (GTK_WINDOW (dialog), GTK_APPLICATION (application));
  gtk_window_present (GTK_WINDOW (dialog));
  for (guint i = 0; i < 2; i++)
    {
      next = gtk_window_get_default_widget (GTK_WINDOW (dialog));
      WAIT_FOR (gtk_widget_get_sensitive (next));
      g_signal_emit_by_name (next, "clicked");
      wait_ms (100);
    }
  next = gtk_window_get_default_widget (GTK_WINDOW (dialog));
  WAIT_FOR (gtk_widget_get_sensitive (next));
  fake_guard_fail (guard, "Start", GUARD_ERROR_FAILED, "not now");
  g_signal_emit_by_name (next, "clicked");
  WAIT_FOR (fake_guard_was_called (guard, "CreateMachine(Win98se)"));
  tear_down ();
}

static void
test_label_picker (void)
{
  GtkWidget     *window = gtk_window_new ();
  BhLabelPicker *picker;

  set_up ();
  picker = BH_LABEL_PICKER (bh_label_picker_new (library));
  gtk_window_set_child (GTK_WINDOW (window), GTK_WIDGET (picker));
  g_assert_cmpstr (bh_label_picker_get_label (picker), ==, "UNCLASSIFIED");
  WAIT_FOR (bh_label_picker_get_valid (picker));
  bh_label_picker_set_label (picker, "TOP SECRET//SI/TK//SAR-BUTTER POPCORN//NOFORN");
  g_assert_cmpstr (bh_label_picker_get_label (picker), ==, "TOP SECRET//SI/TK//SAR-BUTTER POPCORN//NOFORN");
  g_assert_false (bh_label_picker_get_valid (picker));  /* until the guard has said so */
  WAIT_FOR (bh_label_picker_get_valid (picker));
  bh_label_picker_set_label (picker, "SECRET [VERIFIED]");
  g_assert_cmpstr (bh_label_picker_get_label (picker), ==, "SECRET [VERIFIED]");
  /* Words that do not go with a level are not taken along. */
  bh_label_picker_set_label (picker, "UNCLASSIFIED//SI");
  g_assert_cmpstr (bh_label_picker_get_label (picker), ==, "UNCLASSIFIED");
  gtk_window_destroy (GTK_WINDOW (window));
  tear_down ();
}

static void
test_every_window_opens (void)
{
  BhMachine     *alpha;
  BhAuditWindow *audit;
  GtkWidget     *window;
  g_autofree char *csv = NULL;

  set_up ();
  alpha = bh_library_find (library, "alpha");
  activate ("preferences", NULL);
  activate ("about", NULL);
  activate ("resources", NULL);
  activate ("audit", NULL);
  WAIT_FOR ((audit = find_window (BH_TYPE_AUDIT_WINDOW)) != NULL);
  WAIT_FOR (bh_audit_window_get_n_records (audit) == 3);
  csv = bh_audit_window_export (audit, TRUE);
  g_assert_nonnull (strstr (csv, "\"deny\",\"screenshot\",\"alpha\",\"SECRET\",\"UNCLASSIFIED\""));
  window = bh_machine_settings_new (library, alpha);
  gtk_window_present (GTK_WINDOW (window));
  wait_ms (200);
  gtk_window_destroy (GTK_WINDOW (window));
  window = bh_statistics_window_new (library, bh_library_find (library, "beta"));
  gtk_window_present (GTK_WINDOW (window));
  WAIT_FOR (fake_guard_was_called (guard, "Statistics(beta)"));
  wait_ms (100);
  gtk_window_destroy (GTK_WINDOW (window));
  window = bh_clone_dialog_new (library, alpha);
  gtk_window_present (GTK_WINDOW (window));
  adw_message_dialog_response (ADW_MESSAGE_DIALOG (window), "clone");
  WAIT_FOR (fake_guard_was_called (guard, "CloneMachine(alpha,alpha copy)"));
  tear_down ();
}

/* 1024×768, sixty times a second, with cairo: what the app needs of a core is printed, and bounded loosely because the
 * test machine is shared. */
static void
test_speed (void)
{
  BhConsoleWindow *window;
  BhGuestView     *view;
  const guint      n_frames = 180;
  int              width, height;
  clock_t          start;
  double           seconds;
  gint64           began;

  set_up ();
  fake_guard_paint (guard, 1024, 768, 0x102030, TRUE);
  window = open_console ("alpha");
  view = bh_console_window_get_view (window);
  WAIT_FOR (bh_guest_view_get_guest_size (view, &width, &height) && width == 1024);
  wait_ms (800);
  start = clock ();
  began = g_get_monotonic_time ();
  for (guint i = 0; i < n_frames; i++)
    {
      fake_guard_get_pixels (guard)[i * 1000] ^= 0xffffff;
      fake_guard_publish (guard, 0, 0, 1024, 768);
      wait_ms (16);
    }
  seconds = (double) (clock () - start) / CLOCKS_PER_SEC;
  g_test_message ("%.1f ms of processor time a frame, %.0f %% of a core at 60 frames a second (took %.1f s)",
                  seconds * 1000 / n_frames, seconds * 100 / n_frames * 60, (double) (g_get_monotonic_time () - began) / 1e6);
  g_assert_cmpfloat (seconds / n_frames * 60, <, 0.6);

  /* A screen that does not change costs nothing. */
  wait_ms (500);
  start = clock ();
  wait_ms (2000);
  seconds = (double) (clock () - start) / CLOCKS_PER_SEC;
  g_test_message ("%.1f %% of a core when nothing changes", seconds * 50);
  g_assert_cmpfloat (seconds, <, 0.2);
  tear_down ();
}

int
main (int argc, char **argv)
{
  gtk_test_init (&argc, &argv, NULL);
  /* libadwaita 1.2 ends the animations of a widget that goes away with memory already given back. */
  g_object_set (gtk_settings_get_default (), "gtk-enable-animations", FALSE, NULL);
  g_test_add_func ("/ui/library/model", test_library_model);
  g_test_add_func ("/ui/library/window", test_library_window);
  g_test_add_func ("/ui/library/delete-can-be-undone", test_delete_can_be_undone);
  g_test_add_func ("/ui/library/running-machine-cannot-be-deleted", test_running_machine_cannot_be_deleted);
  g_test_add_func ("/ui/console/powers-on", test_console_powers_on);
  g_test_add_func ("/ui/console/refused-start-is-told", test_refused_start_is_told);
  g_test_add_func ("/ui/console/strips-are-out-of-reach", test_strips);
  g_test_add_func ("/ui/console/follows-the-machine", test_console_follows_the_machine);
  g_test_add_func ("/ui/console/pointer-mapping", test_pointer_mapping);
  g_test_add_func ("/ui/console/actions-reach-the-guard", test_actions_reach_the_guard);
  g_test_add_func ("/ui/console/speed", test_speed);
  g_test_add_func ("/ui/attention", test_attention);
  g_test_add_func ("/ui/question/refused", test_question_is_refused);
  g_test_add_func ("/ui/question/allowed", test_question_is_allowed);
  g_test_add_func ("/ui/new-machine/enter-enter-create", test_new_machine);
  g_test_add_func ("/ui/new-machine/from-image", test_new_machine_from_image);
  g_test_add_func ("/ui/label-picker", test_label_picker);
  g_test_add_func ("/ui/every-window-opens", test_every_window_opens);
  return g_test_run ();
}

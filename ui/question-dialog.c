/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "question-dialog.h"

#include "genuine-mark.h"
#include "label-strip.h"

#include <glib/gi18n.h>

/* Nothing can be allowed before there was time to read, whatever keys are held down. */
enum { READING_MS = 1500, PREVIEW_CHARACTERS = 400 };

struct _BhQuestionDialog
{
  AdwWindow  parent_instance;
  BhLibrary *library;
  guint64    id;
  guint      seconds, countdown, reading;
  gboolean   answered, key_held;
  GtkWidget *content, *allow, *refuse, *countdown_label;
};

G_DEFINE_FINAL_TYPE (BhQuestionDialog, bh_question_dialog, ADW_TYPE_WINDOW)

const char *
bh_channel_title (const char *channel)
{
  static const struct { const char *name, *title; } channels[] = {
    { "clipboard-copy", N_("Copy to the clipboard") },
    { "clipboard-paste", N_("Paste from the clipboard") },
    { "drag-out", N_("Drag out") },
    { "drag-in", N_("Drag in") },
    { "folder-read", N_("Read a shared folder") },
    { "folder-write", N_("Write to a shared folder") },
    { "network-join", N_("Join a network") },
    { "nat", N_("Reach the outside network") },
    { "port-forward", N_("Forward a port") },
    { "floppy-read", N_("Read a floppy") },
    { "floppy-write", N_("Write a floppy") },
    { "cd-read", N_("Read a CD") },
    { "disk-read", N_("Read a disk") },
    { "disk-write", N_("Write a disk") },
    { "base-image", N_("Use a base image") },
    { "serial-out", N_("Write a serial port’s file") },
    { "serial-in", N_("Read a serial port’s file") },
    { "serial-link", N_("Link serial ports") },
    { "printer-out", N_("Print") },
    { "sound-out", N_("Play or record sound") },
    { "microphone", N_("Use the microphone") },
    { "snapshot", N_("Take a snapshot") },
    { "clone", N_("Clone") },
    { "export", N_("Export") },
    { "import", N_("Import") },
    { "screenshot", N_("Save a screenshot") },
    { "state-restore", N_("Restore a saved state") },
    { "host-clipboard-out", N_("Copy to the desktop’s clipboard") },
    { "host-clipboard-in", N_("Copy from the desktop’s clipboard") },
  };

  for (guint i = 0; i < G_N_ELEMENTS (channels); i++)
    if (g_strcmp0 (channel, channels[i].name) == 0)
      return _(channels[i].title);
  return channel;
}

static void
answer (BhQuestionDialog *self, gboolean allow)
{
  BhGuard1 *guard = bh_library_get_guard (self->library);

  if (self->answered)
    return;
  self->answered = TRUE;
  if (guard != NULL)
    bh_guard1_call_answer_question (guard, self->id, allow, NULL, NULL, NULL);
}

static void
on_allow (GtkButton *button, BhQuestionDialog *self)
{
  answer (self, TRUE);
  gtk_window_destroy (GTK_WINDOW (self));
}

static gboolean
bh_question_dialog_close_request (GtkWindow *window)
{
  answer (BH_QUESTION_DIALOG (window), FALSE);
  return GTK_WINDOW_CLASS (bh_question_dialog_parent_class)->close_request (window);
}

static void
show_countdown (BhQuestionDialog *self)
{
  g_autofree char *text = g_strdup_printf (ngettext ("Refused by itself in %u second", "Refused by itself in %u seconds",
                                                     self->seconds), self->seconds);

  gtk_label_set_text (GTK_LABEL (self->countdown_label), text);
}

static gboolean
on_second (gpointer data)
{
  BhQuestionDialog *self = data;

  if (self->seconds > 0)
    self->seconds--;
  show_countdown (self);
  if (self->seconds > 0)
    return G_SOURCE_CONTINUE;
  self->countdown = 0;
  gtk_window_close (GTK_WINDOW (self));
  return G_SOURCE_REMOVE;
}

static gboolean
on_read (gpointer data)
{
  BhQuestionDialog *self = data;

  self->reading = 0;
  if (!self->key_held)
    gtk_widget_set_sensitive (self->allow, TRUE);
  return G_SOURCE_REMOVE;
}

/* A key that was down when the dialog came up, or is still down from before, chooses nothing: repeats are eaten until
 * all of it is let go. */
static gboolean
on_key_pressed (GtkEventControllerKey *controller, guint keyval, guint keycode, GdkModifierType state,
                BhQuestionDialog *self)
{
  const gboolean chooses = keyval == GDK_KEY_Return || keyval == GDK_KEY_KP_Enter || keyval == GDK_KEY_ISO_Enter ||
                           keyval == GDK_KEY_space;

  if (!chooses)
    return GDK_EVENT_PROPAGATE;
  if (self->reading != 0 || self->key_held)
    {
      self->key_held = TRUE;
      return GDK_EVENT_STOP;
    }
  self->key_held = TRUE;
  return GDK_EVENT_PROPAGATE;
}

static void
on_key_released (GtkEventControllerKey *controller, guint keyval, guint keycode, GdkModifierType state,
                 BhQuestionDialog *self)
{
  self->key_held = FALSE;
  if (self->reading == 0)
    gtk_widget_set_sensitive (self->allow, TRUE);
}

static void
bh_question_dialog_dispose (GObject *object)
{
  BhQuestionDialog *self = BH_QUESTION_DIALOG (object);

  g_clear_handle_id (&self->countdown, g_source_remove);
  g_clear_handle_id (&self->reading, g_source_remove);
  g_clear_object (&self->library);

  G_OBJECT_CLASS (bh_question_dialog_parent_class)->dispose (object);
}

static void
bh_question_dialog_class_init (BhQuestionDialogClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = bh_question_dialog_dispose;
  GTK_WINDOW_CLASS (klass)->close_request = bh_question_dialog_close_request;
  gtk_widget_class_add_binding_action (GTK_WIDGET_CLASS (klass), GDK_KEY_Escape, 0, "window.close", NULL);
}

static GtkWidget *
heading (const char *text, const char *css_class)
{
  GtkWidget *label = gtk_label_new (text);

  gtk_label_set_xalign (GTK_LABEL (label), 0);
  gtk_label_set_wrap (GTK_LABEL (label), TRUE);
  gtk_widget_add_css_class (label, css_class);
  return label;
}

static GtkWidget *
party (const char *caption, const char *name, const BhLabelLook *look)
{
  GtkWidget       *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 6);
  GtkWidget       *frame = adw_bin_new ();
  GtkWidget       *strip = bh_label_strip_new ();
  g_autofree char *text = g_strdup_printf ("%s  %s", caption, name);

  bh_label_strip_set_look (BH_LABEL_STRIP (strip), look);
  adw_bin_set_child (ADW_BIN (frame), strip);
  gtk_widget_add_css_class (frame, "label-preview");
  gtk_widget_set_overflow (frame, GTK_OVERFLOW_HIDDEN);
  gtk_box_append (GTK_BOX (box), heading (text, "heading"));
  gtk_box_append (GTK_BOX (box), frame);
  return box;
}

static GtkWidget *
row (const char *title, const char *value)
{
  GtkWidget       *action_row = adw_action_row_new ();
  g_autofree char *markup = g_markup_escape_text (value, -1);

  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (action_row), title);
  adw_action_row_set_subtitle (ADW_ACTION_ROW (action_row), markup);
  adw_action_row_set_subtitle_lines (ADW_ACTION_ROW (action_row), 0);
  return action_row;
}

static void
fill (BhQuestionDialog *self, GVariant *question)
{
  g_autoptr (BhLabelLook) from = bh_label_look_new_from_variant (question, "from-");
  g_autoptr (BhLabelLook) to = bh_label_look_new_from_variant (question, "to-");
  g_autofree char        *size = g_format_size_full ((guint64) bh_lookup_number (question, "bytes", 0),
                                                     G_FORMAT_SIZE_LONG_FORMAT);
  const char             *preview = bh_lookup_string (question, "preview", "");
  GtkWidget              *list = gtk_list_box_new ();
  GtkWidget              *mark = bh_genuine_mark_new ();

  bh_genuine_mark_set_phrase (BH_GENUINE_MARK (mark),
                              bh_lookup_string (bh_library_get_status (self->library), "phrase", ""));
  gtk_box_append (GTK_BOX (self->content), mark);
  gtk_box_append (GTK_BOX (self->content), gtk_separator_new (GTK_ORIENTATION_HORIZONTAL));
  gtk_box_append (GTK_BOX (self->content), heading (bh_channel_title (bh_lookup_string (question, "channel", "")), "title-2"));
  gtk_box_append (GTK_BOX (self->content), party (_("From"), bh_lookup_string (question, "from-name", ""), from));
  gtk_box_append (GTK_BOX (self->content), party (_("To"), bh_lookup_string (question, "to-name", ""), to));

  gtk_list_box_set_selection_mode (GTK_LIST_BOX (list), GTK_SELECTION_NONE);
  gtk_widget_add_css_class (list, "boxed-list");
  gtk_list_box_append (GTK_LIST_BOX (list), row (_("Type"), bh_lookup_string (question, "type", "–")));
  gtk_list_box_append (GTK_LIST_BOX (list), row (_("Size"), size));
  gtk_list_box_append (GTK_LIST_BOX (list), row (_("Rule"), bh_lookup_string (question, "rule", "–")));
  gtk_box_append (GTK_BOX (self->content), list);

  if (*preview)
    {
      g_autofree char *shown = g_utf8_strlen (preview, -1) > PREVIEW_CHARACTERS
                                 ? g_utf8_substring (preview, 0, PREVIEW_CHARACTERS) : g_strdup (preview);
      GtkWidget       *label = heading (shown, "mono");
      GtkWidget       *frame = adw_bin_new ();

      gtk_label_set_wrap_mode (GTK_LABEL (label), PANGO_WRAP_WORD_CHAR);
      gtk_label_set_lines (GTK_LABEL (label), 6);
      gtk_label_set_ellipsize (GTK_LABEL (label), PANGO_ELLIPSIZE_END);
      gtk_widget_set_margin_top (label, 9);
      gtk_widget_set_margin_bottom (label, 9);
      gtk_widget_set_margin_start (label, 12);
      gtk_widget_set_margin_end (label, 12);
      adw_bin_set_child (ADW_BIN (frame), label);
      gtk_widget_add_css_class (frame, "card");
      gtk_box_append (GTK_BOX (self->content), heading (_("What would flow"), "heading"));
      gtk_box_append (GTK_BOX (self->content), frame);
    }
}

static void
bh_question_dialog_init (BhQuestionDialog *self)
{
  GtkEventController *keys = gtk_event_controller_key_new ();
  GtkWidget          *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 0);
  GtkWidget          *header = adw_header_bar_new ();
  GtkWidget          *scroller = gtk_scrolled_window_new ();
  GtkWidget          *buttons = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 12);

  gtk_window_set_title (GTK_WINDOW (self), _("May This Flow?"));
  gtk_window_set_modal (GTK_WINDOW (self), TRUE);
  gtk_window_set_default_size (GTK_WINDOW (self), 480, 720);
  adw_header_bar_set_show_start_title_buttons (ADW_HEADER_BAR (header), FALSE);
  adw_header_bar_set_show_end_title_buttons (ADW_HEADER_BAR (header), FALSE);

  self->content = gtk_box_new (GTK_ORIENTATION_VERTICAL, 15);
  gtk_widget_set_margin_top (self->content, 12);
  gtk_widget_set_margin_bottom (self->content, 12);
  gtk_widget_set_margin_start (self->content, 18);
  gtk_widget_set_margin_end (self->content, 18);
  gtk_scrolled_window_set_child (GTK_SCROLLED_WINDOW (scroller), self->content);
  gtk_scrolled_window_set_policy (GTK_SCROLLED_WINDOW (scroller), GTK_POLICY_NEVER, GTK_POLICY_AUTOMATIC);
  gtk_widget_set_vexpand (scroller, TRUE);

  self->countdown_label = gtk_label_new (NULL);
  gtk_widget_add_css_class (self->countdown_label, "countdown");
  gtk_widget_add_css_class (self->countdown_label, "dim-label");
  gtk_widget_set_margin_top (self->countdown_label, 6);
  self->refuse = gtk_button_new_with_mnemonic (_("_Refuse"));
  gtk_actionable_set_action_name (GTK_ACTIONABLE (self->refuse), "window.close");
  gtk_widget_add_css_class (self->refuse, "suggested-action");
  self->allow = gtk_button_new_with_mnemonic (_("_Allow"));
  gtk_widget_set_sensitive (self->allow, FALSE);
  g_signal_connect (self->allow, "clicked", G_CALLBACK (on_allow), self);
  gtk_widget_set_hexpand (self->refuse, TRUE);
  gtk_widget_set_hexpand (self->allow, TRUE);
  gtk_box_append (GTK_BOX (buttons), self->allow);
  gtk_box_append (GTK_BOX (buttons), self->refuse);
  gtk_widget_set_margin_top (buttons, 12);
  gtk_widget_set_margin_bottom (buttons, 18);
  gtk_widget_set_margin_start (buttons, 18);
  gtk_widget_set_margin_end (buttons, 18);

  gtk_box_append (GTK_BOX (box), header);
  gtk_box_append (GTK_BOX (box), scroller);
  gtk_box_append (GTK_BOX (box), self->countdown_label);
  gtk_box_append (GTK_BOX (box), buttons);
  adw_window_set_content (ADW_WINDOW (self), box);
  gtk_window_set_default_widget (GTK_WINDOW (self), self->refuse);
  gtk_window_set_focus (GTK_WINDOW (self), self->refuse);

  gtk_event_controller_set_propagation_phase (keys, GTK_PHASE_CAPTURE);
  g_signal_connect (keys, "key-pressed", G_CALLBACK (on_key_pressed), self);
  g_signal_connect (keys, "key-released", G_CALLBACK (on_key_released), self);
  gtk_widget_add_controller (GTK_WIDGET (self), keys);
}

GtkWidget *
bh_question_dialog_new (BhLibrary *library, guint64 id, GVariant *question)
{
  BhQuestionDialog *self = g_object_new (BH_TYPE_QUESTION_DIALOG, NULL);

  self->library = g_object_ref (library);
  self->id = id;
  self->seconds = (guint) CLAMP (bh_lookup_number (question, "seconds", 30), 1, 3600);
  fill (self, question);
  show_countdown (self);
  self->countdown = g_timeout_add_seconds (1, on_second, self);
  self->reading = g_timeout_add (READING_MS, on_read, self);
  return GTK_WIDGET (self);
}

guint64
bh_question_dialog_get_id (BhQuestionDialog *self)
{
  g_return_val_if_fail (BH_IS_QUESTION_DIALOG (self), 0);

  return self->id;
}

void
bh_question_dialog_withdraw (BhQuestionDialog *self)
{
  g_return_if_fail (BH_IS_QUESTION_DIALOG (self));

  self->answered = TRUE;
  gtk_window_destroy (GTK_WINDOW (self));
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "statistics-window.h"

#include "label-strip.h"

#include <glib/gi18n.h>

enum { REFRESH_SECONDS = 2 };

struct _BhStatisticsWindow
{
  AdwWindow     parent_instance;
  BhLibrary    *library;
  BhMachine    *machine;
  GCancellable *cancellable;
  guint         source;
  GHashTable   *reasons;        /* code -> value label */
  GtkWidget    *strip, *engine, *uptime, *frames, *instructions, *translated, *interpreted, *share, *speed;
  GtkWidget    *reason_group, *no_reason;
  guint64       last_instructions;
  gint64        last_time;
};

G_DEFINE_FINAL_TYPE (BhStatisticsWindow, bh_statistics_window, ADW_TYPE_WINDOW)

/* The thesis's third requirement of a virtual machine monitor, by its parts. */
static const char *
reason_text (const char *code)
{
  if (g_str_has_prefix (code, "3A"))
    return _("Reads or changes the mode or state of the machine");
  if (g_str_has_prefix (code, "3B"))
    return _("Reads or changes sensitive registers or memory");
  if (g_str_has_prefix (code, "3C"))
    return _("Refers to the protection, memory or address system");
  if (g_str_has_prefix (code, "3D"))
    return _("Input or output");
  return _("Other");
}

static char *
group_digits (guint64 number)
{
  return g_strdup_printf ("%'" G_GUINT64_FORMAT, number);
}

static void
set_number (GtkWidget *label, guint64 number)
{
  g_autofree char *text = group_digits (number);

  gtk_label_set_text (GTK_LABEL (label), text);
}

static GtkWidget *
add_row (GtkWidget *group, const char *title, const char *subtitle)
{
  GtkWidget *row = adw_action_row_new ();
  GtkWidget *value = gtk_label_new ("–");

  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), title);
  if (subtitle != NULL)
    adw_action_row_set_subtitle (ADW_ACTION_ROW (row), subtitle);
  gtk_widget_add_css_class (value, "dim-label");
  gtk_widget_add_css_class (value, "numeric");
  gtk_label_set_selectable (GTK_LABEL (value), TRUE);
  adw_action_row_add_suffix (ADW_ACTION_ROW (row), value);
  adw_preferences_group_add (ADW_PREFERENCES_GROUP (group), row);
  return value;
}

static void
show_reasons (BhStatisticsWindow *self, GVariant *statistics)
{
  g_autoptr (GVariant) reasons = g_variant_lookup_value (statistics, "reasons", G_VARIANT_TYPE ("a{st}"));
  GVariantIter         iter;
  const char          *code;
  guint64              count;

  if (reasons == NULL)
    return;
  g_variant_iter_init (&iter, reasons);
  while (g_variant_iter_next (&iter, "{&st}", &code, &count))
    {
      GtkWidget *value = g_hash_table_lookup (self->reasons, code);

      if (value == NULL)
        {
          g_autofree char *title = g_markup_escape_text (code, -1);

          value = add_row (self->reason_group, title, reason_text (code));
          g_hash_table_insert (self->reasons, g_strdup (code), value);
        }
      set_number (value, count);
    }
  gtk_widget_set_visible (self->no_reason, g_hash_table_size (self->reasons) == 0);
}

static void
on_statistics (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant) statistics = NULL;
  g_autoptr (GError)   error = NULL;
  BhStatisticsWindow  *self;
  guint64              instructions, translated, interpreted, uptime;
  gint64               now = g_get_monotonic_time ();
  g_autofree char     *share = NULL, *time = NULL, *speed = NULL;

  if (!bh_guard1_call_statistics_finish (BH_GUARD1 (source), &statistics, result, &error))
    return;
  self = BH_STATISTICS_WINDOW (data);
  instructions = (guint64) bh_lookup_number (statistics, "instructions", 0);
  translated = (guint64) bh_lookup_number (statistics, "translated", 0);
  interpreted = (guint64) bh_lookup_number (statistics, "interpreted", 0);
  uptime = (guint64) bh_lookup_number (statistics, "uptime-ns", 0) / 1000000000u;
  set_number (self->instructions, instructions);
  set_number (self->translated, translated);
  set_number (self->interpreted, interpreted);
  set_number (self->frames, (guint64) bh_lookup_number (statistics, "frames", 0));
  if (translated + interpreted > 0)
    {
      const char *format = bh_lookup_boolean (statistics, "estimated") ? _("%.3f %% (estimated)") : "%.3f %%";

      share = g_strdup_printf (format, 100.0 * (double) translated / (double) (translated + interpreted));
      gtk_label_set_text (GTK_LABEL (self->share), share);
    }
  if (self->last_time != 0 && now > self->last_time && instructions >= self->last_instructions)
    {
      speed = g_strdup_printf (_("%.1f million a second"),
                               (double) (instructions - self->last_instructions) / (double) (now - self->last_time));
      gtk_label_set_text (GTK_LABEL (self->speed), speed);
    }
  self->last_time = now;
  self->last_instructions = instructions;
  time = g_strdup_printf ("%" G_GUINT64_FORMAT ":%02u:%02u", uptime / 3600, (guint) (uptime / 60 % 60), (guint) (uptime % 60));
  gtk_label_set_text (GTK_LABEL (self->uptime), time);
  show_reasons (self, statistics);
}

static gboolean
ask (gpointer data)
{
  BhStatisticsWindow *self = data;
  BhGuard1           *guard = bh_library_get_guard (self->library);

  gtk_label_set_text (GTK_LABEL (self->engine),
                      bh_lookup_string (bh_machine_get_details (self->machine), "engine", "–"));
  if (guard != NULL && bh_machine_is_alive (self->machine))
    bh_guard1_call_statistics (guard, bh_machine_get_name (self->machine), self->cancellable, on_statistics, self);
  return G_SOURCE_CONTINUE;
}

static void
bh_statistics_window_dispose (GObject *object)
{
  BhStatisticsWindow *self = BH_STATISTICS_WINDOW (object);

  g_clear_handle_id (&self->source, g_source_remove);
  g_cancellable_cancel (self->cancellable);
  g_clear_object (&self->library);
  g_clear_object (&self->machine);

  G_OBJECT_CLASS (bh_statistics_window_parent_class)->dispose (object);
}

static void
bh_statistics_window_finalize (GObject *object)
{
  BhStatisticsWindow *self = BH_STATISTICS_WINDOW (object);

  g_clear_object (&self->cancellable);
  g_clear_pointer (&self->reasons, g_hash_table_unref);

  G_OBJECT_CLASS (bh_statistics_window_parent_class)->finalize (object);
}

static void
bh_statistics_window_class_init (BhStatisticsWindowClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = bh_statistics_window_dispose;
  G_OBJECT_CLASS (klass)->finalize = bh_statistics_window_finalize;
  gtk_widget_class_add_binding_action (GTK_WIDGET_CLASS (klass), GDK_KEY_Escape, 0, "window.close", NULL);
}

static void
bh_statistics_window_init (BhStatisticsWindow *self)
{
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 0);
  GtkWidget *page = adw_preferences_page_new ();
  GtkWidget *general = adw_preferences_group_new ();
  GtkWidget *execution = adw_preferences_group_new ();

  self->cancellable = g_cancellable_new ();
  self->reasons = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->strip = bh_label_strip_new ();
  self->engine = add_row (general, _("Engine"), NULL);
  self->uptime = add_row (general, _("Guest Time"), NULL);
  self->frames = add_row (general, _("Frames Shown"), NULL);
  adw_preferences_group_set_title (ADW_PREFERENCES_GROUP (execution), _("Instructions"));
  self->instructions = add_row (execution, _("All"), NULL);
  self->speed = add_row (execution, _("Speed"), NULL);
  self->translated = add_row (execution, _("Translated"), _("Run directly as code of this computer"));
  self->interpreted = add_row (execution, _("Interpreted"), _("Carried out one by one under control"));
  self->share = add_row (execution, _("Share Translated"), NULL);
  self->reason_group = adw_preferences_group_new ();
  adw_preferences_group_set_title (ADW_PREFERENCES_GROUP (self->reason_group), _("Why Interpreted"));
  self->no_reason = adw_action_row_new ();
  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (self->no_reason), _("Nothing yet"));
  adw_preferences_group_add (ADW_PREFERENCES_GROUP (self->reason_group), self->no_reason);
  adw_preferences_page_add (ADW_PREFERENCES_PAGE (page), ADW_PREFERENCES_GROUP (general));
  adw_preferences_page_add (ADW_PREFERENCES_PAGE (page), ADW_PREFERENCES_GROUP (execution));
  adw_preferences_page_add (ADW_PREFERENCES_PAGE (page), ADW_PREFERENCES_GROUP (self->reason_group));
  gtk_widget_set_vexpand (page, TRUE);
  gtk_box_append (GTK_BOX (box), self->strip);
  gtk_box_append (GTK_BOX (box), adw_header_bar_new ());
  gtk_box_append (GTK_BOX (box), page);
  adw_window_set_content (ADW_WINDOW (self), box);
  gtk_window_set_default_size (GTK_WINDOW (self), 480, 640);
}

GtkWidget *
bh_statistics_window_new (BhLibrary *library, BhMachine *machine)
{
  BhStatisticsWindow *self = g_object_new (BH_TYPE_STATISTICS_WINDOW, NULL);
  g_autofree char    *title = g_strdup_printf (_("%s: Statistics"), bh_machine_get_name (machine));

  self->library = g_object_ref (library);
  self->machine = g_object_ref (machine);
  gtk_window_set_title (GTK_WINDOW (self), title);
  bh_label_strip_set_look (BH_LABEL_STRIP (self->strip), bh_machine_get_look (machine));
  ask (self);
  self->source = g_timeout_add_seconds (REFRESH_SECONDS, ask, self);
  return GTK_WIDGET (self);
}

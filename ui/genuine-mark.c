/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "genuine-mark.h"

#include <glib/gi18n.h>

enum { CELLS = 5, CELL = 9, SIZE = CELLS * CELL };

struct _BhGenuineMark
{
  GtkWidget  parent_instance;
  GtkWidget *box, *picture, *text, *hint;
  guint8     digest[32];
  gboolean   has_phrase;
};

G_DEFINE_FINAL_TYPE (BhGenuineMark, bh_genuine_mark, GTK_TYPE_WIDGET)

/* A symmetric pattern of cells in a colour of its own, both from the phrase's digest: people see at a glance when it is
 * another one. */
static void
draw (GtkDrawingArea *area, cairo_t *cr, int width, int height, gpointer data)
{
  BhGenuineMark *self = data;
  float          red, green, blue;

  if (!self->has_phrase)
    return;
  gtk_hsv_to_rgb (self->digest[0] / 255.0f, 0.45f + self->digest[1] / 255.0f * 0.35f, 0.75f, &red, &green, &blue);
  cairo_set_source_rgb (cr, 0.96, 0.96, 0.96);
  cairo_paint (cr);
  cairo_set_source_rgb (cr, red, green, blue);
  for (int y = 0; y < CELLS; y++)
    for (int x = 0; x < (CELLS + 1) / 2; x++)
      if (self->digest[2 + y * 3 + x] & 1)
        {
          cairo_rectangle (cr, x * CELL, y * CELL, CELL, CELL);
          cairo_rectangle (cr, (CELLS - 1 - x) * CELL, y * CELL, CELL, CELL);
        }
  cairo_fill (cr);
}

static void
bh_genuine_mark_dispose (GObject *object)
{
  g_clear_pointer (&BH_GENUINE_MARK (object)->box, gtk_widget_unparent);

  G_OBJECT_CLASS (bh_genuine_mark_parent_class)->dispose (object);
}

static void
bh_genuine_mark_class_init (BhGenuineMarkClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = bh_genuine_mark_dispose;
  gtk_widget_class_set_layout_manager_type (GTK_WIDGET_CLASS (klass), GTK_TYPE_BIN_LAYOUT);
}

static void
bh_genuine_mark_init (BhGenuineMark *self)
{
  GtkWidget *words = gtk_box_new (GTK_ORIENTATION_VERTICAL, 2);

  self->picture = gtk_drawing_area_new ();
  gtk_drawing_area_set_content_width (GTK_DRAWING_AREA (self->picture), SIZE);
  gtk_drawing_area_set_content_height (GTK_DRAWING_AREA (self->picture), SIZE);
  gtk_drawing_area_set_draw_func (GTK_DRAWING_AREA (self->picture), draw, self, NULL);
  gtk_widget_set_valign (self->picture, GTK_ALIGN_CENTER);
  self->text = gtk_label_new (NULL);
  gtk_label_set_wrap (GTK_LABEL (self->text), TRUE);
  gtk_label_set_xalign (GTK_LABEL (self->text), 0);
  gtk_widget_add_css_class (self->text, "phrase");
  self->hint = gtk_label_new (NULL);
  gtk_label_set_wrap (GTK_LABEL (self->hint), TRUE);
  gtk_label_set_xalign (GTK_LABEL (self->hint), 0);
  gtk_widget_add_css_class (self->hint, "dim-label");
  gtk_widget_add_css_class (self->hint, "caption");
  gtk_box_append (GTK_BOX (words), self->text);
  gtk_box_append (GTK_BOX (words), self->hint);
  gtk_widget_set_valign (words, GTK_ALIGN_CENTER);
  self->box = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 12);
  gtk_box_append (GTK_BOX (self->box), self->picture);
  gtk_box_append (GTK_BOX (self->box), words);
  gtk_widget_set_parent (self->box, GTK_WIDGET (self));
}

GtkWidget *
bh_genuine_mark_new (void)
{
  GtkWidget *self = g_object_new (BH_TYPE_GENUINE_MARK, NULL);

  bh_genuine_mark_set_phrase (BH_GENUINE_MARK (self), NULL);
  return self;
}

void
bh_genuine_mark_set_phrase (BhGenuineMark *self, const char *phrase)
{
  g_return_if_fail (BH_IS_GENUINE_MARK (self));

  self->has_phrase = phrase != NULL && *phrase != '\0';
  if (self->has_phrase)
    {
      g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
      gsize                 n_bytes = sizeof self->digest;

      g_checksum_update (checksum, (const guchar *) phrase, -1);
      g_checksum_get_digest (checksum, self->digest, &n_bytes);
    }
  gtk_label_set_text (GTK_LABEL (self->text), self->has_phrase ? phrase : _("No phrase chosen yet"));
  gtk_label_set_text (GTK_LABEL (self->hint), self->has_phrase
                      ? _("Your phrase and its picture: only genuine windows of Bulkhead show them.")
                      : _("Choose one in the preferences; genuine windows will then show it."));
  gtk_widget_set_visible (self->picture, self->has_phrase);
  gtk_widget_queue_draw (self->picture);
}

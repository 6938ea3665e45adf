/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "label-strip.h"

#include <glib/gi18n.h>
#include <math.h>

struct _BhLabelStrip
{
  GtkWidget    parent_instance;
  BhLabelLook *look;
  GtkWidget   *caption, *text, *note;
  char        *prefix;
  gboolean     compact;
};

enum { PROP_0, PROP_LOOK, PROP_CAPTION, PROP_NOTE, PROP_COMPACT, PROP_PREFIX, N_PROPS };
enum { HEIGHT = 26, COMPACT_HEIGHT = 22, COMPACT_WIDTH = 200, SHAPE = 12, MARGIN = 10, SPACING = 8 };

static GParamSpec *properties[N_PROPS];

G_DEFINE_FINAL_TYPE (BhLabelStrip, bh_label_strip, GTK_TYPE_WIDGET)

static void
colour_label (GtkWidget *label, const BhLabelLook *look, PangoWeight weight)
{
  PangoAttrList *attributes = pango_attr_list_new ();
  const GdkRGBA  c = look ? look->foreground : (GdkRGBA) { 1, 1, 1, 1 };

  pango_attr_list_insert (attributes, pango_attr_weight_new (weight));
  pango_attr_list_insert (attributes, pango_attr_foreground_new ((guint16) (c.red * 65535), (guint16) (c.green * 65535),
                                                                 (guint16) (c.blue * 65535)));
  /* The theme's text is a little see-through; a label's is not. */
  pango_attr_list_insert (attributes, pango_attr_foreground_alpha_new (65535));
  gtk_label_set_attributes (GTK_LABEL (label), attributes);
  pango_attr_list_unref (attributes);
}

static void
refresh (BhLabelStrip *self)
{
  g_autofree char *text = NULL;
  g_autofree char *spoken = NULL;

  if (self->look != NULL)
    text = g_strconcat (self->prefix ? self->prefix : "", self->look->text, NULL);
  gtk_label_set_text (GTK_LABEL (self->text), text ? text : "");
  colour_label (self->text, self->look, PANGO_WEIGHT_BOLD);
  colour_label (self->caption, self->look, PANGO_WEIGHT_NORMAL);
  colour_label (self->note, self->look, PANGO_WEIGHT_NORMAL);
  /* Translators: read by screen readers; %s is a security label such as SECRET. */
  spoken = g_strdup_printf (_("Label: %s"), text ? text : "");
  gtk_accessible_update_property (GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_PROPERTY_LABEL, spoken, -1);
  gtk_widget_queue_resize (GTK_WIDGET (self));
}

/* A label is never cut short in a strip: where it does not fit, the strip grows. Cards may shorten it (they have a tooltip). */
static int
strip_height (BhLabelStrip *self, int for_width)
{
  int natural;

  if (self->look == NULL)
    return 0;
  if (for_width >= 0)
    for_width = MAX (1, for_width - 2 * (MARGIN + SHAPE + SPACING));
  gtk_widget_measure (self->text, GTK_ORIENTATION_VERTICAL, for_width, NULL, &natural, NULL, NULL);
  return MAX (natural + 4, self->compact ? COMPACT_HEIGHT : HEIGHT);
}

static GtkSizeRequestMode
bh_label_strip_get_request_mode (GtkWidget *widget)
{
  return GTK_SIZE_REQUEST_HEIGHT_FOR_WIDTH;
}

static void
bh_label_strip_measure (GtkWidget *widget, GtkOrientation orientation, int for_size, int *minimum, int *natural,
                        int *minimum_baseline, int *natural_baseline)
{
  BhLabelStrip *self = BH_LABEL_STRIP (widget);

  if (orientation == GTK_ORIENTATION_VERTICAL)
    *minimum = *natural = strip_height (self, for_size);
  else
    {
      int text_minimum, text_natural;

      gtk_widget_measure (self->text, orientation, -1, &text_minimum, &text_natural, NULL, NULL);
      *minimum = text_minimum + 2 * (MARGIN + SHAPE + SPACING);
      *natural = text_natural + 2 * (MARGIN + SHAPE + SPACING);
      if (self->compact)
        *natural = MAX (*minimum, MIN (*natural, COMPACT_WIDTH));
    }
}

/* The words stand in the middle of the strip, whatever is at the sides; the sides share what is left. */
static void
bh_label_strip_size_allocate (GtkWidget *widget, int width, int height, int baseline)
{
  BhLabelStrip *self = BH_LABEL_STRIP (widget);
  const int     edge = MARGIN + SHAPE + SPACING;
  int           natural, text_width, text_x, side;

  if (self->look == NULL || width <= 2 * edge)
    {
      gtk_widget_set_child_visible (self->caption, FALSE);
      gtk_widget_set_child_visible (self->note, FALSE);
      gtk_widget_size_allocate (self->text, &(GtkAllocation) { 0, 0, MAX (width, 1), MAX (height, 1) }, -1);
      return;
    }
  gtk_widget_measure (self->text, GTK_ORIENTATION_HORIZONTAL, -1, NULL, &natural, NULL, NULL);
  text_width = MIN (natural, width - 2 * edge);
  text_x = (width - text_width) / 2;
  gtk_widget_size_allocate (self->text, &(GtkAllocation) { text_x, 0, text_width, height }, -1);

  side = text_x - SPACING - edge;
  for (int i = 0; i < 2; i++)
    {
      GtkWidget *child = i == 0 ? self->caption : self->note;
      int        minimum, wanted, given;

      gtk_widget_measure (child, GTK_ORIENTATION_HORIZONTAL, -1, &minimum, &wanted, NULL, NULL);
      given = MIN (wanted, side);
      gtk_widget_set_child_visible (child, given >= MAX (minimum, 24));
      if (given >= MAX (minimum, 24))
        gtk_widget_size_allocate (child, &(GtkAllocation) { i == 0 ? edge : width - edge - given, 0, given, height }, -1);
    }
}

static void
draw_shape (cairo_t *cr, BhPattern pattern, double x, double y, double size)
{
  const double r = size / 2;

  cairo_new_path (cr);
  switch (pattern)
    {
    case BH_PATTERN_CIRCLE:
      cairo_arc (cr, x, y, r, 0, 2 * G_PI);
      break;
    case BH_PATTERN_SQUARE:
      cairo_rectangle (cr, x - r * 0.85, y - r * 0.85, size * 0.85, size * 0.85);
      break;
    case BH_PATTERN_TRIANGLE:
      cairo_move_to (cr, x, y - r);
      cairo_line_to (cr, x + r, y + r * 0.8);
      cairo_line_to (cr, x - r, y + r * 0.8);
      cairo_close_path (cr);
      break;
    case BH_PATTERN_DIAMOND:
      cairo_move_to (cr, x, y - r);
      cairo_line_to (cr, x + r, y);
      cairo_line_to (cr, x, y + r);
      cairo_line_to (cr, x - r, y);
      cairo_close_path (cr);
      break;
    case BH_PATTERN_CROSS:
      cairo_rectangle (cr, x - r * 0.3, y - r, size * 0.3, size);
      cairo_rectangle (cr, x - r, y - r * 0.3, size, size * 0.3);
      break;
    case BH_PATTERN_STAR:
      for (int i = 0; i < 10; i++)
        {
          double angle = -G_PI / 2 + i * G_PI / 5;
          double radius = i % 2 ? r * 0.42 : r;

          cairo_line_to (cr, x + radius * cos (angle), y + radius * sin (angle));
        }
      cairo_close_path (cr);
      break;
    case BH_PATTERN_NONE:
    default:
      return;
    }
  cairo_fill (cr);
}

static void
bh_label_strip_snapshot (GtkWidget *widget, GtkSnapshot *snapshot)
{
  BhLabelStrip *self = BH_LABEL_STRIP (widget);
  const int     width = gtk_widget_get_width (widget);
  const int     height = gtk_widget_get_height (widget);

  if (self->look == NULL)
    return;
  gtk_snapshot_append_color (snapshot, &self->look->background, &GRAPHENE_RECT_INIT (0, 0, width, height));
  if (self->look->pattern != BH_PATTERN_NONE && width > 2 * (MARGIN + SHAPE))
    {
      cairo_t *cr = gtk_snapshot_append_cairo (snapshot, &GRAPHENE_RECT_INIT (0, 0, width, height));

      gdk_cairo_set_source_rgba (cr, &self->look->foreground);
      draw_shape (cr, self->look->pattern, MARGIN + SHAPE / 2.0, height / 2.0, SHAPE);
      draw_shape (cr, self->look->pattern, width - MARGIN - SHAPE / 2.0, height / 2.0, SHAPE);
      cairo_destroy (cr);
    }
  gtk_widget_snapshot_child (widget, self->caption, snapshot);
  gtk_widget_snapshot_child (widget, self->text, snapshot);
  gtk_widget_snapshot_child (widget, self->note, snapshot);
}

static void
bh_label_strip_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  BhLabelStrip *self = BH_LABEL_STRIP (object);

  switch (id)
    {
    case PROP_LOOK:
      bh_label_strip_set_look (self, g_value_get_boxed (value));
      break;
    case PROP_CAPTION:
      bh_label_strip_set_caption (self, g_value_get_string (value));
      break;
    case PROP_NOTE:
      bh_label_strip_set_note (self, g_value_get_string (value));
      break;
    case PROP_COMPACT:
      self->compact = g_value_get_boolean (value);
      if (self->compact)
        {
          gtk_widget_add_css_class (GTK_WIDGET (self), "caption");
          gtk_label_set_wrap (GTK_LABEL (self->text), FALSE);
          gtk_label_set_ellipsize (GTK_LABEL (self->text), PANGO_ELLIPSIZE_END);
        }
      refresh (self);
      break;
    case PROP_PREFIX:
      g_free (self->prefix);
      self->prefix = g_value_dup_string (value);
      refresh (self);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bh_label_strip_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  BhLabelStrip *self = BH_LABEL_STRIP (object);

  switch (id)
    {
    case PROP_LOOK:
      g_value_set_boxed (value, self->look);
      break;
    case PROP_CAPTION:
      g_value_set_string (value, gtk_label_get_text (GTK_LABEL (self->caption)));
      break;
    case PROP_NOTE:
      g_value_set_string (value, gtk_label_get_text (GTK_LABEL (self->note)));
      break;
    case PROP_COMPACT:
      g_value_set_boolean (value, self->compact);
      break;
    case PROP_PREFIX:
      g_value_set_string (value, self->prefix);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bh_label_strip_dispose (GObject *object)
{
  BhLabelStrip *self = BH_LABEL_STRIP (object);

  g_clear_pointer (&self->caption, gtk_widget_unparent);
  g_clear_pointer (&self->text, gtk_widget_unparent);
  g_clear_pointer (&self->note, gtk_widget_unparent);
  g_clear_pointer (&self->look, bh_label_look_free);
  g_clear_pointer (&self->prefix, g_free);

  G_OBJECT_CLASS (bh_label_strip_parent_class)->dispose (object);
}

static void
bh_label_strip_class_init (BhLabelStripClass *klass)
{
  GObjectClass     *object_class = G_OBJECT_CLASS (klass);
  GtkWidgetClass   *widget_class = GTK_WIDGET_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS;

  object_class->set_property = bh_label_strip_set_property;
  object_class->get_property = bh_label_strip_get_property;
  object_class->dispose = bh_label_strip_dispose;
  widget_class->get_request_mode = bh_label_strip_get_request_mode;
  widget_class->measure = bh_label_strip_measure;
  widget_class->size_allocate = bh_label_strip_size_allocate;
  widget_class->snapshot = bh_label_strip_snapshot;

  properties[PROP_LOOK] = g_param_spec_boxed ("look", NULL, NULL, BH_TYPE_LABEL_LOOK, flags);
  properties[PROP_CAPTION] = g_param_spec_string ("caption", NULL, NULL, NULL, flags);
  properties[PROP_NOTE] = g_param_spec_string ("note", NULL, NULL, NULL, flags);
  properties[PROP_COMPACT] = g_param_spec_boolean ("compact", NULL, NULL, FALSE, flags);
  properties[PROP_PREFIX] = g_param_spec_string ("prefix", NULL, NULL, NULL, flags);
  g_object_class_install_properties (object_class, N_PROPS, properties);

  gtk_widget_class_set_css_name (widget_class, "labelstrip");
  gtk_widget_class_set_accessible_role (widget_class, GTK_ACCESSIBLE_ROLE_STATUS);
}

static GtkWidget *
add_label (BhLabelStrip *self, gboolean whole)
{
  GtkWidget *label = gtk_label_new (NULL);

  if (whole)
    {
      gtk_label_set_wrap (GTK_LABEL (label), TRUE);
      gtk_label_set_wrap_mode (GTK_LABEL (label), PANGO_WRAP_WORD_CHAR);
      gtk_label_set_justify (GTK_LABEL (label), GTK_JUSTIFY_CENTER);
    }
  else
    gtk_label_set_ellipsize (GTK_LABEL (label), PANGO_ELLIPSIZE_END);
  gtk_widget_set_parent (label, GTK_WIDGET (self));
  return label;
}

static void
bh_label_strip_init (BhLabelStrip *self)
{
  self->caption = add_label (self, FALSE);
  self->text = add_label (self, TRUE);
  self->note = add_label (self, FALSE);
  gtk_widget_set_hexpand (GTK_WIDGET (self), TRUE);
  gtk_widget_set_overflow (GTK_WIDGET (self), GTK_OVERFLOW_HIDDEN);
}

GtkWidget *
bh_label_strip_new (void)
{
  return g_object_new (BH_TYPE_LABEL_STRIP, NULL);
}

void
bh_label_strip_set_look (BhLabelStrip *self, const BhLabelLook *look)
{
  g_return_if_fail (BH_IS_LABEL_STRIP (self));

  if (bh_label_look_equal (self->look, look))
    return;
  bh_label_look_free (self->look);
  self->look = look ? bh_label_look_copy (look) : NULL;
  refresh (self);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_LOOK]);
}

void
bh_label_strip_set_caption (BhLabelStrip *self, const char *caption)
{
  g_return_if_fail (BH_IS_LABEL_STRIP (self));

  gtk_label_set_text (GTK_LABEL (self->caption), caption ? caption : "");
  gtk_widget_queue_allocate (GTK_WIDGET (self));
}

void
bh_label_strip_set_note (BhLabelStrip *self, const char *note)
{
  g_return_if_fail (BH_IS_LABEL_STRIP (self));

  gtk_label_set_text (GTK_LABEL (self->note), note ? note : "");
  gtk_widget_queue_allocate (GTK_WIDGET (self));
}

const char *
bh_label_strip_get_text (BhLabelStrip *self)
{
  g_return_val_if_fail (BH_IS_LABEL_STRIP (self), NULL);

  return gtk_label_get_text (GTK_LABEL (self->text));
}

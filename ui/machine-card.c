/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "machine-card.h"

#include "label-strip.h"

#include <glib/gi18n.h>

struct _BhMachineCard
{
  GtkWidget  parent_instance;
  BhMachine *machine;
  gboolean   as_row;
  GtkWidget *box, *strip, *preview, *picture, *icon, *name, *state, *state_icon, *detail;
};

enum { SIGNAL_MENU, N_SIGNALS };
enum { PREVIEW_WIDTH = 208, PREVIEW_HEIGHT = 132, ROW_PREVIEW_WIDTH = 72, ROW_PREVIEW_HEIGHT = 46 };

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (BhMachineCard, bh_machine_card, GTK_TYPE_WIDGET)

static const char *
state_icon_name (BhMachineState state)
{
  switch (state)
    {
    case BH_MACHINE_RUNNING:
      return "media-playback-start-symbolic";
    case BH_MACHINE_PAUSED:
      return "media-playback-pause-symbolic";
    case BH_MACHINE_SUSPENDED:
      return "weather-clear-night-symbolic";
    case BH_MACHINE_CRASHED:
      return "dialog-warning-symbolic";
    case BH_MACHINE_OFF:
    default:
      return "system-shutdown-symbolic";
    }
}

static void
refresh (BhMachineCard *self)
{
  g_autofree char *spoken = NULL;

  if (self->machine == NULL)
    {
      bh_label_strip_set_look (BH_LABEL_STRIP (self->strip), NULL);
      gtk_label_set_text (GTK_LABEL (self->name), _("New Machine"));
      gtk_label_set_text (GTK_LABEL (self->state), _("Create one"));
      gtk_label_set_text (GTK_LABEL (self->detail), "");
      gtk_widget_set_visible (self->detail, FALSE);
      gtk_widget_set_visible (self->state_icon, FALSE);
      gtk_image_set_from_icon_name (GTK_IMAGE (self->icon), "list-add-symbolic");
      gtk_widget_set_visible (self->icon, TRUE);
      gtk_picture_set_paintable (GTK_PICTURE (self->picture), NULL);
      gtk_widget_add_css_class (self->preview, "new");
      gtk_widget_remove_css_class (self->preview, "live");
      spoken = g_strdup (_("New Machine"));
    }
  else
    {
      const BhLabelLook   *look = bh_machine_get_look (self->machine);
      GdkTexture          *thumbnail = bh_machine_get_thumbnail (self->machine);
      const BhMachineState state = bh_machine_get_state (self->machine);
      g_autofree char     *detail = bh_machine_describe (self->machine);
      const char          *error = bh_lookup_string (bh_machine_get_details (self->machine), "error", "");

      bh_label_strip_set_look (BH_LABEL_STRIP (self->strip), look);
      gtk_widget_set_tooltip_text (self->strip, look->text);
      gtk_label_set_text (GTK_LABEL (self->name), bh_machine_get_name (self->machine));
      gtk_label_set_text (GTK_LABEL (self->state), bh_machine_get_state_text (self->machine));
      gtk_widget_set_tooltip_text (self->state, *error ? error : NULL);
      gtk_label_set_text (GTK_LABEL (self->detail), detail);
      gtk_widget_set_visible (self->detail, self->as_row);
      gtk_widget_set_visible (self->state_icon, TRUE);
      gtk_image_set_from_icon_name (GTK_IMAGE (self->state_icon), state_icon_name (state));
      gtk_image_set_from_icon_name (GTK_IMAGE (self->icon), "computer-symbolic");
      gtk_widget_set_visible (self->icon, thumbnail == NULL);
      gtk_picture_set_paintable (GTK_PICTURE (self->picture), GDK_PAINTABLE (thumbnail));
      gtk_widget_remove_css_class (self->preview, "new");
      if (bh_machine_is_alive (self->machine))
        gtk_widget_add_css_class (self->preview, "live");
      else
        gtk_widget_remove_css_class (self->preview, "live");
      /* Only what moves is in full colour: a still picture of a machine that is off must not look alive. */
      gtk_widget_set_opacity (self->picture, bh_machine_is_alive (self->machine) ? 1 : 0.55);
      /* Translators: for screen readers: name of a machine, its state, its security label. */
      spoken = g_strdup_printf (_("%s, %s, label %s"), bh_machine_get_name (self->machine),
                                bh_machine_get_state_text (self->machine), look->text);
    }
  gtk_accessible_update_property (GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_PROPERTY_LABEL, spoken, -1);
}

static void
on_menu_click (GtkGestureClick *gesture, int n_press, double x, double y, BhMachineCard *self)
{
  if (self->machine == NULL)
    return;
  gtk_gesture_set_state (GTK_GESTURE (gesture), GTK_EVENT_SEQUENCE_CLAIMED);
  g_signal_emit (self, signals[SIGNAL_MENU], 0, x, y);
}

static void
on_long_press (GtkGestureLongPress *gesture, double x, double y, BhMachineCard *self)
{
  if (self->machine != NULL)
    g_signal_emit (self, signals[SIGNAL_MENU], 0, x, y);
}

static void
bh_machine_card_dispose (GObject *object)
{
  BhMachineCard *self = BH_MACHINE_CARD (object);

  bh_machine_card_set_machine (self, NULL);
  g_clear_pointer (&self->box, gtk_widget_unparent);

  G_OBJECT_CLASS (bh_machine_card_parent_class)->dispose (object);
}

static void
bh_machine_card_class_init (BhMachineCardClass *klass)
{
  GObjectClass   *object_class = G_OBJECT_CLASS (klass);
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  object_class->dispose = bh_machine_card_dispose;

  signals[SIGNAL_MENU] = g_signal_new ("menu", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                       G_TYPE_NONE, 2, G_TYPE_DOUBLE, G_TYPE_DOUBLE);
  gtk_widget_class_set_css_name (widget_class, "machinecard");
  gtk_widget_class_set_layout_manager_type (widget_class, GTK_TYPE_BIN_LAYOUT);
  gtk_widget_class_set_accessible_role (widget_class, GTK_ACCESSIBLE_ROLE_GROUP);
}

static void
bh_machine_card_init (BhMachineCard *self)
{
  GtkGesture *click = gtk_gesture_click_new ();
  GtkGesture *press = gtk_gesture_long_press_new ();

  gtk_gesture_single_set_button (GTK_GESTURE_SINGLE (click), GDK_BUTTON_SECONDARY);
  g_signal_connect (click, "pressed", G_CALLBACK (on_menu_click), self);
  gtk_widget_add_controller (GTK_WIDGET (self), GTK_EVENT_CONTROLLER (click));
  gtk_gesture_single_set_touch_only (GTK_GESTURE_SINGLE (press), TRUE);
  g_signal_connect (press, "pressed", G_CALLBACK (on_long_press), self);
  gtk_widget_add_controller (GTK_WIDGET (self), GTK_EVENT_CONTROLLER (press));
}

static GtkWidget *
text (const char *css_class)
{
  GtkWidget *label = gtk_label_new (NULL);

  gtk_label_set_xalign (GTK_LABEL (label), 0);
  gtk_label_set_ellipsize (GTK_LABEL (label), PANGO_ELLIPSIZE_END);
  gtk_widget_add_css_class (label, css_class);
  return label;
}

static void
build_parts (BhMachineCard *self)
{
  self->strip = g_object_new (BH_TYPE_LABEL_STRIP, "compact", TRUE, NULL);
  self->picture = gtk_picture_new ();
  gtk_picture_set_content_fit (GTK_PICTURE (self->picture), GTK_CONTENT_FIT_CONTAIN);
  gtk_picture_set_can_shrink (GTK_PICTURE (self->picture), TRUE);
  gtk_accessible_update_state (GTK_ACCESSIBLE (self->picture), GTK_ACCESSIBLE_STATE_HIDDEN, TRUE, -1);
  self->icon = gtk_image_new ();
  gtk_image_set_pixel_size (GTK_IMAGE (self->icon), self->as_row ? 24 : 48);
  gtk_widget_add_css_class (self->icon, "dim-label");
  gtk_widget_set_halign (self->icon, GTK_ALIGN_CENTER);
  gtk_widget_set_valign (self->icon, GTK_ALIGN_CENTER);
  gtk_accessible_update_state (GTK_ACCESSIBLE (self->icon), GTK_ACCESSIBLE_STATE_HIDDEN, TRUE, -1);
  self->preview = gtk_overlay_new ();
  gtk_overlay_set_child (GTK_OVERLAY (self->preview), self->picture);
  gtk_overlay_add_overlay (GTK_OVERLAY (self->preview), self->icon);
  gtk_widget_add_css_class (self->preview, "preview");
  gtk_widget_set_overflow (self->preview, GTK_OVERFLOW_HIDDEN);
  self->name = text ("heading");
  self->state = text ("dim-label");
  gtk_widget_add_css_class (self->state, "caption");
  self->detail = text ("dim-label");
  gtk_widget_add_css_class (self->detail, "caption");
  self->state_icon = gtk_image_new ();
  gtk_image_set_pixel_size (GTK_IMAGE (self->state_icon), 12);
  gtk_widget_add_css_class (self->state_icon, "dim-label");
}

static GtkWidget *
pack (GtkOrientation orientation, int spacing, GtkWidget *first, GtkWidget *second)
{
  GtkWidget *box = gtk_box_new (orientation, spacing);

  gtk_box_append (GTK_BOX (box), first);
  gtk_box_append (GTK_BOX (box), second);
  return box;
}

static void
build_card (BhMachineCard *self)
{
  GtkWidget *state = pack (GTK_ORIENTATION_HORIZONTAL, 6, self->state_icon, self->state);
  GtkWidget *words = pack (GTK_ORIENTATION_VERTICAL, 2, self->name, state);

  gtk_box_append (GTK_BOX (words), self->detail);
  gtk_widget_add_css_class (words, "words");
  gtk_widget_set_size_request (self->preview, PREVIEW_WIDTH, PREVIEW_HEIGHT);
  self->box = pack (GTK_ORIENTATION_VERTICAL, 0, self->strip, self->preview);
  gtk_box_append (GTK_BOX (self->box), words);
  gtk_widget_add_css_class (self->box, "card");
  gtk_widget_set_overflow (self->box, GTK_OVERFLOW_HIDDEN);
}

static void
build_row (BhMachineCard *self)
{
  GtkWidget *words = pack (GTK_ORIENTATION_VERTICAL, 2, self->name, self->detail);
  GtkWidget *state = pack (GTK_ORIENTATION_HORIZONTAL, 6, self->state_icon, self->state);
  GtkWidget *side;

  gtk_widget_set_size_request (self->preview, ROW_PREVIEW_WIDTH, ROW_PREVIEW_HEIGHT);
  gtk_widget_set_valign (self->preview, GTK_ALIGN_CENTER);
  gtk_widget_set_hexpand (words, TRUE);
  gtk_widget_set_valign (words, GTK_ALIGN_CENTER);
  gtk_widget_set_halign (state, GTK_ALIGN_END);
  side = pack (GTK_ORIENTATION_VERTICAL, 4, self->strip, state);
  gtk_widget_set_hexpand (self->strip, FALSE);
  gtk_widget_set_size_request (self->strip, 150, -1);
  gtk_widget_add_css_class (self->strip, "tag");
  gtk_widget_set_hexpand (side, FALSE);
  gtk_widget_set_valign (side, GTK_ALIGN_CENTER);
  self->box = pack (GTK_ORIENTATION_HORIZONTAL, 12, self->preview, words);
  gtk_box_append (GTK_BOX (self->box), side);
  gtk_widget_add_css_class (self->box, "row");
}

GtkWidget *
bh_machine_card_new (gboolean as_row)
{
  BhMachineCard *self = g_object_new (BH_TYPE_MACHINE_CARD, NULL);

  self->as_row = as_row;
  build_parts (self);
  if (as_row)
    build_row (self);
  else
    build_card (self);
  gtk_widget_set_parent (self->box, GTK_WIDGET (self));
  refresh (self);
  return GTK_WIDGET (self);
}

void
bh_machine_card_set_machine (BhMachineCard *self, BhMachine *machine)
{
  g_return_if_fail (BH_IS_MACHINE_CARD (self));

  if (self->machine != NULL)
    g_signal_handlers_disconnect_by_data (self->machine, self);
  g_set_object (&self->machine, machine);
  if (machine != NULL)
    g_signal_connect_swapped (machine, "notify", G_CALLBACK (refresh), self);
  if (self->box != NULL)
    refresh (self);
}

BhMachine *
bh_machine_card_get_machine (BhMachineCard *self)
{
  g_return_val_if_fail (BH_IS_MACHINE_CARD (self), NULL);

  return self->machine;
}

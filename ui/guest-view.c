/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "guest-view.h"

#include "input.h"
#include "pointer-capture.h"

#include <glib/gi18n.h>
#include <gsk/gsk.h>
#include <linux/input-event-codes.h>
#include <math.h>

/* The picture is drawn in bands, each its own render node: a band whose pixels did not change keeps its node, and GSK
 * then repaints nothing there. */
enum { BAND = 64 };

struct _BhGuestView
{
  GtkWidget         parent_instance;
  BhDisplaySource  *source;
  BhInputChannel   *input;
  BhPointerCapture *capture;
  GPtrArray        *bands;      /* of GskRenderNode or NULL */
  guint             tick;
  BhScaling         scaling;
  gboolean          smooth, stale, grab_shortcuts, active, absolute, absolute_known;
  int               last_width, last_height;     /* of the guest, as last announced */
  /* Where the picture lies in the view, and device pixels per guest pixel. */
  double            x, y, width, height, scale_x, scale_y;
  int               scale_factor;
  gboolean          combo_clean;        /* Ctrl or Alt went down, and nothing but them since */
  gboolean          let_go;             /* the user took the window system's shortcuts back; the next click gives them again */
  double            pending_dx, pending_dy, pending_wheel;
};

enum { PROP_0, PROP_CAPTURED, PROP_ACTIVE, PROP_MOUSE_ABSOLUTE, N_PROPS };
enum { SIGNAL_RESIZED, SIGNAL_PAINTED, N_SIGNALS };

static GParamSpec *properties[N_PROPS];
static guint       signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (BhGuestView, bh_guest_view, GTK_TYPE_WIDGET)

/* ------------------------------------------------------------------------------------------------ the picture */

static void
clear_node (gpointer node)
{
  if (node != NULL)
    gsk_render_node_unref (node);
}

static void
drop_bands (BhGuestView *self)
{
  g_ptr_array_set_size (self->bands, 0);
}

static double
whole (double scale)
{
  return scale >= 1 ? floor (scale) : scale;
}

/* Everything in device pixels first, so that one guest pixel never straddles two device pixels by accident. */
static void
lay_out (BhGuestView *self)
{
  const DisplayHeader *header = self->source ? bh_display_source_get_header (self->source) : NULL;
  const int            factor = gtk_widget_get_scale_factor (GTK_WIDGET (self));
  const double         room_x = gtk_widget_get_width (GTK_WIDGET (self)) * (double) factor;
  const double         room_y = gtk_widget_get_height (GTK_WIDGET (self)) * (double) factor;
  double               fit, x, y, width, height;

  if (header == NULL || header->width == 0 || room_x < 1 || room_y < 1)
    return;
  fit = MIN (room_x / header->width, room_y / header->height);
  switch (self->scaling)
    {
    case BH_SCALING_STRETCH:
      width = room_x;
      height = room_y;
      break;
    case BH_SCALING_WHOLE:
      width = round (header->width * whole (fit));
      height = round (header->height * whole (fit));
      break;
    case BH_SCALING_FIT:
    default:
      /* A window a few pixels too large is not a wish for a blurred picture. */
      if (fit >= 1 && fit - whole (fit) < 0.06 * whole (fit))
        fit = whole (fit);
      width = MAX (1, floor (header->width * fit + 0.001));
      height = MAX (1, floor (header->height * fit + 0.001));
      break;
    }
  x = floor ((room_x - width) / 2);
  y = floor ((room_y - height) / 2);
  x /= factor;
  y /= factor;
  width /= factor;
  height /= factor;
  if (x != self->x || y != self->y || width != self->width || height != self->height || factor != self->scale_factor)
    drop_bands (self);
  self->x = x;
  self->y = y;
  self->width = width;
  self->height = height;
  self->scale_factor = factor;
  self->scale_x = width * factor / header->width;
  self->scale_y = height * factor / header->height;
}

static gboolean
is_sharp (BhGuestView *self)
{
  return !self->smooth || (self->scale_x == floor (self->scale_x) && self->scale_y == floor (self->scale_y));
}

static void
damage_bands (BhGuestView *self, const GdkRectangle *damage)
{
  /* One guest pixel around it: a smooth scaler mixes neighbours. */
  const double zoom = self->scale_y / MAX (1, self->scale_factor);
  const int    first = (int) floor ((damage->y - 1) * zoom / BAND);
  const int    last = (int) floor ((damage->y + damage->height + 1) * zoom / BAND);

  for (int i = MAX (first, 0); i <= last && i < (int) self->bands->len; i++)
    {
      clear_node (g_ptr_array_index (self->bands, i));
      g_ptr_array_index (self->bands, i) = NULL;
    }
}

static GskRenderNode *
cairo_band (BhGuestView *self, const graphene_rect_t *bounds)
{
  GskRenderNode   *node = gsk_cairo_node_new (bounds);
  cairo_t         *cr = gsk_cairo_node_get_draw_context (node);
  cairo_surface_t *surface = bh_display_source_get_surface (self->source);

  cairo_rectangle (cr, bounds->origin.x, bounds->origin.y, bounds->size.width, bounds->size.height);
  cairo_clip (cr);
  cairo_translate (cr, self->x, self->y);
  cairo_scale (cr, self->scale_x / self->scale_factor, self->scale_y / self->scale_factor);
  cairo_set_operator (cr, CAIRO_OPERATOR_SOURCE);
  cairo_set_source_surface (cr, surface, 0, 0);
  cairo_pattern_set_filter (cairo_get_source (cr), is_sharp (self) ? CAIRO_FILTER_NEAREST : CAIRO_FILTER_BILINEAR);
  cairo_pattern_set_extend (cairo_get_source (cr), CAIRO_EXTEND_PAD);
  cairo_paint (cr);
  cairo_destroy (cr);
  return node;
}

static GskRenderNode *
texture_band (BhGuestView *self, const graphene_rect_t *bounds)
{
  const DisplayHeader   *header = bh_display_source_get_header (self->source);
  const double           zoom = self->scale_y / self->scale_factor;
  const int              first = (int) round ((bounds->origin.y - self->y) / zoom);
  const int              last = MIN ((int) header->height,
                                     (int) round ((bounds->origin.y - self->y + bounds->size.height) / zoom));
  const GdkRectangle     part = { 0, first, (int) header->width, MAX (1, last - first) };
  gsize                  stride;
  g_autoptr (GBytes)     bytes = bh_display_source_dup_bytes (self->source, &part, &stride);
  g_autoptr (GdkTexture) texture = NULL;

  /* A new texture over the same memory: the renderer uploads this band and no other. */
  texture = gdk_memory_texture_new (part.width, part.height, GDK_MEMORY_B8G8R8A8, bytes, stride);
  return gsk_texture_node_new (texture, bounds);
}

/* At one device pixel per guest pixel a GPU takes the bands as textures; GTK 4.8 cannot ask it for unfiltered or
 * seamless enlargement, so everything else is drawn by cairo. */
static gboolean
uses_textures (BhGuestView *self)
{
  GtkNative *native = gtk_widget_get_native (GTK_WIDGET (self));

  return native != NULL && !GSK_IS_CAIRO_RENDERER (gtk_native_get_renderer (native)) &&
         self->scale_x == 1 && self->scale_y == 1 && BAND % self->scale_factor == 0;
}

static void
bh_guest_view_snapshot (GtkWidget *widget, GtkSnapshot *snapshot)
{
  BhGuestView  *self = BH_GUEST_VIEW (widget);
  const GdkRGBA black = { 0, 0, 0, 1 };
  const int     width = gtk_widget_get_width (widget);
  const int     height = gtk_widget_get_height (widget);
  guint         n_bands;
  gboolean      textures;

  gtk_snapshot_append_color (snapshot, &black, &GRAPHENE_RECT_INIT (0, 0, width, height));
  if (self->source == NULL || bh_display_source_is_blank (self->source))
    return;
  lay_out (self);
  n_bands = (guint) ceil (self->height / BAND);
  if (self->bands->len != n_bands)
    {
      drop_bands (self);
      g_ptr_array_set_size (self->bands, (int) n_bands);
    }
  textures = uses_textures (self);
  gtk_snapshot_push_clip (snapshot, &GRAPHENE_RECT_INIT (0, 0, width, height));
  if (self->stale)
    gtk_snapshot_push_opacity (snapshot, 0.4);
  for (guint i = 0; i < n_bands; i++)
    {
      GskRenderNode **band = (GskRenderNode **) &g_ptr_array_index (self->bands, i);

      if (*band == NULL)
        {
          const double          top = (double) i * BAND;
          const graphene_rect_t bounds = GRAPHENE_RECT_INIT (self->x, self->y + top, self->width,
                                                             MIN (BAND, self->height - top));

          *band = textures ? texture_band (self, &bounds) : cairo_band (self, &bounds);
        }
      gtk_snapshot_append_node (snapshot, *band);
    }
  if (self->stale)
    gtk_snapshot_pop (snapshot);
  gtk_snapshot_pop (snapshot);
}

static void
announce_header (BhGuestView *self)
{
  const DisplayHeader *header = bh_display_source_get_header (self->source);
  const gboolean       absolute = header->mouse_absolute != 0;

  if ((int) header->width != self->last_width || (int) header->height != self->last_height)
    {
      self->last_width = (int) header->width;
      self->last_height = (int) header->height;
      drop_bands (self);
      g_signal_emit (self, signals[SIGNAL_RESIZED], 0);
    }
  if (absolute != self->absolute)
    {
      self->absolute = absolute;
      if (absolute)
        bh_pointer_capture_stop (self->capture);
      gtk_widget_set_cursor_from_name (GTK_WIDGET (self), absolute ? "none" : NULL);
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_MOUSE_ABSOLUTE]);
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_CAPTURED]);
    }
}

/* One look at the header per frame of the screen, however often the monitor publishes. */
static gboolean
on_tick (GtkWidget *widget, GdkFrameClock *clock, gpointer data)
{
  BhGuestView *self = BH_GUEST_VIEW (widget);
  GdkRectangle damage;

  self->tick = 0;
  if (self->source != NULL && bh_display_source_update (self->source, &damage))
    {
      const gboolean was_new = self->last_width == 0;

      announce_header (self);
      if (was_new)
        drop_bands (self);
      else
        damage_bands (self, &damage);
      gtk_widget_queue_draw (widget);
      g_signal_emit (self, signals[SIGNAL_PAINTED], 0);
    }
  return G_SOURCE_REMOVE;
}

static void
schedule (BhGuestView *self)
{
  if (self->tick == 0 && gtk_widget_get_mapped (GTK_WIDGET (self)))
    self->tick = gtk_widget_add_tick_callback (GTK_WIDGET (self), on_tick, NULL, NULL);
}

static void
on_frame (BhDisplaySource *source, BhGuestView *self)
{
  schedule (self);
}

static void
bh_guest_view_map (GtkWidget *widget)
{
  GTK_WIDGET_CLASS (bh_guest_view_parent_class)->map (widget);
  schedule (BH_GUEST_VIEW (widget));
}

static void
bh_guest_view_unmap (GtkWidget *widget)
{
  BhGuestView *self = BH_GUEST_VIEW (widget);

  bh_guest_view_release (self);
  if (self->tick != 0)
    gtk_widget_remove_tick_callback (widget, self->tick);
  self->tick = 0;
  GTK_WIDGET_CLASS (bh_guest_view_parent_class)->unmap (widget);
}

static void
bh_guest_view_measure (GtkWidget *widget, GtkOrientation orientation, int for_size, int *minimum, int *natural,
                       int *minimum_baseline, int *natural_baseline)
{
  BhGuestView *self = BH_GUEST_VIEW (widget);
  const int    factor = gtk_widget_get_scale_factor (widget);

  *minimum = 1;
  if (orientation == GTK_ORIENTATION_HORIZONTAL)
    *natural = self->last_width ? self->last_width / factor : 720;
  else
    *natural = self->last_height ? self->last_height / factor : 400;
}

static void
bh_guest_view_size_allocate (GtkWidget *widget, int width, int height, int baseline)
{
  lay_out (BH_GUEST_VIEW (widget));
}

/* ------------------------------------------------------------------------------------------------ the pointer */

static void update_shortcuts (BhGuestView *self);

gboolean
bh_guest_view_to_guest (BhGuestView *self, double x, double y, double *ret_x, double *ret_y)
{
  const DisplayHeader *header;
  double               guest_x, guest_y;

  g_return_val_if_fail (BH_IS_GUEST_VIEW (self), FALSE);

  header = self->source ? bh_display_source_get_header (self->source) : NULL;
  if (header == NULL || header->width == 0 || self->width <= 0 || self->height <= 0)
    return FALSE;
  guest_x = (x - self->x) * header->width / self->width;
  guest_y = (y - self->y) * header->height / self->height;
  *ret_x = CLAMP (guest_x, 0, header->width - 1.0);
  *ret_y = CLAMP (guest_y, 0, header->height - 1.0);
  return guest_x >= 0 && guest_y >= 0 && guest_x < header->width && guest_y < header->height;
}

static void
point (BhGuestView *self, double x, double y, int wheel)
{
  const DisplayHeader *header = bh_display_source_get_header (self->source);
  double               guest_x, guest_y;

  bh_guest_view_to_guest (self, x, y, &guest_x, &guest_y);
  bh_input_channel_point (self->input,
                          header->width > 1 ? (guint) lround (guest_x * MOUSE_ABSOLUTE_MAX / (header->width - 1)) : 0,
                          header->height > 1 ? (guint) lround (guest_y * MOUSE_ABSOLUTE_MAX / (header->height - 1)) : 0,
                          wheel);
}

static void
on_moved (BhPointerCapture *capture, double dx, double dy, BhGuestView *self)
{
  int whole_x, whole_y;

  if (self->input == NULL)
    return;
  /* Parts of a pixel are kept for the next motion, so that slow movements are not lost. */
  self->pending_dx += dx;
  self->pending_dy += dy;
  whole_x = (int) trunc (self->pending_dx);
  whole_y = (int) trunc (self->pending_dy);
  if (whole_x == 0 && whole_y == 0)
    return;
  self->pending_dx -= whole_x;
  self->pending_dy -= whole_y;
  bh_input_channel_move (self->input, whole_x, whole_y, 0);
}

static void
start_capture (BhGuestView *self, double x, double y)
{
  if (bh_pointer_capture_is_active (self->capture))
    return;
  self->pending_dx = self->pending_dy = 0;
  gtk_widget_set_cursor_from_name (GTK_WIDGET (self), "none");
  bh_pointer_capture_start (self->capture, x, y);
  update_shortcuts (self);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_CAPTURED]);
}

static void
stop_capture (BhGuestView *self)
{
  if (!bh_pointer_capture_is_active (self->capture))
    return;
  bh_pointer_capture_stop (self->capture);
  gtk_widget_set_cursor_from_name (GTK_WIDGET (self), self->absolute ? "none" : NULL);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_CAPTURED]);
}

static guint
button_bit (guint button)
{
  switch (button)
    {
    case GDK_BUTTON_PRIMARY:
      return MOUSE_BUTTON_LEFT;
    case GDK_BUTTON_SECONDARY:
      return MOUSE_BUTTON_RIGHT;
    case GDK_BUTTON_MIDDLE:
      return MOUSE_BUTTON_MIDDLE;
    case 8:
      return MOUSE_BUTTON_SIDE;
    case 9:
      return MOUSE_BUTTON_EXTRA;
    default:
      return 0;
    }
}

static gboolean
widget_position (BhGuestView *self, GdkEvent *event, double *ret_x, double *ret_y)
{
  GtkNative *native = gtk_widget_get_native (GTK_WIDGET (self));
  double     x, y, tx, ty;

  if (native == NULL || !gdk_event_get_position (event, &x, &y))
    return FALSE;
  gtk_native_get_surface_transform (native, &tx, &ty);
  return gtk_widget_translate_coordinates (GTK_WIDGET (native), GTK_WIDGET (self), x - tx, y - ty, ret_x, ret_y);
}

static void
on_button (BhGuestView *self, GdkEvent *event, gboolean down)
{
  const guint bit = button_bit (gdk_button_event_get_button (event));
  double      x, y;

  if (!widget_position (self, event, &x, &y))
    return;
  self->combo_clean = FALSE;
  if (down)
    {
      gtk_widget_grab_focus (GTK_WIDGET (self));
      self->let_go = FALSE;
      update_shortcuts (self);
    }
  if (self->absolute)
    {
      bh_input_channel_set_button (self->input, bit, down);
      point (self, x, y, 0);
      return;
    }
  if (!bh_pointer_capture_is_active (self->capture))
    {
      /* The click that captures is for us, not for whatever lies under the guest's own pointer. */
      if (down)
        start_capture (self, x, y);
      return;
    }
  bh_input_channel_set_button (self->input, bit, down);
  bh_input_channel_move (self->input, 0, 0, 0);
}

static void
on_scroll (BhGuestView *self, GdkEvent *event)
{
  double dx = 0, dy = 0, x, y;
  int    steps;

  switch (gdk_scroll_event_get_direction (event))
    {
    case GDK_SCROLL_UP:
      dy = -1;
      break;
    case GDK_SCROLL_DOWN:
      dy = 1;
      break;
    case GDK_SCROLL_SMOOTH:
      gdk_scroll_event_get_deltas (event, &dx, &dy);
      break;
    case GDK_SCROLL_LEFT:
    case GDK_SCROLL_RIGHT:
    default:
      return;
    }
  self->pending_wheel -= dy;
  steps = (int) trunc (self->pending_wheel);
  if (steps == 0)
    return;
  self->pending_wheel -= steps;
  if (self->absolute && widget_position (self, event, &x, &y))
    point (self, x, y, steps);
  else if (bh_pointer_capture_is_active (self->capture))
    bh_input_channel_move (self->input, 0, 0, steps);
}

static gboolean
on_pointer_event (GtkEventControllerLegacy *controller, GdkEvent *event, gpointer data)
{
  BhGuestView *self = data;
  double       x, y;

  if (self->input == NULL || self->source == NULL || bh_display_source_get_header (self->source)->width == 0)
    return GDK_EVENT_PROPAGATE;

  switch ((int) gdk_event_get_event_type (event))
    {
    case GDK_MOTION_NOTIFY:
      if (!widget_position (self, event, &x, &y))
        return GDK_EVENT_PROPAGATE;
      if (self->absolute)
        point (self, x, y, 0);
      else
        bh_pointer_capture_motion (self->capture, x, y);
      return GDK_EVENT_PROPAGATE;
    case GDK_BUTTON_PRESS:
    case GDK_BUTTON_RELEASE:
      on_button (self, event, gdk_event_get_event_type (event) == GDK_BUTTON_PRESS);
      return GDK_EVENT_STOP;
    case GDK_SCROLL:
      on_scroll (self, event);
      return GDK_EVENT_STOP;
    default:
      return GDK_EVENT_PROPAGATE;
    }
}

/* ------------------------------------------------------------------------------------------------ the keyboard */

static GdkToplevel *
toplevel (BhGuestView *self)
{
  GtkNative  *native = gtk_widget_get_native (GTK_WIDGET (self));
  GdkSurface *surface = native ? gtk_native_get_surface (native) : NULL;

  return surface != NULL && GDK_IS_TOPLEVEL (surface) ? GDK_TOPLEVEL (surface) : NULL;
}

static void
update_shortcuts (BhGuestView *self)
{
  GdkToplevel *surface = toplevel (self);

  if (surface == NULL)
    return;
  if (self->active && !self->let_go && (self->grab_shortcuts || bh_pointer_capture_is_active (self->capture)))
    gdk_toplevel_inhibit_system_shortcuts (surface, NULL);
  else
    gdk_toplevel_restore_system_shortcuts (surface);
}

gboolean
bh_guest_view_has_shortcuts (BhGuestView *self)
{
  GdkToplevel *surface;
  gboolean     inhibited = FALSE;

  g_return_val_if_fail (BH_IS_GUEST_VIEW (self), FALSE);

  surface = toplevel (self);
  if (surface != NULL)
    g_object_get (surface, "shortcuts-inhibited", &inhibited, NULL);
  return inhibited;
}

static gboolean
is_control (guint code)
{
  return code == KEY_LEFTCTRL || code == KEY_RIGHTCTRL;
}

static gboolean
is_alt (guint code)
{
  return code == KEY_LEFTALT || code == KEY_RIGHTALT;
}

static gboolean
holds_control (BhGuestView *self)
{
  return bh_input_channel_is_held (self->input, KEY_LEFTCTRL) || bh_input_channel_is_held (self->input, KEY_RIGHTCTRL);
}

static gboolean
holds_alt (BhGuestView *self)
{
  return bh_input_channel_is_held (self->input, KEY_LEFTALT) || bh_input_channel_is_held (self->input, KEY_RIGHTALT);
}

static gboolean
holds_control_or_alt (BhGuestView *self)
{
  return holds_control (self) || holds_alt (self);
}

static gboolean
holds_control_and_alt (BhGuestView *self)
{
  return holds_control (self) && holds_alt (self);
}

static gboolean
on_key_pressed (GtkEventControllerKey *controller, guint keyval, guint keycode, GdkModifierType state, gpointer data)
{
  BhGuestView *self = data;
  const guint  code = keycode > 8 ? keycode - 8 : 0;

  if (self->input == NULL)
    return GDK_EVENT_PROPAGATE;
  if (!is_control (code) && !is_alt (code))
    self->combo_clean = FALSE;
  else if (!holds_control_or_alt (self))
    self->combo_clean = TRUE;
  bh_input_channel_key (self->input, code, TRUE);
  return GDK_EVENT_STOP;
}

static void
on_key_released (GtkEventControllerKey *controller, guint keyval, guint keycode, GdkModifierType state, gpointer data)
{
  BhGuestView *self = data;
  const guint  code = keycode > 8 ? keycode - 8 : 0;

  if (self->input == NULL)
    return;
  if ((is_control (code) || is_alt (code)) && self->combo_clean && holds_control_and_alt (self))
    {
      self->let_go = TRUE;
      bh_guest_view_release (self);
      return;
    }
  bh_input_channel_key (self->input, code, FALSE);
}

static void
set_active (BhGuestView *self, gboolean active)
{
  if (self->active == active)
    return;
  self->active = active;
  self->combo_clean = self->let_go = FALSE;
  if (!active)
    {
      stop_capture (self);
      if (self->input != NULL)
        bh_input_channel_release_all (self->input);
    }
  update_shortcuts (self);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_ACTIVE]);
}

static void
on_focus_changed (BhGuestView *self)
{
  GtkRoot *root = gtk_widget_get_root (GTK_WIDGET (self));

  set_active (self, self->input != NULL && GTK_IS_WINDOW (root) && gtk_window_is_active (GTK_WINDOW (root)) &&
                      gtk_widget_has_focus (GTK_WIDGET (self)));
}

static void
bh_guest_view_root (GtkWidget *widget)
{
  GtkRoot *root;

  GTK_WIDGET_CLASS (bh_guest_view_parent_class)->root (widget);
  root = gtk_widget_get_root (widget);
  if (GTK_IS_WINDOW (root))
    g_signal_connect_object (root, "notify::is-active", G_CALLBACK (on_focus_changed), widget, G_CONNECT_SWAPPED);
}

static void
bh_guest_view_unroot (GtkWidget *widget)
{
  GtkRoot *root = gtk_widget_get_root (widget);

  set_active (BH_GUEST_VIEW (widget), FALSE);
  if (root != NULL)
    g_signal_handlers_disconnect_by_func (root, G_CALLBACK (on_focus_changed), widget);
  GTK_WIDGET_CLASS (bh_guest_view_parent_class)->unroot (widget);
}

/* ------------------------------------------------------------------------------------------------ the object */

static void
bh_guest_view_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  BhGuestView *self = BH_GUEST_VIEW (object);

  switch (id)
    {
    case PROP_CAPTURED:
      g_value_set_boolean (value, bh_guest_view_get_captured (self));
      break;
    case PROP_ACTIVE:
      g_value_set_boolean (value, self->active);
      break;
    case PROP_MOUSE_ABSOLUTE:
      g_value_set_boolean (value, self->absolute);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bh_guest_view_dispose (GObject *object)
{
  BhGuestView *self = BH_GUEST_VIEW (object);

  if (self->source != NULL)
    g_signal_handlers_disconnect_by_data (self->source, self);
  g_clear_object (&self->capture);
  g_clear_object (&self->source);
  g_clear_object (&self->input);
  g_clear_pointer (&self->bands, g_ptr_array_unref);

  G_OBJECT_CLASS (bh_guest_view_parent_class)->dispose (object);
}

static void
bh_guest_view_class_init (BhGuestViewClass *klass)
{
  GObjectClass     *object_class = G_OBJECT_CLASS (klass);
  GtkWidgetClass   *widget_class = GTK_WIDGET_CLASS (klass);
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;

  object_class->get_property = bh_guest_view_get_property;
  object_class->dispose = bh_guest_view_dispose;
  widget_class->snapshot = bh_guest_view_snapshot;
  widget_class->measure = bh_guest_view_measure;
  widget_class->size_allocate = bh_guest_view_size_allocate;
  widget_class->map = bh_guest_view_map;
  widget_class->unmap = bh_guest_view_unmap;
  widget_class->root = bh_guest_view_root;
  widget_class->unroot = bh_guest_view_unroot;

  properties[PROP_CAPTURED] = g_param_spec_boolean ("captured", NULL, NULL, FALSE, flags);
  properties[PROP_ACTIVE] = g_param_spec_boolean ("active", NULL, NULL, FALSE, flags);
  properties[PROP_MOUSE_ABSOLUTE] = g_param_spec_boolean ("mouse-absolute", NULL, NULL, FALSE, flags);
  g_object_class_install_properties (object_class, N_PROPS, properties);

  signals[SIGNAL_RESIZED] = g_signal_new ("resized", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                          NULL, G_TYPE_NONE, 0);
  signals[SIGNAL_PAINTED] = g_signal_new ("painted", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                          NULL, G_TYPE_NONE, 0);

  gtk_widget_class_set_css_name (widget_class, "guestview");
  gtk_widget_class_set_accessible_role (widget_class, GTK_ACCESSIBLE_ROLE_IMG);
}

static void
bh_guest_view_init (BhGuestView *self)
{
  GtkEventController *keys = gtk_event_controller_key_new ();
  GtkEventController *pointer = gtk_event_controller_legacy_new ();

  self->bands = g_ptr_array_new_with_free_func (clear_node);
  self->capture = bh_pointer_capture_new (GTK_WIDGET (self));
  self->smooth = TRUE;
  self->scale_factor = 1;
  g_signal_connect_object (self->capture, "moved", G_CALLBACK (on_moved), self, 0);

  /* Before everything else in the window that might like a key. */
  gtk_event_controller_set_propagation_phase (keys, GTK_PHASE_CAPTURE);
  g_signal_connect (keys, "key-pressed", G_CALLBACK (on_key_pressed), self);
  g_signal_connect (keys, "key-released", G_CALLBACK (on_key_released), self);
  gtk_widget_add_controller (GTK_WIDGET (self), keys);
  g_signal_connect (pointer, "event", G_CALLBACK (on_pointer_event), self);
  gtk_widget_add_controller (GTK_WIDGET (self), pointer);

  g_signal_connect (self, "notify::has-focus", G_CALLBACK (on_focus_changed), NULL);
  gtk_widget_set_focusable (GTK_WIDGET (self), TRUE);
  gtk_widget_set_hexpand (GTK_WIDGET (self), TRUE);
  gtk_widget_set_vexpand (GTK_WIDGET (self), TRUE);
  gtk_widget_set_overflow (GTK_WIDGET (self), GTK_OVERFLOW_HIDDEN);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Guest screen"), -1);
}

GtkWidget *
bh_guest_view_new (void)
{
  return g_object_new (BH_TYPE_GUEST_VIEW, NULL);
}

void
bh_guest_view_set_console (BhGuestView *self, BhDisplaySource *source, BhInputChannel *input)
{
  g_return_if_fail (BH_IS_GUEST_VIEW (self));

  bh_guest_view_release (self);
  if (source != NULL)
    {
      if (self->source != NULL)
        g_signal_handlers_disconnect_by_data (self->source, self);
      g_set_object (&self->source, source);
      self->last_width = self->last_height = 0;
      drop_bands (self);
      g_signal_connect_object (source, "frame", G_CALLBACK (on_frame), self, 0);
      schedule (self);
    }
  self->stale = source == NULL;
  g_set_object (&self->input, input);
  on_focus_changed (self);
  gtk_widget_queue_draw (GTK_WIDGET (self));
}

BhDisplaySource *
bh_guest_view_get_source (BhGuestView *self)
{
  g_return_val_if_fail (BH_IS_GUEST_VIEW (self), NULL);

  return self->source;
}

BhInputChannel *
bh_guest_view_get_input (BhGuestView *self)
{
  g_return_val_if_fail (BH_IS_GUEST_VIEW (self), NULL);

  return self->input;
}

void
bh_guest_view_set_scaling (BhGuestView *self, BhScaling scaling, gboolean smooth)
{
  g_return_if_fail (BH_IS_GUEST_VIEW (self));

  self->scaling = scaling;
  self->smooth = smooth;
  drop_bands (self);
  lay_out (self);
  gtk_widget_queue_draw (GTK_WIDGET (self));
}

void
bh_guest_view_set_grab_shortcuts (BhGuestView *self, gboolean grab)
{
  g_return_if_fail (BH_IS_GUEST_VIEW (self));

  self->grab_shortcuts = grab;
  update_shortcuts (self);
}

void
bh_guest_view_release (BhGuestView *self)
{
  g_return_if_fail (BH_IS_GUEST_VIEW (self));

  self->combo_clean = FALSE;
  stop_capture (self);
  if (self->input != NULL)
    bh_input_channel_release_all (self->input);
  update_shortcuts (self);
}

gboolean
bh_guest_view_get_captured (BhGuestView *self)
{
  g_return_val_if_fail (BH_IS_GUEST_VIEW (self), FALSE);

  return self->capture != NULL && bh_pointer_capture_is_active (self->capture);
}

gboolean
bh_guest_view_get_active (BhGuestView *self)
{
  g_return_val_if_fail (BH_IS_GUEST_VIEW (self), FALSE);

  return self->active;
}

gboolean
bh_guest_view_get_mouse_absolute (BhGuestView *self)
{
  g_return_val_if_fail (BH_IS_GUEST_VIEW (self), FALSE);

  return self->absolute;
}

gboolean
bh_guest_view_get_guest_size (BhGuestView *self, int *ret_width, int *ret_height)
{
  g_return_val_if_fail (BH_IS_GUEST_VIEW (self), FALSE);

  *ret_width = self->last_width;
  *ret_height = self->last_height;
  return self->last_width != 0;
}

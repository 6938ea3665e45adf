/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pointer-capture.h"

#include "bulkhead-features.h"

#include <math.h>

#if HAVE_X11_POINTER
#include <gdk/x11/gdkx.h>
#include <X11/extensions/XInput2.h>
#endif

#if HAVE_WAYLAND_POINTER
#include "pointer-constraints-unstable-v1-client-protocol.h"
#include "relative-pointer-unstable-v1-client-protocol.h"

#include <gdk/wayland/gdkwayland.h>
#include <wayland-client.h>
#endif

struct _BhPointerCapture
{
  GObject    parent_instance;
  GtkWidget *view;
  gboolean   active;
  gboolean   native;            /* a protocol delivers the motion; what the view passes on is ignored */
  gboolean   warps;             /* the pointer can be put back */
  gboolean   warping;           /* a warp is under way: the events before it are still in the queue */
  double     last_x, last_y, home_x, home_y;
#if HAVE_WAYLAND_POINTER
  gboolean                                bound;
  struct zwp_pointer_constraints_v1      *constraints;
  struct zwp_relative_pointer_manager_v1 *manager;
  struct zwp_locked_pointer_v1           *locked;
  struct zwp_relative_pointer_v1         *relative;
#endif
};

enum { SIGNAL_MOVED, N_SIGNALS };

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (BhPointerCapture, bh_pointer_capture, G_TYPE_OBJECT)

static void
moved (BhPointerCapture *self, double dx, double dy)
{
  if (self->active && (dx != 0 || dy != 0))
    g_signal_emit (self, signals[SIGNAL_MOVED], 0, dx, dy);
}

#if HAVE_X11_POINTER
/* The view's point in the surface, in device pixels. */
static gboolean
surface_point (BhPointerCapture *self, double x, double y, double *ret_x, double *ret_y)
{
  GtkNative *native = gtk_widget_get_native (self->view);
  double     tx, ty, wx, wy;
  int        scale;

  if (native == NULL || !gtk_widget_translate_coordinates (self->view, GTK_WIDGET (native), x, y, &wx, &wy))
    return FALSE;
  gtk_native_get_surface_transform (native, &tx, &ty);
  scale = gdk_surface_get_scale_factor (gtk_native_get_surface (native));
  *ret_x = (wx + tx) * scale;
  *ret_y = (wy + ty) * scale;
  return TRUE;
}

static gboolean
x11_device (BhPointerCapture *self, Display **ret_display, int *ret_device, Window *ret_window)
{
  GdkDisplay *display = gtk_widget_get_display (self->view);
  GtkNative  *native = gtk_widget_get_native (self->view);
  GdkSeat    *seat;

  if (!GDK_IS_X11_DISPLAY (display) || native == NULL)
    return FALSE;
  seat = gdk_display_get_default_seat (display);
  if (seat == NULL || gdk_seat_get_pointer (seat) == NULL)
    return FALSE;
  *ret_display = gdk_x11_display_get_xdisplay (display);
  *ret_device = gdk_x11_device_get_id (gdk_seat_get_pointer (seat));
  *ret_window = gdk_x11_surface_get_xid (gtk_native_get_surface (native));
  return TRUE;
}

static void
x11_warp_home (BhPointerCapture *self)
{
  Display *display;
  Window   window;
  int      device;
  double   x, y;

  if (!x11_device (self, &display, &device, &window) || !surface_point (self, self->home_x, self->home_y, &x, &y))
    return;
  XIWarpPointer (display, device, None, window, 0, 0, 0, 0, x, y);
  XFlush (display);
  self->warping = TRUE;
}

static gboolean
x11_start (BhPointerCapture *self)
{
  unsigned char bits[XIMaskLen (XI_LASTEVENT)] = { 0 };
  XIEventMask   mask = { 0, sizeof bits, bits };
  Display      *display;
  Window        window;
  int           device;

  if (!x11_device (self, &display, &device, &window))
    return FALSE;
  mask.deviceid = device;
  XISetMask (bits, XI_ButtonPress);
  XISetMask (bits, XI_ButtonRelease);
  XISetMask (bits, XI_Motion);
  /* Owner events: they arrive in GDK as always, but the pointer can give no other window the input. */
  gdk_x11_display_error_trap_push (gtk_widget_get_display (self->view));
  if (XIGrabDevice (display, device, window, CurrentTime, None, XIGrabModeAsync, XIGrabModeAsync, True, &mask) != XIGrabSuccess)
    g_debug ("The pointer is held by another program; going on without a grab");
  gdk_x11_display_error_trap_pop_ignored (gtk_widget_get_display (self->view));
  self->warps = TRUE;
  x11_warp_home (self);
  return TRUE;
}

static void
x11_stop (BhPointerCapture *self)
{
  Display *display;
  Window   window;
  int      device;

  if (!self->warps || !x11_device (self, &display, &device, &window))
    return;
  gdk_x11_display_error_trap_push (gtk_widget_get_display (self->view));
  XIUngrabDevice (display, device, CurrentTime);
  XFlush (display);
  gdk_x11_display_error_trap_pop_ignored (gtk_widget_get_display (self->view));
}
#endif

#if HAVE_WAYLAND_POINTER
static void
on_global (void *data, struct wl_registry *registry, uint32_t name, const char *interface, uint32_t version)
{
  BhPointerCapture *self = data;

  if (g_str_equal (interface, zwp_pointer_constraints_v1_interface.name))
    self->constraints = wl_registry_bind (registry, name, &zwp_pointer_constraints_v1_interface, 1);
  else if (g_str_equal (interface, zwp_relative_pointer_manager_v1_interface.name))
    self->manager = wl_registry_bind (registry, name, &zwp_relative_pointer_manager_v1_interface, 1);
}

static void
on_global_remove (void *data, struct wl_registry *registry, uint32_t name)
{
}

static void
on_relative_motion (void *data, struct zwp_relative_pointer_v1 *pointer, uint32_t time_high, uint32_t time_low,
                    wl_fixed_t dx, wl_fixed_t dy, wl_fixed_t dx_raw, wl_fixed_t dy_raw)
{
  moved (data, wl_fixed_to_double (dx), wl_fixed_to_double (dy));
}

static const struct wl_registry_listener            registry_listener = { on_global, on_global_remove };
static const struct zwp_relative_pointer_v1_listener relative_listener = { on_relative_motion };

/* The globals are looked up on a queue of our own, so that no event of GDK's is dispatched out of order. */
static void
wayland_bind (BhPointerCapture *self, struct wl_display *display)
{
  struct wl_event_queue *queue;
  struct wl_display     *wrapper;
  struct wl_registry    *registry;

  if (self->bound)
    return;
  self->bound = TRUE;
  queue = wl_display_create_queue (display);
  wrapper = wl_proxy_create_wrapper (display);
  wl_proxy_set_queue ((struct wl_proxy *) wrapper, queue);
  registry = wl_display_get_registry (wrapper);
  wl_registry_add_listener (registry, &registry_listener, self);
  wl_display_roundtrip_queue (display, queue);
  if (self->constraints != NULL)
    wl_proxy_set_queue ((struct wl_proxy *) self->constraints, NULL);
  if (self->manager != NULL)
    wl_proxy_set_queue ((struct wl_proxy *) self->manager, NULL);
  wl_registry_destroy (registry);
  wl_proxy_wrapper_destroy (wrapper);
  wl_event_queue_destroy (queue);
}

static gboolean
wayland_start (BhPointerCapture *self)
{
  GdkDisplay        *display = gtk_widget_get_display (self->view);
  GtkNative         *native = gtk_widget_get_native (self->view);
  GdkDevice         *device;
  struct wl_pointer *pointer;

  if (!GDK_IS_WAYLAND_DISPLAY (display) || native == NULL)
    return FALSE;
  wayland_bind (self, gdk_wayland_display_get_wl_display (display));
  device = gdk_seat_get_pointer (gdk_display_get_default_seat (display));
  if (self->constraints == NULL || self->manager == NULL || device == NULL)
    return FALSE;
  pointer = gdk_wayland_device_get_wl_pointer (device);
  self->relative = zwp_relative_pointer_manager_v1_get_relative_pointer (self->manager, pointer);
  zwp_relative_pointer_v1_add_listener (self->relative, &relative_listener, self);
  self->locked =
    zwp_pointer_constraints_v1_lock_pointer (self->constraints, gdk_wayland_surface_get_wl_surface (gtk_native_get_surface (native)),
                                             pointer, NULL, ZWP_POINTER_CONSTRAINTS_V1_LIFETIME_PERSISTENT);
  self->native = TRUE;
  return TRUE;
}

static void
wayland_stop (BhPointerCapture *self)
{
  g_clear_pointer (&self->locked, zwp_locked_pointer_v1_destroy);
  g_clear_pointer (&self->relative, zwp_relative_pointer_v1_destroy);
}
#endif

static void
bh_pointer_capture_finalize (GObject *object)
{
  BhPointerCapture *self = BH_POINTER_CAPTURE (object);

  bh_pointer_capture_stop (self);
#if HAVE_WAYLAND_POINTER
  g_clear_pointer (&self->constraints, zwp_pointer_constraints_v1_destroy);
  g_clear_pointer (&self->manager, zwp_relative_pointer_manager_v1_destroy);
#endif

  G_OBJECT_CLASS (bh_pointer_capture_parent_class)->finalize (object);
}

static void
bh_pointer_capture_class_init (BhPointerCaptureClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = bh_pointer_capture_finalize;

  signals[SIGNAL_MOVED] = g_signal_new ("moved", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                        G_TYPE_NONE, 2, G_TYPE_DOUBLE, G_TYPE_DOUBLE);
}

static void
bh_pointer_capture_init (BhPointerCapture *self)
{
}

BhPointerCapture *
bh_pointer_capture_new (GtkWidget *view)
{
  BhPointerCapture *self = g_object_new (BH_TYPE_POINTER_CAPTURE, NULL);

  self->view = view;
  return self;
}

void
bh_pointer_capture_start (BhPointerCapture *self, double x, double y)
{
  g_return_if_fail (BH_IS_POINTER_CAPTURE (self));

  if (self->active)
    return;
  self->active = TRUE;
  self->native = self->warps = self->warping = FALSE;
  self->last_x = x;
  self->last_y = y;
  self->home_x = floor (gtk_widget_get_width (self->view) / 2.0);
  self->home_y = floor (gtk_widget_get_height (self->view) / 2.0);
#if HAVE_WAYLAND_POINTER
  if (wayland_start (self))
    return;
#endif
#if HAVE_X11_POINTER
  if (x11_start (self))
    return;
#endif
}

void
bh_pointer_capture_stop (BhPointerCapture *self)
{
  g_return_if_fail (BH_IS_POINTER_CAPTURE (self));

  if (!self->active)
    return;
#if HAVE_WAYLAND_POINTER
  wayland_stop (self);
#endif
#if HAVE_X11_POINTER
  x11_stop (self);
#endif
  self->active = FALSE;
}

gboolean
bh_pointer_capture_is_active (BhPointerCapture *self)
{
  g_return_val_if_fail (BH_IS_POINTER_CAPTURE (self), FALSE);

  return self->active;
}

void
bh_pointer_capture_motion (BhPointerCapture *self, double x, double y)
{
  g_return_if_fail (BH_IS_POINTER_CAPTURE (self));

  if (!self->active || self->native)
    return;
  /* Events from before the warp may still be in the queue, and GDK merges all motion of a frame into one event, so the
   * warp's own event may never be seen.  A warp goes far: whatever is nearer to home than to the last place came after it. */
  if (self->warping && hypot (x - self->home_x, y - self->home_y) < hypot (x - self->last_x, y - self->last_y))
    {
      self->warping = FALSE;
      self->last_x = self->home_x;
      self->last_y = self->home_y;
    }
  moved (self, x - self->last_x, y - self->last_y);
  self->last_x = x;
  self->last_y = y;
#if HAVE_X11_POINTER
  if (self->warps && !self->warping &&
      (fabs (x - self->home_x) > gtk_widget_get_width (self->view) / 4.0 ||
       fabs (y - self->home_y) > gtk_widget_get_height (self->view) / 4.0))
    x11_warp_home (self);
#endif
}

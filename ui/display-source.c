/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "display-source.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The mapping outlives the source: textures in a frame that is still being drawn refer to it. */
typedef struct
{
  guint8 *bytes;
  gsize   n_bytes;
  gatomicrefcount references;
} Mapping;

struct _BhDisplaySource
{
  GObject          parent_instance;
  Mapping         *mapping;
  int              event_fd;
  guint            watch;
  guint            rearm;
  gboolean         signalled;   /* "frame" was emitted, no update yet */
  DisplayHeader    header;      /* checked copy */
  cairo_surface_t *surface;
};

enum { SIGNAL_FRAME, N_SIGNALS };

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (BhDisplaySource, bh_display_source, G_TYPE_OBJECT)

static Mapping *
mapping_ref (Mapping *mapping)
{
  g_atomic_ref_count_inc (&mapping->references);
  return mapping;
}

static void
mapping_unref (gpointer data)
{
  Mapping *mapping = data;

  if (g_atomic_ref_count_dec (&mapping->references))
    {
      munmap (mapping->bytes, mapping->n_bytes);
      g_free (mapping);
    }
}

static Mapping *
mapping_new (int fd, GError **error)
{
  struct stat status;
  int         seals;
  void       *bytes;
  Mapping    *mapping;

  if (fstat (fd, &status) < 0)
    {
      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "The guest's screen: %s", g_strerror (errno));
      return NULL;
    }
  seals = fcntl (fd, F_GET_SEALS);
  if (seals < 0 || !(seals & F_SEAL_SHRINK))
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                           "The guest’s screen is not in a memory file sealed against shrinking");
      return NULL;
    }
  if (status.st_size < DISPLAY_PIXELS_OFFSET + 4 || status.st_size > 4 * (goffset) DISPLAY_FILE_BYTES)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "The guest’s screen has an impossible size of %"
                   G_GINT64_FORMAT " bytes", (gint64) status.st_size);
      return NULL;
    }
  bytes = mmap (NULL, status.st_size, PROT_READ, MAP_SHARED, fd, 0);
  if (bytes == MAP_FAILED)
    {
      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "Mapping the guest’s screen: %s",
                   g_strerror (errno));
      return NULL;
    }
  mapping = g_new0 (Mapping, 1);
  mapping->bytes = bytes;
  mapping->n_bytes = status.st_size;
  g_atomic_ref_count_init (&mapping->references);
  return mapping;
}

static gboolean
on_event (int fd, GIOCondition condition, gpointer data)
{
  BhDisplaySource *self = data;
  guint64          count;

  self->watch = 0;
  if (condition & (G_IO_ERR | G_IO_NVAL))
    return G_SOURCE_REMOVE;
  if (read (fd, &count, sizeof count) < 0 && errno != EAGAIN && errno != EINTR)
    return G_SOURCE_REMOVE;

  /* The watch stays off until the frame has been taken: this is what bounds a monitor that signals in a loop. */
  self->signalled = TRUE;
  g_signal_emit (self, signals[SIGNAL_FRAME], 0);
  return G_SOURCE_REMOVE;
}

static void
arm (BhDisplaySource *self)
{
  self->signalled = FALSE;
  if (self->watch == 0 && self->event_fd >= 0)
    self->watch = g_unix_fd_add (self->event_fd, G_IO_IN, on_event, self);
}

/* The writer makes `generation` odd while it changes the header, so an equal, even value on both sides of the copy
 * means a whole header.  A writer that never lets us see one only freezes its own picture. */
static gboolean
copy_header (const Mapping *mapping, DisplayHeader *ret_untrusted)
{
  const volatile guint32 *live = (const volatile guint32 *) mapping->bytes;
  const gsize             at = G_STRUCT_OFFSET (DisplayHeader, generation) / 4;
  guint32                *copy = (guint32 *) ret_untrusted;

  for (int attempt = 0; attempt < 4; attempt++)
    {
      guint32 before = live[at];

      __atomic_thread_fence (__ATOMIC_ACQUIRE);
      for (gsize i = 0; i < sizeof *ret_untrusted / 4; i++)
        copy[i] = live[i];
      __atomic_thread_fence (__ATOMIC_ACQUIRE);
      if (live[at] == before && !(before & 1) && ret_untrusted->generation == before)
        return TRUE;
    }
  return FALSE;
}

static gboolean
check_header (const DisplayHeader *untrusted, gsize n_bytes)
{
  if (untrusted->magic != DISPLAY_MAGIC)
    return FALSE;
  if (untrusted->width < 1 || untrusted->width > DISPLAY_MAX_WIDTH ||
      untrusted->height < 1 || untrusted->height > DISPLAY_MAX_HEIGHT)
    return FALSE;
  if (untrusted->stride < untrusted->width * 4 || untrusted->stride > DISPLAY_MAX_WIDTH * 4 * 2 ||
      untrusted->stride % 4 != 0)
    return FALSE;
  return (guint64) untrusted->stride * untrusted->height <= n_bytes - DISPLAY_PIXELS_OFFSET;
}

static void
clip_damage (const DisplayHeader *untrusted, GdkRectangle *ret_damage)
{
  guint32 x = MIN (untrusted->damage_x, untrusted->width);
  guint32 y = MIN (untrusted->damage_y, untrusted->height);

  ret_damage->x = (int) x;
  ret_damage->y = (int) y;
  ret_damage->width = (int) MIN (untrusted->damage_width, untrusted->width - x);
  ret_damage->height = (int) MIN (untrusted->damage_height, untrusted->height - y);
}

static void
bh_display_source_finalize (GObject *object)
{
  BhDisplaySource *self = BH_DISPLAY_SOURCE (object);

  g_clear_handle_id (&self->watch, g_source_remove);
  g_clear_handle_id (&self->rearm, g_source_remove);
  g_clear_pointer (&self->surface, cairo_surface_destroy);
  g_clear_pointer (&self->mapping, mapping_unref);
  if (self->event_fd >= 0)
    close (self->event_fd);

  G_OBJECT_CLASS (bh_display_source_parent_class)->finalize (object);
}

static void
bh_display_source_class_init (BhDisplaySourceClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = bh_display_source_finalize;

  signals[SIGNAL_FRAME] = g_signal_new ("frame", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                        G_TYPE_NONE, 0);
}

static void
bh_display_source_init (BhDisplaySource *self)
{
  self->event_fd = -1;
}

BhDisplaySource *
bh_display_source_new (int memory_fd, int event_fd, GError **error)
{
  g_autoptr (BhDisplaySource) self = g_object_new (BH_TYPE_DISPLAY_SOURCE, NULL);

  self->event_fd = event_fd;
  self->mapping = mapping_new (memory_fd, error);
  close (memory_fd);
  if (self->mapping == NULL)
    return NULL;
  if (event_fd >= 0)
    g_unix_set_fd_nonblocking (event_fd, TRUE, NULL);
  arm (self);
  return g_steal_pointer (&self);
}

static gboolean
rearm_later (gpointer data)
{
  BhDisplaySource *self = data;

  self->rearm = 0;
  self->signalled = TRUE;
  g_signal_emit (self, signals[SIGNAL_FRAME], 0);
  return G_SOURCE_REMOVE;
}

gboolean
bh_display_source_update (BhDisplaySource *self, GdkRectangle *ret_damage)
{
  DisplayHeader untrusted;
  gboolean      same_shape;

  g_return_val_if_fail (BH_IS_DISPLAY_SOURCE (self), FALSE);

  arm (self);
  if (!copy_header (self->mapping, &untrusted))
    {
      /* Caught in the middle of a change whose signal we have already taken: look again shortly. */
      if (self->rearm == 0)
        self->rearm = g_timeout_add (20, rearm_later, self);
      return FALSE;
    }
  if (!check_header (&untrusted, self->mapping->n_bytes))
    return FALSE;
  if (self->header.width != 0 && untrusted.generation == self->header.generation)
    return FALSE;

  same_shape = untrusted.width == self->header.width && untrusted.height == self->header.height &&
               untrusted.stride == self->header.stride && untrusted.mode == self->header.mode;
  if (same_shape && untrusted.generation == self->header.generation + 2)
    clip_damage (&untrusted, ret_damage);
  else
    {
      /* The header tells the damage of one frame only; when some were skipped everything may have changed. */
      *ret_damage = (GdkRectangle) { 0, 0, (int) untrusted.width, (int) untrusted.height };
    }
  if (!same_shape)
    g_clear_pointer (&self->surface, cairo_surface_destroy);
  self->header = untrusted;
  return TRUE;
}

const DisplayHeader *
bh_display_source_get_header (BhDisplaySource *self)
{
  g_return_val_if_fail (BH_IS_DISPLAY_SOURCE (self), NULL);

  return &self->header;
}

gboolean
bh_display_source_is_blank (BhDisplaySource *self)
{
  g_return_val_if_fail (BH_IS_DISPLAY_SOURCE (self), TRUE);

  return self->header.width == 0 || self->header.mode == DISPLAY_MODE_BLANK;
}

GBytes *
bh_display_source_dup_bytes (BhDisplaySource *self, const GdkRectangle *part, gsize *ret_stride)
{
  const DisplayHeader *header = &self->header;
  gsize                offset;

  g_return_val_if_fail (BH_IS_DISPLAY_SOURCE (self), NULL);
  g_return_val_if_fail (part->x >= 0 && part->y >= 0 && part->width > 0 && part->height > 0, NULL);
  g_return_val_if_fail ((guint32) (part->x + part->width) <= header->width, NULL);
  g_return_val_if_fail ((guint32) (part->y + part->height) <= header->height, NULL);

  offset = DISPLAY_PIXELS_OFFSET + (gsize) part->y * header->stride + (gsize) part->x * 4;
  *ret_stride = header->stride;
  return g_bytes_new_with_free_func (self->mapping->bytes + offset,
                                     (gsize) (part->height - 1) * header->stride + (gsize) part->width * 4,
                                     mapping_unref, mapping_ref (self->mapping));
}

cairo_surface_t *
bh_display_source_get_surface (BhDisplaySource *self)
{
  static const cairo_user_data_key_t key;
  const DisplayHeader               *header = &self->header;

  g_return_val_if_fail (BH_IS_DISPLAY_SOURCE (self), NULL);

  if (self->surface == NULL && header->width != 0)
    {
      /* RGB24 ignores the alpha byte, so no value in it can make the guest's picture see-through. */
      self->surface = cairo_image_surface_create_for_data (self->mapping->bytes + DISPLAY_PIXELS_OFFSET,
                                                           CAIRO_FORMAT_RGB24, (int) header->width,
                                                           (int) header->height, (int) header->stride);
      cairo_surface_set_user_data (self->surface, &key, mapping_ref (self->mapping), mapping_unref);
    }
  return self->surface;
}

GdkTexture *
bh_display_source_copy_texture (BhDisplaySource *self, int max_width, int max_height)
{
  const DisplayHeader *header = &self->header;
  cairo_surface_t     *source = bh_display_source_get_surface (self);
  cairo_surface_t     *copy;
  cairo_t             *cr;
  double               scale = 1;
  int                  width, height;
  GdkTexture          *texture;
  g_autoptr (GBytes)   bytes = NULL;

  if (source == NULL)
    return NULL;
  if (max_width > 0 && max_height > 0)
    scale = MIN (1, MIN ((double) max_width / header->width, (double) max_height / header->height));
  width = MAX (1, (int) (header->width * scale));
  height = MAX (1, (int) (header->height * scale));

  copy = cairo_image_surface_create (CAIRO_FORMAT_RGB24, width, height);
  cr = cairo_create (copy);
  cairo_scale (cr, (double) width / header->width, (double) height / header->height);
  cairo_set_source_surface (cr, source, 0, 0);
  cairo_pattern_set_filter (cairo_get_source (cr), scale < 1 ? CAIRO_FILTER_GOOD : CAIRO_FILTER_NEAREST);
  cairo_paint (cr);
  cairo_destroy (cr);
  cairo_surface_flush (copy);

  /* cairo leaves the fourth byte of RGB24 undefined; the texture formats would read it as alpha. */
  for (int y = 0; y < height; y++)
    {
      guint32 *row = (guint32 *) (void *) (cairo_image_surface_get_data (copy) +
                                           (gsize) y * (gsize) cairo_image_surface_get_stride (copy));

      for (int x = 0; x < width; x++)
        row[x] |= 0xff000000u;
    }
  bytes = g_bytes_new (cairo_image_surface_get_data (copy),
                       (gsize) cairo_image_surface_get_stride (copy) * (gsize) height);
  texture = gdk_memory_texture_new (width, height, GDK_MEMORY_DEFAULT, bytes,
                                    (gsize) cairo_image_surface_get_stride (copy));
  cairo_surface_destroy (copy);
  return texture;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What stands between a console window and a hostile monitor, and between the user's keys and a guest. No display needed. */
#include "display-source.h"
#include "host-keys.h"
#include "input-channel.h"
#include "input.h"
#include "label-look.h"
#include "protocol.h"
#include "sound-player.h"
#include "sound.h"
#include "system-presets.h"

#include <fcntl.h>
#include <linux/input-event-codes.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------ display */

typedef struct
{
  int              fd, event;
  guint8          *bytes;
  BhDisplaySource *source;
  guint            n_frames;
} Screen;

static void
on_frame (BhDisplaySource *source, Screen *screen)
{
  screen->n_frames++;
}

static DisplayHeader *
header_of (Screen *screen)
{
  return (DisplayHeader *) (void *) screen->bytes;
}

static void
screen_set_up (Screen *screen, goffset size)
{
  g_autoptr (GError) error = NULL;

  screen->fd = memfd_create ("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  g_assert_cmpint (ftruncate (screen->fd, size), ==, 0);
  g_assert_cmpint (fcntl (screen->fd, F_ADD_SEALS, F_SEAL_SHRINK), ==, 0);
  screen->bytes = mmap (NULL, (size_t) size, PROT_READ | PROT_WRITE, MAP_SHARED, screen->fd, 0);
  screen->event = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
  screen->source = bh_display_source_new (dup (screen->fd), dup (screen->event), &error);
  g_assert_no_error (error);
  screen->n_frames = 0;
  g_signal_connect (screen->source, "frame", G_CALLBACK (on_frame), screen);
  *header_of (screen) = (DisplayHeader) { .magic = DISPLAY_MAGIC, .generation = 2, .width = 640, .height = 480,
                                          .stride = 2560, .mode = DISPLAY_MODE_GRAPHICS };
}

static void
screen_tear_down (Screen *screen, goffset size)
{
  g_clear_object (&screen->source);
  munmap (screen->bytes, (size_t) size);
  close (screen->fd);
  close (screen->event);
}

static void
test_unsealed (void)
{
  g_autoptr (GError)          error = NULL;
  const int                   fd = memfd_create ("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  g_autoptr (BhDisplaySource) source = NULL;

  g_assert_cmpint (ftruncate (fd, DISPLAY_FILE_BYTES), ==, 0);
  source = bh_display_source_new (fd, -1, &error);
  g_assert_null (source);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
}

static void
test_too_small (void)
{
  static const goffset sizes[] = { 0, 100, DISPLAY_PIXELS_OFFSET };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (GError)          error = NULL;
      const int                   fd = memfd_create ("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
      g_autoptr (BhDisplaySource) source = NULL;

      g_assert_cmpint (ftruncate (fd, sizes[i]), ==, 0);
      g_assert_cmpint (fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK), ==, 0);
      source = bh_display_source_new (fd, -1, &error);
      g_assert_null (source);
      g_assert_nonnull (error);
    }
}

static void
test_good_header (void)
{
  Screen       screen;
  GdkRectangle damage;

  screen_set_up (&screen, DISPLAY_FILE_BYTES);
  g_assert_true (bh_display_source_update (screen.source, &damage));
  g_assert_cmpint (damage.width, ==, 640);
  g_assert_cmpint (damage.height, ==, 480);
  g_assert_false (bh_display_source_update (screen.source, &damage));

  header_of (&screen)->generation += 2;
  header_of (&screen)->damage_x = 600;
  header_of (&screen)->damage_y = 10;
  header_of (&screen)->damage_width = 100000;
  header_of (&screen)->damage_height = 5;
  g_assert_true (bh_display_source_update (screen.source, &damage));
  g_assert_cmpint (damage.x, ==, 600);
  g_assert_cmpint (damage.width, ==, 40);
  g_assert_cmpint (damage.height, ==, 5);

  /* A frame was missed: its damage is not known, so everything is. */
  header_of (&screen)->generation += 4;
  g_assert_true (bh_display_source_update (screen.source, &damage));
  g_assert_cmpint (damage.width, ==, 640);
  screen_tear_down (&screen, DISPLAY_FILE_BYTES);
}

static void
test_hostile_headers (void)
{
  static const struct { guint32 width, height, stride; } lies[] = {
    { 0, 480, 2560 }, { 640, 0, 2560 }, { 640, 480, 0 }, { 640, 480, 2559 }, { 640, 480, 2556 }, { 2561, 480, 10244 },
    { 640, 1601, 2560 }, { 0xffffffff, 0xffffffff, 0xffffffff }, { 640, 480, 0xfffffffc }, { 0x40000000, 4, 0 },
    { 2560, 1600, 20480 },
  };
  Screen       screen;
  GdkRectangle damage;

  screen_set_up (&screen, DISPLAY_FILE_BYTES);
  g_assert_true (bh_display_source_update (screen.source, &damage));
  for (guint i = 0; i < G_N_ELEMENTS (lies); i++)
    {
      header_of (&screen)->width = lies[i].width;
      header_of (&screen)->height = lies[i].height;
      header_of (&screen)->stride = lies[i].stride;
      header_of (&screen)->generation += 2;
      g_assert_false (bh_display_source_update (screen.source, &damage));
      /* The last good frame stays. */
      g_assert_cmpuint (bh_display_source_get_header (screen.source)->width, ==, 640);
    }
  header_of (&screen)->width = 640;
  header_of (&screen)->height = 480;
  header_of (&screen)->stride = 2560;
  header_of (&screen)->magic ^= 1;
  g_assert_false (bh_display_source_update (screen.source, &damage));
  header_of (&screen)->magic ^= 1;
  header_of (&screen)->generation |= 1;         /* never finished */
  g_assert_false (bh_display_source_update (screen.source, &damage));
  screen_tear_down (&screen, DISPLAY_FILE_BYTES);
}

static void
test_small_file (void)
{
  const goffset size = DISPLAY_PIXELS_OFFSET + 320 * 200 * 4;
  Screen        screen;
  GdkRectangle  damage;

  /* 640×480 would be past the end of this file; what the header says does not matter. */
  screen_set_up (&screen, size);
  g_assert_false (bh_display_source_update (screen.source, &damage));
  header_of (&screen)->width = 320;
  header_of (&screen)->height = 200;
  header_of (&screen)->stride = 1280;
  g_assert_true (bh_display_source_update (screen.source, &damage));
  header_of (&screen)->height = 201;
  header_of (&screen)->generation += 2;
  g_assert_false (bh_display_source_update (screen.source, &damage));
  screen_tear_down (&screen, size);
}

static void
test_coalesced (void)
{
  Screen        screen;
  GdkRectangle  damage;
  const guint64 one = 1;

  screen_set_up (&screen, DISPLAY_FILE_BYTES);
  for (guint i = 0; i < 1000; i++)
    {
      g_assert_cmpint (write (screen.event, &one, sizeof one), ==, sizeof one);
      while (g_main_context_iteration (NULL, FALSE))
        ;
    }
  g_assert_cmpuint (screen.n_frames, ==, 1);
  bh_display_source_update (screen.source, &damage);
  g_assert_cmpint (write (screen.event, &one, sizeof one), ==, sizeof one);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (screen.n_frames, ==, 2);
  screen_tear_down (&screen, DISPLAY_FILE_BYTES);
}

static void
test_thumbnail (void)
{
  Screen                 screen;
  GdkRectangle           damage;
  g_autoptr (GdkTexture) texture = NULL;
  guint32               *pixels;

  screen_set_up (&screen, DISPLAY_FILE_BYTES);
  pixels = (guint32 *) (void *) (screen.bytes + DISPLAY_PIXELS_OFFSET);
  for (guint i = 0; i < 640 * 480; i++)
    pixels[i] = 0x00c8102e;     /* alpha byte wrong on purpose */
  bh_display_source_update (screen.source, &damage);
  texture = bh_display_source_copy_texture (screen.source, 320, 200);
  g_assert_cmpint (gdk_texture_get_height (texture), ==, 200);
  g_assert_cmpint (gdk_texture_get_width (texture), ==, 266);
  pixels = g_new (guint32, 266 * 200);
  gdk_texture_download (texture, (guchar *) pixels, 266 * 4);
  g_assert_cmphex (pixels[100 * 266 + 100], ==, 0xffc8102e);
  g_free (pixels);
  screen_tear_down (&screen, DISPLAY_FILE_BYTES);
}

/* ------------------------------------------------------------------------------------------------ input */

typedef struct
{
  int             socket;
  BhInputChannel *channel;
} Hands;

static void
hands_set_up (Hands *hands)
{
  int pair[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);
  hands->socket = pair[0];
  hands->channel = bh_input_channel_new (pair[1]);
}

static void
hands_tear_down (Hands *hands)
{
  g_clear_object (&hands->channel);
  close (hands->socket);
}

static gboolean
next (Hands *hands, InputMessage *message)
{
  const gssize n = recv (hands->socket, message, sizeof *message, MSG_DONTWAIT);

  g_assert_true (n < 0 || n == sizeof *message);
  return n == sizeof *message && input_message_check (message, (size_t) n);
}

static void
test_keys (void)
{
  Hands        hands;
  InputMessage message;

  hands_set_up (&hands);
  bh_input_channel_key (hands.channel, KEY_A, TRUE);
  g_assert_true (next (&hands, &message));
  g_assert_cmpuint (message.type, ==, INPUT_KEY);
  g_assert_cmpuint (message.code, ==, KEY_A);
  g_assert_cmpint (message.value_x, ==, 1);
  bh_input_channel_key (hands.channel, KEY_B, FALSE);   /* the guest never saw it pressed */
  g_assert_false (next (&hands, &message));
  bh_input_channel_key (hands.channel, KEY_A, FALSE);
  g_assert_true (next (&hands, &message));
  g_assert_cmpint (message.value_x, ==, 0);
  bh_input_channel_key (hands.channel, 0, TRUE);
  bh_input_channel_key (hands.channel, 100000, TRUE);
  g_assert_false (next (&hands, &message));
  hands_tear_down (&hands);
}

static void
test_release_all (void)
{
  Hands        hands;
  InputMessage message;
  guint        n_down = 0;

  hands_set_up (&hands);
  /* A thousand random changes of focus: after each of them nothing may be held. */
  for (guint i = 0; i < 1000; i++)
    {
      const guint n = (guint) g_random_int_range (0, 6);

      for (guint j = 0; j < n; j++)
        bh_input_channel_key (hands.channel, (guint) g_random_int_range (1, 248), g_random_boolean ());
      bh_input_channel_set_button (hands.channel, MOUSE_BUTTON_LEFT, g_random_boolean ());
      bh_input_channel_release_all (hands.channel);
      while (next (&hands, &message))
        {
          if (message.type == INPUT_KEY)
            n_down += message.value_x ? 1 : -1;
          else if (message.type == INPUT_RELEASE_ALL)
            n_down = 0;
        }
      g_assert_cmpuint (n_down, ==, 0);
      for (guint code = 0; code < 256; code++)
        g_assert_false (bh_input_channel_is_held (hands.channel, code));
    }
  hands_tear_down (&hands);
}

static void
test_frozen (void)
{
  Hands        hands;
  InputMessage message;

  hands_set_up (&hands);
  bh_input_channel_key (hands.channel, KEY_LEFTCTRL, TRUE);
  g_assert_true (next (&hands, &message));
  bh_input_channel_set_frozen (hands.channel, TRUE);
  g_assert_true (next (&hands, &message));
  g_assert_cmpuint (message.type, ==, INPUT_RELEASE_ALL);
  bh_input_channel_key (hands.channel, KEY_A, TRUE);
  bh_input_channel_move (hands.channel, 5, 5, 0);
  bh_input_channel_point (hands.channel, 5, 5, 0);
  bh_input_channel_set_button (hands.channel, MOUSE_BUTTON_LEFT, TRUE);
  g_assert_false (next (&hands, &message));
  bh_input_channel_set_frozen (hands.channel, FALSE);
  bh_input_channel_move (hands.channel, 1, -1, 0);
  g_assert_true (next (&hands, &message));
  g_assert_cmpuint (message.buttons, ==, 0);
  hands_tear_down (&hands);
}

static void
test_full_socket (void)
{
  Hands        hands;
  InputMessage message;
  gboolean     released = FALSE;

  /* A monitor that does not read: we never wait for it, and when it reads again no key is stuck. */
  hands_set_up (&hands);
  for (guint i = 0; i < 5000; i++)
    bh_input_channel_move (hands.channel, 1, 1, 0);
  bh_input_channel_key (hands.channel, KEY_A, TRUE);
  bh_input_channel_key (hands.channel, KEY_A, FALSE);
  while (next (&hands, &message))
    ;
  bh_input_channel_move (hands.channel, 1, 1, 0);
  while (next (&hands, &message))
    released |= message.type == INPUT_RELEASE_ALL;
  g_assert_true (released);
  hands_tear_down (&hands);
}

static void
test_host_keys (void)
{
  const GdkModifierType both = GDK_CONTROL_MASK | GDK_ALT_MASK;

  g_assert_cmpint (bh_host_key_find (KEY_ENTER + 8, both, NULL), ==, BH_HOST_KEY_FULLSCREEN);
  g_assert_cmpint (bh_host_key_find (KEY_ENTER + 8, both | GDK_LOCK_MASK, NULL), ==, BH_HOST_KEY_FULLSCREEN);
  g_assert_cmpint (bh_host_key_find (KEY_ENTER + 8, GDK_CONTROL_MASK, NULL), ==, BH_HOST_KEY_NONE);
  g_assert_cmpint (bh_host_key_find (KEY_PAUSE + 8, both, "ctrl+alt+pause"), ==, BH_HOST_KEY_ATTENTION);
  g_assert_cmpint (bh_host_key_find (KEY_HOME + 8, both, "ctrl+alt+pause"), ==, BH_HOST_KEY_NONE);
  g_assert_cmpint (bh_host_key_find (KEY_HOME + 8, both, "ctrl+alt+home"), ==, BH_HOST_KEY_ATTENTION);
  g_assert_cmpint (bh_host_key_find (KEY_PAUSE + 8, both, "nonsense"), ==, BH_HOST_KEY_ATTENTION);
  g_assert_cmpint (bh_host_key_find (0, both, NULL), ==, BH_HOST_KEY_NONE);
}

/* ------------------------------------------------------------------------------------------------ the rest */

static void
test_label_look (void)
{
  g_autoptr (GVariant)    odd = g_variant_ref_sink (g_variant_new_parsed ("{'label': <'SECRET'>, 'background': <'no colour'>, 'foreground': <5>}"));
  g_autoptr (GVariant)    none = g_variant_ref_sink (g_variant_new_parsed ("@a{sv} {}"));
  g_autoptr (BhLabelLook) look = bh_label_look_new_from_variant (odd, "");
  g_autoptr (BhLabelLook) empty = bh_label_look_new_from_variant (none, "");

  g_assert_cmpstr (look->text, ==, "SECRET");
  g_assert_cmpfloat (look->foreground.red, ==, 1);
  g_assert_cmpfloat (look->background.red, ==, 0);
  g_assert_cmpstr (empty->text, !=, "");        /* a strip is never without words */
}

static void
test_presets (void)
{
  g_autofree char *name = bh_system_presets_machine_name ("/tmp/debian-12.5.0-i386-netinst.iso");

  g_assert_cmpstr (name, ==, "Debian 12.5.0");
  g_assert_cmpstr (bh_system_presets_guess ("/x/debian-12.5.0-i386-netinst.iso")->id, ==, "linux");
  g_assert_cmpstr (bh_system_presets_guess ("/x/FD13LIVE.iso")->id, ==, "dos");
  g_assert_cmpstr (bh_system_presets_guess ("/x/win98se.iso")->id, ==, "windows-9x");
  g_assert_cmpstr (bh_system_presets_guess ("/x/unheard-of.qcow2")->id, ==, "other");
  g_assert_cmpint (bh_image_kind ("a.ISO"), ==, BH_IMAGE_CD);
  g_assert_cmpint (bh_image_kind ("a.bulkhead"), ==, BH_IMAGE_MACHINE);
  g_assert_cmpint (bh_image_kind ("a"), ==, BH_IMAGE_UNKNOWN);
  g_assert_cmpstr (bh_image_format ("a.vmdk"), ==, "vmdk");
}

static void
test_recording (void)
{
  g_autoptr (GError)        error = NULL;
  const int                 fd = memfd_create ("sound", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  g_autofree char          *path = NULL;
  g_autoptr (BhSoundPlayer) player = NULL;
  SoundRingHeader          *header;
  gint16                   *samples;
  guint8                   *ring;

  g_assert_cmpint (ftruncate (fd, SOUND_RING_BYTES), ==, 0);
  g_assert_cmpint (fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK), ==, 0);
  ring = mmap (NULL, SOUND_RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  header = (SoundRingHeader *) (void *) ring;
  samples = (gint16 *) (void *) (ring + SOUND_RING_OFFSET);
  *header = (SoundRingHeader) { SOUND_RING_MAGIC, SOUND_RATE, SOUND_RING_FRAMES - 1000 };
  player = bh_sound_player_new (dup (fd), "test", &error);
  g_assert_no_error (error);
  close (g_file_open_tmp ("bulkhead-XXXXXX.wav", &path, NULL));
  g_assert_true (bh_sound_player_start_recording (player, path, "SECRET", &error));
  /* Across the ring's end. */
  for (guint i = 0; i < 2000; i++)
    samples[2 * ((SOUND_RING_FRAMES - 1000 + i) % SOUND_RING_FRAMES)] = (gint16) i;
  header->written += 2000;
  bh_sound_player_stop_recording (player);
  g_assert_cmpuint (bh_sound_player_get_n_recorded (player), ==, 2000);
  /* A writer that counts backwards or jumps far is no reason to read anything wrong. */
  g_assert_true (bh_sound_player_start_recording (player, path, "SECRET", &error));
  header->written = 5;
  bh_sound_player_stop_recording (player);
  g_assert_cmpuint (bh_sound_player_get_n_recorded (player), ==, 0);
  g_assert_true (bh_sound_player_start_recording (player, path, "SECRET", &error));
  header->written = G_MAXUINT64;
  bh_sound_player_stop_recording (player);
  g_assert_cmpuint (bh_sound_player_get_n_recorded (player), <=, SOUND_RING_FRAMES);
  g_clear_object (&player);
  munmap (ring, SOUND_RING_BYTES);
  close (fd);
  unlink (path);
}

int
main (int argc, char **argv)
{
  g_setenv ("PULSE_SERVER", "unix:/nonexistent", TRUE);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/ui/display/refuses-unsealed-memory", test_unsealed);
  g_test_add_func ("/ui/display/refuses-small-memory", test_too_small);
  g_test_add_func ("/ui/display/damage", test_good_header);
  g_test_add_func ("/ui/display/hostile-headers", test_hostile_headers);
  g_test_add_func ("/ui/display/header-against-file-size", test_small_file);
  g_test_add_func ("/ui/display/wake-ups-are-coalesced", test_coalesced);
  g_test_add_func ("/ui/display/thumbnail", test_thumbnail);
  g_test_add_func ("/ui/input/keys", test_keys);
  g_test_add_func ("/ui/input/release-all", test_release_all);
  g_test_add_func ("/ui/input/frozen", test_frozen);
  g_test_add_func ("/ui/input/full-socket", test_full_socket);
  g_test_add_func ("/ui/input/host-keys", test_host_keys);
  g_test_add_func ("/ui/label-look", test_label_look);
  g_test_add_func ("/ui/presets", test_presets);
  g_test_add_func ("/ui/sound/recording", test_recording);
  return g_test_run ();
}

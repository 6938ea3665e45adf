/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Plays and records what a guest's sound devices write into their ring.  The ring is memory of an untrusted process:
 * its header is copied and checked, and samples are only samples. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

#define BH_TYPE_SOUND_PLAYER (bh_sound_player_get_type ())
G_DECLARE_FINAL_TYPE (BhSoundPlayer, bh_sound_player, BH, SOUND_PLAYER, GObject)

/* Takes the descriptor, also on failure.  Playing starts by itself, and again when a sound server appears. */
BhSoundPlayer *bh_sound_player_new (int memory_fd, const char *title, GError **error);
void           bh_sound_player_set_muted (BhSoundPlayer *self, gboolean muted);
/* Writes what the guest plays from now on to a WAV, FLAC or Ogg file by the path's suffix.  comment goes into the file:
 * the label. */
gboolean       bh_sound_player_start_recording (BhSoundPlayer *self, const char *path, const char *comment, GError **error);
void           bh_sound_player_stop_recording (BhSoundPlayer *self);
gboolean       bh_sound_player_is_recording (BhSoundPlayer *self);
/* Stereo frames played and recorded so far. */
guint64        bh_sound_player_get_n_played (BhSoundPlayer *self);
guint64        bh_sound_player_get_n_recorded (BhSoundPlayer *self);

G_END_DECLS

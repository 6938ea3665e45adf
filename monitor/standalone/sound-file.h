/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sound of a standalone machine: recorded by libsndfile or played by PulseAudio. */
#pragma once

#include "sound.h"

/* "file:PATH" (the suffix chooses WAV, FLAC or Ogg; default WAV) or "pulse". NULL with a sentence in ret_error. */
SoundSink *sound_sink_open (const char *description, char **ret_error);

/* SPDX-License-Identifier: GPL-3.0-or-later */
/* System control port B (61h) and the speaker behind it: the timer's counter 2 and the data bit make the cone's
 * position, whoever toggles them and however fast.  (Device *) speaker is the device. */
#pragma once

#include "device.h"
#include "irq-line.h"
#include "pit.h"
#include "sound.h"

typedef struct Speaker Speaker;

/* sink may be NULL: silent; it is closed with the device.  Returns 0, -ENOMEM or what bus_claim_ports says; the sink is
 * then still the caller's. */
int speaker_new (const DeviceHost *host, Pit *pit, SoundSink *sink, Speaker **ret);

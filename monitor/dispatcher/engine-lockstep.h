/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Settings of the lockstep engine, for tests. */
#pragma once

#include "engine.h"

/* The translator inside: translator-engine.h. */
Engine *engine_lockstep_translator (Engine *lockstep);
/* Instructions between two comparisons of the processors' state. */
void    engine_lockstep_set_chunk  (Engine *lockstep, uint32_t instructions);

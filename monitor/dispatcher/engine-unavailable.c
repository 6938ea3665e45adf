/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine.h"
Engine *engine_new_translator (Cpu *cpu, bool exact, const char **ret_error) { *ret_error = "this build has no translator"; return NULL; }
Engine *engine_new_lockstep (Cpu *cpu, const char **ret_error) { *ret_error = "this build has no translator"; return NULL; }

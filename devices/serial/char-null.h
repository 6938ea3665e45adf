/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A far end that takes everything and says nothing. */
#pragma once

#include "chardev.h"

/* NULL when memory is short. */
CharBackend *char_null_new (void);

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "reasons.h"

const char *const reason_codes[N_REASONS] = {
#define REASON_CODE(code, text) #code,
  REASONS (REASON_CODE)
};

const char *const reason_texts[N_REASONS] = {
#define REASON_TEXT(code, text) text,
  REASONS (REASON_TEXT)
};

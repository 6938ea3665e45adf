/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Just enough JSON (RFC 8259) for the control socket: one flat-ish object out, string arguments in. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A growing text; `failed` once memory was short. */
typedef struct
{
  char  *text;
  size_t length, capacity;
  bool   failed, need_comma;
} Json;

void json_begin_object (Json *json, const char *key);   /* key NULL: inside an array, or the outermost */
void json_end_object   (Json *json);
void json_begin_array  (Json *json, const char *key);
void json_end_array    (Json *json);
void json_string       (Json *json, const char *key, const char *utf8);
void json_string_n     (Json *json, const char *key, const char *utf8, size_t n_bytes);
void json_hex          (Json *json, const char *key, uint64_t value);
void json_number       (Json *json, const char *key, uint64_t value);
void json_bool         (Json *json, const char *key, bool value);
void json_clear        (Json *json);

/* Splits a request line into arguments in place: words, or JSON strings where they begin with a quote.
 * Returns how many, or -1 for a damaged string or more than max. */
int json_split_arguments (char *line, char **ret_arguments, int max);

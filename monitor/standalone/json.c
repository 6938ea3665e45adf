/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
append (Json *self, const char *bytes, size_t n_bytes)
{
  if (self->failed)
    return;
  if (self->length + n_bytes + 1 > self->capacity)
    {
      size_t capacity = (self->length + n_bytes + 1) * 2;
      char *grown = realloc (self->text, capacity);

      if (!grown)
        {
          self->failed = true;
          return;
        }
      self->text = grown;
      self->capacity = capacity;
    }
  memcpy (self->text + self->length, bytes, n_bytes);
  self->length += n_bytes;
  self->text[self->length] = 0;
}

static void
append_escaped (Json *self, const char *utf8, size_t n_bytes)
{
  append (self, "\"", 1);
  for (size_t i = 0; i < n_bytes; i++)
    {
      unsigned char c = (unsigned char) utf8[i];
      char escape[8];

      if (c == '"' || c == '\\')
        {
          escape[0] = '\\';
          escape[1] = (char) c;
          append (self, escape, 2);
        }
      else if (c < 0x20 || c == 0x7f)
        {
          snprintf (escape, sizeof escape, "\\u%04x", c);
          append (self, escape, 6);
        }
      else
        append (self, utf8 + i, 1);
    }
  append (self, "\"", 1);
}

static void
begin_value (Json *self, const char *key)
{
  if (self->need_comma)
    append (self, ", ", 2);
  self->need_comma = true;
  if (key)
    {
      append_escaped (self, key, strlen (key));
      append (self, ": ", 2);
    }
}

void
json_begin_object (Json *self, const char *key)
{
  begin_value (self, key);
  append (self, "{", 1);
  self->need_comma = false;
}

void
json_end_object (Json *self)
{
  append (self, "}", 1);
  self->need_comma = true;
}

void
json_begin_array (Json *self, const char *key)
{
  begin_value (self, key);
  append (self, "[", 1);
  self->need_comma = false;
}

void
json_end_array (Json *self)
{
  append (self, "]", 1);
  self->need_comma = true;
}

void
json_string_n (Json *self, const char *key, const char *utf8, size_t n_bytes)
{
  begin_value (self, key);
  append_escaped (self, utf8, n_bytes);
}

void
json_string (Json *self, const char *key, const char *utf8)
{
  json_string_n (self, key, utf8, strlen (utf8));
}

void
json_hex (Json *self, const char *key, uint64_t value)
{
  char text[24];

  snprintf (text, sizeof text, "%08" PRIx64, value);
  json_string (self, key, text);
}

void
json_number (Json *self, const char *key, uint64_t value)
{
  char text[24];

  begin_value (self, key);
  snprintf (text, sizeof text, "%" PRIu64, value);
  append (self, text, strlen (text));
}

void
json_bool (Json *self, const char *key, bool value)
{
  begin_value (self, key);
  append (self, value ? "true" : "false", value ? 4 : 5);
}

void
json_clear (Json *self)
{
  free (self->text);
  *self = (Json) { 0 };
}

static char *
put_utf8 (char *to, uint32_t code)
{
  if (code < 0x80)
    *to++ = (char) code;
  else if (code < 0x800)
    {
      *to++ = (char) (0xc0 | code >> 6);
      *to++ = (char) (0x80 | (code & 0x3f));
    }
  else if (code < 0x10000)
    {
      *to++ = (char) (0xe0 | code >> 12);
      *to++ = (char) (0x80 | (code >> 6 & 0x3f));
      *to++ = (char) (0x80 | (code & 0x3f));
    }
  else
    {
      *to++ = (char) (0xf0 | code >> 18);
      *to++ = (char) (0x80 | (code >> 12 & 0x3f));
      *to++ = (char) (0x80 | (code >> 6 & 0x3f));
      *to++ = (char) (0x80 | (code & 0x3f));
    }
  return to;
}

static bool
hex4 (const char *at, uint32_t *ret_value)
{
  *ret_value = 0;
  for (unsigned i = 0; i < 4; i++)
    {
      char c = at[i];
      unsigned digit = c >= '0' && c <= '9' ? (unsigned) (c - '0') : (c | 32) >= 'a' && (c | 32) <= 'f' ? (unsigned) ((c | 32) - 'a' + 10) : 99;

      if (digit == 99)
        return false;
      *ret_value = *ret_value << 4 | digit;
    }
  return true;
}

/* Decodes the string after its opening quote in place (it never grows). Returns what follows the closing quote, or NULL. */
static char *
decode_string (char *from)
{
  char *to = from;

  for (; *from && *from != '"'; from++)
    {
      uint32_t code, low;

      if (*from != '\\')
        {
          *to++ = *from;
          continue;
        }
      switch (*++from)
        {
        case 'n': *to++ = '\n'; break;
        case 't': *to++ = '\t'; break;
        case 'r': *to++ = '\r'; break;
        case 'b': *to++ = '\b'; break;
        case 'f': *to++ = '\f'; break;
        case '"': case '\\': case '/': *to++ = *from; break;
        case 'u':
          if (!hex4 (from + 1, &code) || code == 0)
            return NULL;
          from += 4;
          if (code >= 0xd800 && code < 0xdc00)
            {
              if (from[1] != '\\' || from[2] != 'u' || !hex4 (from + 3, &low) || low < 0xdc00 || low > 0xdfff)
                return NULL;
              code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
              from += 6;
            }
          to = put_utf8 (to, code);
          break;
        default:
          return NULL;
        }
    }
  if (*from != '"')
    return NULL;
  *to = 0;
  return from + 1;
}

int
json_split_arguments (char *line, char **ret_arguments, int max)
{
  int n = 0;

  for (;;)
    {
      while (*line == ' ' || *line == '\t')
        line++;
      if (!*line)
        return n;
      if (n == max)
        return -1;
      if (*line == '"')
        {
          ret_arguments[n++] = line + 1;
          line = decode_string (line + 1);
          if (!line || (*line && *line != ' ' && *line != '\t'))
            return -1;
          continue;
        }
      ret_arguments[n++] = line;
      while (*line && *line != ' ' && *line != '\t')
        line++;
      if (*line)
        *line++ = 0;
    }
}

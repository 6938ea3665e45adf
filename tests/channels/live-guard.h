/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The real programs of the build tree in a home of their own: what a person does with bulkhead-ctl, as functions. */
#pragma once

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <signal.h>
#include <string.h>

typedef struct
{
  char *home, *ctl;
} LiveGuard;

static inline void
live_guard_open (LiveGuard *self, const char *ctl)
{
  g_autofree char *runtime = NULL;
  g_autofree char *data = NULL;

  self->home = g_dir_make_tmp ("bulkhead-live-XXXXXX", NULL);
  self->ctl = g_canonicalize_filename (ctl, NULL);
  runtime = g_build_filename (self->home, "run", NULL);
  data = g_build_filename (self->home, "data", NULL);
  g_assert_cmpint (g_mkdir (runtime, 0700), ==, 0);
  g_assert_cmpint (g_mkdir (data, 0700), ==, 0);
  g_setenv ("XDG_RUNTIME_DIR", runtime, TRUE);
  g_setenv ("XDG_DATA_HOME", data, TRUE);
  g_setenv ("LC_ALL", "C.UTF-8", TRUE);
}

/* Runs bulkhead-ctl; its status.  `ret_out` gets what it printed (out and err together) when not NULL. */
static inline int
live_ctl (LiveGuard *self, char **ret_out, ...)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_autofree char *out = NULL;
  g_autofree char *err = NULL;
  const char *word;
  va_list words;
  int status;

  g_ptr_array_add (argv, self->ctl);
  va_start (words, ret_out);
  while ((word = va_arg (words, const char *)))
    g_ptr_array_add (argv, (char *) word);
  va_end (words);
  g_ptr_array_add (argv, NULL);
  g_assert_true (g_spawn_sync (self->home, (char **) argv->pdata, NULL, 0, NULL, NULL, &out, &err, &status, NULL));
  if (ret_out)
    *ret_out = g_strconcat (out, err, NULL);
  else if (*err)
    g_test_message ("%s", err);
  return WIFEXITED (status) ? WEXITSTATUS (status) : 255;
}

/* A number in the JSON object that `verb NAME` answers; -1 when it is not there. */
static inline gint64
live_number (LiveGuard *self, const char *verb, const char *name, const char *key)
{
  g_autofree char *text = NULL;
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonObject *object;

  live_ctl (self, &text, "--json", verb, name, NULL);
  if (!json_parser_load_from_data (parser, text, -1, NULL) || !JSON_NODE_HOLDS_OBJECT (json_parser_get_root (parser)))
    return -1;
  object = json_node_get_object (json_parser_get_root (parser));
  return json_object_has_member (object, key) ? json_object_get_int_member (object, key) : -1;
}

/* Whether the text screen of a machine shows the words within so many seconds. */
static inline gboolean
live_wait_screen (LiveGuard *self, const char *machine, const char *words, guint seconds)
{
  gint64 end = g_get_monotonic_time () + (gint64) seconds * G_USEC_PER_SEC;

  do
    {
      g_autofree char *text = NULL;

      if (live_ctl (self, &text, "screen-text", machine, NULL) == 0 && strstr (text, words))
        return TRUE;
      g_usleep (200000);
    }
  while (g_get_monotonic_time () < end);
  return FALSE;
}

/* The audit trail as one text. */
static inline char *
live_audit (LiveGuard *self)
{
  g_autofree char *path = g_build_filename (self->home, "data", "bulkhead", "audit.jsonl", NULL);
  char *text = NULL;

  g_file_get_contents (path, &text, NULL, NULL);
  return text ? text : g_strdup ("");
}

/* Ends the guard and removes everything. */
static inline void
live_guard_close (LiveGuard *self)
{
  gint64 pid = live_number (self, "status", NULL, "pid");
  char *argv[] = { (char *) "rm", (char *) "-rf", self->home, NULL };

  if (pid > 1)
    kill ((pid_t) pid, SIGTERM);
  for (int i = 0; pid > 1 && i < 100 && kill ((pid_t) pid, 0) == 0; i++)
    g_usleep (50000);
  g_spawn_sync (NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
  g_free (self->home);
  g_free (self->ctl);
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "guard.h"

#include "clipboard.h"
#include "folders.h"
#include "guard-config.h"
#include "machine.h"
#include "media.h"
#include "networks.h"
#include "regrade.h"
#include "roles.h"
#include "store.h"

#include <stdarg.h>
#include <string.h>

static const char *const policy_keys[] = {
  "encodings", "host-label", "uplink-label", "clearance-low", "clearance-high", "clipboard-one-way", "clipboard-seconds",
  "console", "attention-key", "consent", "phrase", "printer-banner", NULL,
};

static const struct { const char *key, *value; } policy_defaults[] = {
  { "encodings", "us-government" }, { "clipboard-one-way", "deny" }, { "clipboard-seconds", "60" }, { "console", "on" },
  { "attention-key", "ctrl+alt+pause" },
};

const char *const *
guard_policy_keys (void)
{
  return policy_keys;
}

char *
guard_get_policy (Guard *self, const char *key)
{
  g_autofree char *value = NULL;

  if (!g_strv_contains (policy_keys, key))
    return NULL;
  value = g_key_file_get_string (self->policy, "policy", key, NULL);
  for (gsize i = 0; !value && i < G_N_ELEMENTS (policy_defaults); i++)
    if (g_str_equal (policy_defaults[i].key, key))
      value = g_strdup (policy_defaults[i].value);
  return value ? g_steal_pointer (&value) : g_strdup ("");
}

/* A shipped set by its name, or any file by its path. */
static char *
find_encodings (const char *name)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = self ? g_path_get_dirname (self) : g_strdup ("/");
  g_autofree char *file = g_strconcat (name, ".encodings", NULL);
  g_autofree char *beside = g_build_filename (folder, "..", "..", "share", "bulkhead", "encodings", file, NULL);
  g_autofree char *near = g_build_filename (folder, "..", "share", "bulkhead", "encodings", file, NULL);
  g_autofree char *source = g_build_filename (BULKHEAD_SOURCE_ENCODINGS, file, NULL);
  const char *const places[] = { beside, near, source };

  if (g_path_is_absolute (name))
    return g_strdup (name);
  for (gsize i = 0; i < G_N_ELEMENTS (places); i++)
    if (g_file_test (places[i], G_FILE_TEST_IS_REGULAR))
      return g_canonicalize_filename (places[i], NULL);
  return g_strdup (source);
}

static void
read_policy_label (Guard *self, const char *key, const Label *standard, gboolean clearance, Label *ret)
{
  g_autofree char *text = guard_get_policy (self, key);
  g_autoptr (GError) error = NULL;

  *ret = *standard;
  if (!*text)
    return;
  if (clearance ? !encodings_read_clearance (self->encodings, text, ret, &error)
                : !encodings_read_label (self->encodings, text, ret, &error))
    {
      g_clear_pointer (&self->encodings_problem, g_free);
      self->encodings_problem = g_strdup_printf ("policy key %s: %s", key, error->message);
    }
}

/* Derives everything from the policy keys; what is unsound denies. */
static void
apply_policy (Guard *self)
{
  g_autofree char *name = guard_get_policy (self, "encodings");
  g_autofree char *one_way = guard_get_policy (self, "clipboard-one-way");
  g_autoptr (GError) error = NULL;

  g_clear_pointer (&self->encodings, encodings_unref);
  g_clear_pointer (&self->encodings_problem, g_free);
  g_free (self->encodings_path);
  self->encodings_path = find_encodings (name);
  self->encodings = encodings_load (self->encodings_path, &error);
  self->settings.clipboard_one_way_asks = g_str_equal (one_way, "ask");
  if (!self->encodings)
    {
      self->encodings_problem = g_strdup (error->message);
      memset (&self->host, 0, sizeof self->host);
      memset (&self->uplink, 0, sizeof self->uplink);
      memset (&self->clearance_low, 0, sizeof self->clearance_low);
      memset (&self->clearance_high, 0xff, sizeof self->clearance_high);
      return;
    }
  read_policy_label (self, "host-label", encodings_host_label (self->encodings), FALSE, &self->host);
  read_policy_label (self, "uplink-label", &self->host, FALSE, &self->uplink);
  read_policy_label (self, "clearance-low", encodings_clearance_low (self->encodings), TRUE, &self->clearance_low);
  read_policy_label (self, "clearance-high", encodings_clearance_high (self->encodings), TRUE, &self->clearance_high);
}

gboolean
guard_set_policy (Guard *self, const char *key, const char *value, GError **error)
{
  g_autofree char *path = g_build_filename (self->data_folder, "policy.conf", NULL);
  g_autofree char *old = guard_get_policy (self, key);
  g_autoptr (GError) local = NULL;
  Label label;

  if (!old)
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_USAGE, "there is no policy key \"%s\"", key);
      return FALSE;
    }
  if (strlen (value) > 4096 || !g_utf8_validate (value, -1, NULL))
    g_set_error_literal (&local, GUARD_ERROR, GUARD_ERROR_USAGE, "the value is too long or not UTF-8");
  else if (g_str_equal (key, "encodings"))
    {
      g_autofree char *file = find_encodings (value);

      encodings_unref (encodings_load (file, &local));
    }
  else if (g_str_has_suffix (key, "-label") || g_str_has_prefix (key, "clearance-"))
    {
      if (!self->encodings)
        g_set_error (&local, GUARD_ERROR, GUARD_ERROR_REFUSED, "the encodings are damaged: %s", self->encodings_problem);
      else if (*value)
        {
          if (g_str_has_prefix (key, "clearance-"))
            encodings_read_clearance (self->encodings, value, &label, &local);
          else
            encodings_read_label (self->encodings, value, &label, &local);
        }
    }
  else if (g_str_equal (key, "clipboard-one-way"))
    {
      if (!g_str_equal (value, "ask") && !g_str_equal (value, "deny"))
        g_set_error_literal (&local, GUARD_ERROR, GUARD_ERROR_USAGE, "clipboard-one-way is ask or deny");
    }
  else if (g_str_equal (key, "console"))
    {
      if (!g_str_equal (value, "on") && !g_str_equal (value, "off"))
        g_set_error_literal (&local, GUARD_ERROR, GUARD_ERROR_USAGE, "console is on or off");
    }
  else if (g_str_equal (key, "clipboard-seconds"))
    {
      guint64 seconds;

      if (!g_ascii_string_to_unsigned (value, 10, 1, 3600, &seconds, NULL))
        g_set_error_literal (&local, GUARD_ERROR, GUARD_ERROR_USAGE, "clipboard-seconds is a number from 1 to 3600");
    }
  if (local)
    {
      g_set_error_literal (error, GUARD_ERROR, local->domain == GUARD_ERROR ? local->code : GUARD_ERROR_USAGE, local->message);
      return FALSE;
    }
  if (!guard_record (self, "policy", "officer", key, g_str_equal (key, "phrase") ? "(the user's phrase)" : value, error))
    return FALSE;
  g_key_file_set_string (self->policy, "policy", key, value);
  if (!files_save_sealed (path, self->policy, self->key, error))
    {
      g_key_file_set_string (self->policy, "policy", key, old);
      return FALSE;
    }
  apply_policy (self);
  if (self->service)
    bh_guard1_emit_policy_changed (self->service);
  return TRUE;
}

static void
note_problem (Guard *self, GError *error)
{
  if (!error)
    return;
  if (!self->problem)
    self->problem = g_strdup (error->message);
  g_error_free (error);
}

Guard *
guard_new (const char *data_folder, const char *runtime_folder, GError **error)
{
  Guard *self;
  g_autofree char *key_path = g_build_filename (data_folder, "store.key", NULL);
  g_autofree char *policy_path = g_build_filename (data_folder, "policy.conf", NULL);
  GError *local = NULL;
  guint8 key[SEAL_BYTES];

  if (!files_private_folder (data_folder, error) || !files_private_folder (runtime_folder, error)
      || !files_load_key (key_path, key, error))
    return NULL;
  self = g_new0 (Guard, 1);
  memcpy (self->key, key, sizeof key);
  self->monitor = "bulkhead-monitor";
  self->data_folder = g_strdup (data_folder);
  self->runtime_folder = g_strdup (runtime_folder);
  self->audit = audit_open (data_folder);
  self->policy = files_load_sealed (policy_path, self->key, &local);
  if (!self->policy)
    self->policy = g_key_file_new ();
  note_problem (self, g_steal_pointer (&local));
  apply_policy (self);
  self->machines = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify) machine_free);
  self->media = media_new (self, &local);
  note_problem (self, g_steal_pointer (&local));
  self->networks = networks_new (self, &local);
  note_problem (self, g_steal_pointer (&local));
  self->folders = folders_new (self, &local);
  note_problem (self, g_steal_pointer (&local));
  self->clipboard = clipboard_new (self);
  self->regrades = regrades_new (self, &local);
  note_problem (self, g_steal_pointer (&local));
  self->roles = roles_new (self, &local);
  note_problem (self, g_steal_pointer (&local));
  self->store = store_new (self, &local);
  note_problem (self, g_steal_pointer (&local));
  store_load_machines (self->store);
  return self;
}

void
guard_free (Guard *self)
{
  if (!self)
    return;
  g_hash_table_unref (self->machines);
  g_clear_object (&self->service);
  store_free (self->store);
  roles_free (self->roles);
  regrades_free (self->regrades);
  clipboard_free (self->clipboard);
  folders_free (self->folders);
  networks_free (self->networks);
  media_free (self->media);
  g_clear_pointer (&self->encodings, encodings_unref);
  g_free (self->encodings_problem);
  g_free (self->encodings_path);
  g_key_file_unref (self->policy);
  audit_free (self->audit);
  g_free (self->problem);
  g_free (self->data_folder);
  g_free (self->runtime_folder);
  memset (self->key, 0, sizeof self->key);
  g_free (self);
}

const char *
guard_problem (Guard *self)
{
  const char *audit = audit_problem (self->audit);

  if (self->problem)
    return self->problem;
  if (self->encodings_problem)
    return self->encodings_problem;
  return audit;
}

char *
guard_canonical (const Label *label)
{
  char text[LABEL_TEXT_BYTES];

  label_print (label, text);
  return g_strdup (text);
}

char *
guard_banner (Guard *self, const Label *label)
{
  return self->encodings ? encodings_banner (self->encodings, label) : guard_canonical (label);
}

void
guard_colours (Guard *self, const Label *label, EncodingsColours *ret_colours)
{
  if (self->encodings)
    encodings_colours (self->encodings, label, ret_colours);
  else
    *ret_colours = (EncodingsColours) { "#ffffff", "#000000", "star", label->secrecy.level };
}

gboolean
guard_read_label (Guard *self, const char *text, Label *ret_label, GError **error)
{
  g_autoptr (GError) local = NULL;

  if (!self->encodings)
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_REFUSED, "refused: no label can be read while the encodings are damaged: %s",
                   self->encodings_problem);
      return FALSE;
    }
  if (encodings_read_label (self->encodings, text, ret_label, &local))
    return TRUE;
  g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "\"%s\" is no label: %s", text, local->message);
  return FALSE;
}

gboolean
guard_may_see (Guard *self, const Label *label)
{
  return label_half_dominates (&self->clearance_high.secrecy, &label->secrecy)
         && label_half_dominates (&label->secrecy, &self->clearance_low.secrecy)
         && label_half_dominates (&self->clearance_high.integrity, &label->integrity)
         && label_half_dominates (&label->integrity, &self->clearance_low.integrity);
}

void
guard_describe_label (Guard *self, GVariantBuilder *into, const char *prefix, const Label *label)
{
  g_autofree char *banner = guard_banner (self, label);
  g_autofree char *canonical = guard_canonical (label);
  EncodingsColours colours;
  const struct { const char *key; GVariant *value; } rows[] = {
    { "label", g_variant_new_string (banner) },
    { "canonical", g_variant_new_string (canonical) },
    { "strip-text", g_variant_new_string (banner) },
    { "foreground", (guard_colours (self, label, &colours), g_variant_new_string (colours.foreground)) },
    { "background", g_variant_new_string (colours.background) },
    { "pattern", g_variant_new_string (colours.pattern) },
    { "label-rank", g_variant_new_uint32 (colours.rank) },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *key = g_strconcat (prefix, rows[i].key, NULL);

      g_variant_builder_add (into, "{sv}", key, rows[i].value);
    }
}

char *
guard_refusal_text (Guard *self, const char *channel, const Label *from, const Label *to, PolicyDecision decision)
{
  g_autofree char *from_banner = guard_banner (self, from);
  g_autofree char *to_banner = guard_banner (self, to);
  g_autofree char *from_canonical = guard_canonical (from);
  g_autofree char *to_canonical = guard_canonical (to);
  const char *half = policy_half_text (decision.half);

  return g_strdup_printf ("refused: %s from %s (%s) to %s (%s): %s%s%s (rule %d)", channel, from_banner,
                          from_canonical, to_banner, to_canonical, *half ? half : "", *half ? " stands in the way: " : "",
                          policy_rule_text (decision.rule), decision.rule);
}

gboolean
guard_decide (Guard *self, PolicyChannel channel, const char *subject, const char *object, const Label *from,
              const Label *to, PolicyDecision *ret_decision, GError **error)
{
  return guard_decide_as (self, channel, policy_channel_text (channel), subject, object, from, to, ret_decision, error);
}

gboolean
guard_decide_as (Guard *self, PolicyChannel channel, const char *name, const char *subject, const char *object,
                 const Label *from, const Label *to, PolicyDecision *ret_decision, GError **error)
{
  PolicyDecision decision = policy_decide (&self->settings, channel, from, to);
  g_autofree char *from_text = guard_canonical (from);
  g_autofree char *to_text = guard_canonical (to);
  g_autofree char *rule = g_strdup_printf ("%d", decision.rule);
  g_autofree char *text = NULL;

  if (self->problem || !self->encodings || self->encodings_problem)
    {
      decision.verdict = VERDICT_DENY;
      text = g_strdup_printf ("refused: %s: the guard cannot vouch for labels: %s", name, self->problem ? self->problem : self->encodings_problem);
    }
  else if (decision.verdict != VERDICT_ALLOW)
    text = guard_refusal_text (self, name, from, to, decision);
  if (!audit_append (self->audit, error, "decision", "channel", name, "result",
                     policy_verdict_text (decision.verdict), "rule", rule, "subject", subject, "object", object, "from",
                     from_text, "to", to_text, "half", policy_half_text (decision.half), NULL))
    return FALSE;
  if (ret_decision)
    *ret_decision = decision;
  if (decision.verdict == VERDICT_ALLOW || (decision.verdict == VERDICT_ASK && ret_decision))
    return TRUE;
  g_set_error_literal (error, GUARD_ERROR, GUARD_ERROR_REFUSED, text);
  return FALSE;
}

void
guard_refuse (Guard *self, const char *channel, const char *subject, const char *object, GError **error, const char *format,
              ...)
{
  g_autofree char *reason = NULL;
  va_list arguments;

  va_start (arguments, format);
  reason = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  audit_append (self->audit, NULL, "decision", "channel", channel, "result", "deny", "subject", subject, "object", object,
                "reason", reason, NULL);
  g_set_error (error, GUARD_ERROR, GUARD_ERROR_REFUSED, "refused: %s: %s", channel, reason);
}

gboolean
guard_record (Guard *self, const char *event, const char *subject, const char *object, const char *note, GError **error)
{
  return audit_append (self->audit, error, event, "subject", subject, "object", object, "note", note, NULL);
}

char *
guard_folder (Guard *self, const char *name, GError **error)
{
  g_autofree char *path = g_build_filename (self->data_folder, name, NULL);

  return files_private_folder (path, error) ? g_steal_pointer (&path) : NULL;
}

void
guard_resources_changed (Guard *self)
{
  if (self->service)
    bh_guard1_emit_resources_changed (self->service);
}

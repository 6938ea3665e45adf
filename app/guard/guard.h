/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The reference monitor as one object: what every part of the guard may use of the others. */
#pragma once

#include "audit.h"
#include "encodings.h"
#include "files.h"
#include "guard-dbus.h"
#include "guard-error.h"
#include "policy.h"

G_BEGIN_DECLS

typedef struct Guard     Guard;
typedef struct Machine   Machine;
typedef struct Store     Store;
typedef struct Media     Media;
typedef struct Networks  Networks;
typedef struct Folders   Folders;
typedef struct Clipboard Clipboard;
typedef struct Regrades  Regrades;
typedef struct Roles     Roles;

struct Guard
{
  char          *data_folder;           /* $XDG_DATA_HOME/bulkhead */
  char          *runtime_folder;        /* $XDG_RUNTIME_DIR/bulkhead */
  guint8         key[SEAL_BYTES];
  char          *problem;               /* why everything is denied, besides audit and encodings; NULL when sound */
  Audit         *audit;
  GKeyFile      *policy;                /* what the officer set, see policy keys in guard.c */
  PolicySettings settings;
  Encodings     *encodings;             /* NULL: everything is denied */
  char          *encodings_path, *encodings_problem;
  Label          host, uplink, clearance_low, clearance_high;

  Store         *store;
  Media         *media;
  Networks      *networks;
  Folders       *folders;
  Clipboard     *clipboard;
  Regrades      *regrades;
  Roles         *roles;
  GHashTable    *machines;              /* name → Machine, owned */
  const char    *monitor;               /* name of the program that runs a machine; a constant */
  BhGuard1      *service;               /* for signals; NULL in tests without a bus */
  void         (*activity) (Guard *self, gpointer data);        /* a machine started or ended */
  gpointer       activity_data;
};

/* Loads everything; damaged parts do not prevent it but deny. */
Guard *guard_new (const char *data_folder, const char *runtime_folder, GError **error);
void   guard_free (Guard *self);

/* Starting and changing anything is refused while this is not NULL. */
const char *guard_problem (Guard *self);

/* The only way to a decision: asks the policy, writes the audit record, and only then answers.  `subject` is the machine
 * (or "host", "user"), `object` what it wants to reach.  False with GUARD_ERROR_REFUSED for deny.  For ask: true with
 * ret_decision->verdict VERDICT_ASK when ret_decision is given, else false. */
gboolean guard_decide (Guard *self, PolicyChannel channel, const char *subject, const char *object, const Label *from,
                       const Label *to, PolicyDecision *ret_decision, GError **error);

/* The same for a deed that is decided like a channel but bears another name ("relabel"). */
gboolean guard_decide_as (Guard *self, PolicyChannel channel, const char *name, const char *subject, const char *object,
                          const Label *from, const Label *to, PolicyDecision *ret_decision, GError **error);

/* The text of a refusal: channel, both labels, failing half, rule. */
char *guard_refusal_text (Guard *self, const char *channel, const Label *from, const Label *to, PolicyDecision decision);

/* Refuses for a reason other than the lattice, with a record. */
void guard_refuse (Guard *self, const char *channel, const char *subject, const char *object, GError **error,
                   const char *format, ...) G_GNUC_PRINTF (6, 7);

/* An event that is no decision.  False when it could not be recorded. */
gboolean guard_record (Guard *self, const char *event, const char *subject, const char *object, const char *note,
                       GError **error);

/* Banner (or canonical text while there are no encodings); canonical text.  New strings. */
char *guard_banner (Guard *self, const Label *label);
char *guard_canonical (const Label *label);
void  guard_colours (Guard *self, const Label *label, EncodingsColours *ret_colours);

/* A label as the user wrote it, valid in the encodings. */
gboolean guard_read_label (Guard *self, const char *text, Label *ret_label, GError **error);

/* Whether a thing of this label is inside the user's range. */
gboolean guard_may_see (Guard *self, const Label *label);

/* Adds "label", "canonical", "foreground", "background", "pattern", "label-rank", "strip-text", each with the prefix. */
void guard_describe_label (Guard *self, GVariantBuilder *into, const char *prefix, const Label *label);

/* Policy keys: value (never NULL; "" unset) or NULL for an unknown key. */
char       *guard_get_policy (Guard *self, const char *key);
gboolean    guard_set_policy (Guard *self, const char *key, const char *value, GError **error);
const char *const *guard_policy_keys (void);

/* A folder below the data folder, mode 0700; NULL on failure.  Free with g_free. */
char *guard_folder (Guard *self, const char *name, GError **error);

/* Signals. */
void guard_resources_changed (Guard *self);

G_END_DECLS

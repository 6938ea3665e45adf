/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a monitor that has been taken over would try.  Each attempt runs in a forked copy, so that each death is seen. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum
{
  OUTCOME_KILLED,               /* SIGSYS: the filter */
  OUTCOME_REFUSED,              /* an error */
  OUTCOME_SUCCEEDED,
  OUTCOME_OTHER,                /* another signal, or no end */
} HostileOutcome;

typedef struct
{
  const char *name;
  long      (*attempt) (void);  /* negative: refused */
  bool        outside;          /* success would reach something outside the monitor */
} HostileAttempt;

extern const HostileAttempt hostile_attempts[];
extern const size_t         hostile_n_attempts;

/* What lies outside, for the attempts: set before the sandbox. 0: none */
extern unsigned hostile_tcp_port;       /* a listener on the host's loopback */
extern char     hostile_abstract[64];   /* name of a listening abstract socket, without the leading NUL */
extern int      hostile_victim;         /* a process of this user */

/* Calls `attempt` in a copy that first calls `enter` (not NULL). */
HostileOutcome hostile_try (long (*attempt) (void), void (*enter) (void), int timeout_ms);
/* A system call by number with six equal arguments, in such a copy. entry: 0 SYSCALL, 1 with the x32 bit, 2 int 80h. */
HostileOutcome hostile_try_number (long number, long argument, int entry, void (*enter) (void));

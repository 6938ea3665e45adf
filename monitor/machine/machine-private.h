/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared by machine.c (thread, run loop), board-pc.c (what is on the board) and state-file.c (saving it). */
#pragma once

#include "machine.h"

#include "irq-line.h"
#include "physical-memory.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

typedef struct Board Board;
typedef struct Mail Mail;

struct Machine
{
  MachineConfig  config;
  Bus           *bus;
  GuestMemory   *memory;
  Clock         *clock;
  Cpu           *cpu;
  Engine        *engine;
  Board         *board;

  /* Thread and mail */
  pthread_mutex_t lock;
  pthread_cond_t  wake, answered;
  pthread_t       thread;
  bool            thread_known, ended, lingering;
  Mail           *mail, **mail_tail;
  void          (*changed) (void *data);
  void           *changed_data;

  /* Run state, on the machine's thread */
  bool       paused, halted, reset_wanted;
  bool       stalled;                   /* the host's disk is full: time stands still, tried again every second */
  bool       stall_told;
  void     (*on_stall) (void *data, bool stalled);
  void      *on_stall_data;
  MachineEnd end;
  uint32_t   end_value;
  timer_t    alarm;
  bool       has_alarm;
  uint64_t   alarm_deadline_ns;         /* guest time for which the host timer is set; UINT64_MAX: not set */
  char       message[4096];
};

/* board-pc.c.  NULL with ret_error as machine_new. */
Board *board_new   (Machine *machine, char **ret_error);
void   board_free  (Board *board);
void   board_reset (Board *board);      /* RESET#: every device, then the CPU */
/* Whether the firmware expects a processor-only reset (CMOS shutdown codes 5, 9 and Ah keep memory and chips). */
bool   board_soft_reset_wanted (Board *board);
void   board_each_device (Board *board, void (*call) (Device *device, void *data), void *data);
void   board_retry_drives (Board *board);
/* A drive found the host's disk full and waits with its request. */
void   machine_stall (Machine *self);
/* Ask the run loop to reset, from inside a device. */
void   machine_want_reset (Machine *self);
void   machine_want_end   (Machine *self, MachineEnd end, uint32_t value);

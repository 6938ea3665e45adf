/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The machine's thread: take mail, fire timers, run the CPU, sleep.
 *
 * Under the host clock a POSIX timer interrupts this thread when the next guest timer is due, so translated code needs
 * no polling.  Under the instruction clock the CPU is told how many instructions it may run, and idle time is
 * skipped: two runs with the same input are the same to the instruction. */
#include "machine-private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct Mail
{
  void (*call) (Machine *self, void *data);
  void  *data;
  bool   done;
  int    result;
  Mail  *next;
};

enum { ALARM_SIGNAL_OFFSET = 3 };

/* --- the alarm ------------------------------------------------------------------------------------------------- */

/* One machine per process: the handler needs to find it. Set once, before the alarm exists. */
static Machine *alarmed_machine;

static void
alarm_rang (int signal_number)
{
  if (alarmed_machine)
    {
      alarmed_machine->alarm_deadline_ns = UINT64_MAX;
      /* STOP as well: when it rings between the timers' turn and the CPU's, the CPU must not start on an overdue timer. */
      cpu_request_exit (alarmed_machine->cpu, CPU_REQUEST_EVENT | CPU_REQUEST_STOP);
    }
}

static bool
make_alarm (Machine *self)
{
  struct sigaction action = { .sa_handler = alarm_rang, .sa_flags = SA_RESTART | SA_ONSTACK };
  struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + ALARM_SIGNAL_OFFSET };

  alarmed_machine = self;
  sigemptyset (&action.sa_mask);
  event._sigev_un._tid = (pid_t) syscall (SYS_gettid);
  /* The engine's own signal, which the handler sends, arrives when this handler has returned. */
  sigfillset (&action.sa_mask);
  if (sigaction (SIGRTMIN + ALARM_SIGNAL_OFFSET, &action, NULL) < 0)
    return false;
  return self->config.clock_source != CLOCK_HOST || timer_create (CLOCK_MONOTONIC, &event, &self->alarm) == 0;
}

/* Sets the host timer for the earliest guest deadline, if that is earlier than what it is set for. */
static void
set_alarm (Machine *self)
{
  uint64_t deadline = clock_next_deadline (self->clock), now;
  struct itimerspec when = { { 0, 0 }, { 0, 0 } };

  if (!self->has_alarm || deadline >= self->alarm_deadline_ns)
    return;
  now = clock_now_ns (self->clock);
  self->alarm_deadline_ns = deadline;
  deadline = deadline > now ? deadline - now : 1;
  when.it_value.tv_sec = (time_t) (deadline / CLOCK_NS_PER_SECOND);
  when.it_value.tv_nsec = (long) (deadline % CLOCK_NS_PER_SECOND);
  timer_settime (self->alarm, 0, &when, NULL);
}

/* A device armed a timer earlier than all others while the CPU runs. */
static void
deadline_changed (void *data)
{
  Machine *self = data;

  if (self->config.clock_source == CLOCK_INSTRUCTIONS)
    {
      uint64_t deadline = clock_next_deadline (self->clock), now = clock_now_ns (self->clock), left;

      left = deadline > now ? (deadline - now + CLOCK_NS_PER_INSTRUCTION - 1) / CLOCK_NS_PER_INSTRUCTION : 0;
      if (deadline != UINT64_MAX && left < self->cpu->instruction_limit - self->cpu->instructions)
        self->cpu->instruction_limit = self->cpu->instructions + left;
    }
  else
    set_alarm (self);
}

/* --- making ---------------------------------------------------------------------------------------------------- */

static Engine *
make_engine (Machine *self, const char **ret_error)
{
  bool exact = self->config.clock_source == CLOCK_INSTRUCTIONS;
  Engine *engine = NULL;

  switch (self->config.engine)
    {
    case MACHINE_ENGINE_INTERPRETER:
      return engine_new_interpreter (self->cpu, exact, ret_error);
    case MACHINE_ENGINE_TRANSLATOR:
      return engine_new_translator (self->cpu, exact, ret_error);
    case MACHINE_ENGINE_LOCKSTEP:
      return engine_new_lockstep (self->cpu, ret_error);
    case MACHINE_ENGINE_AUTO:
      engine = engine_new_translator (self->cpu, exact, ret_error);
      return engine ? engine : engine_new_interpreter (self->cpu, exact, ret_error);
    }
  return NULL;
}

static void __attribute__ ((format (printf, 2, 3)))
set_error (char **ret_error, const char *format, ...)
{
  va_list arguments;

  va_start (arguments, format);
  if (vasprintf (ret_error, format, arguments) < 0)
    *ret_error = NULL;
  va_end (arguments);
}

Machine *
machine_new (const MachineConfig *config, char **ret_error)
{
  Machine *self = calloc (1, sizeof *self);
  CpuConfig cpu_config = { config->cpu_model, config->undetectable };
  pthread_condattr_t monotonic;
  const char *reason = "out of memory";

  *ret_error = NULL;
  if (!self)
    return NULL;
  self->config = *config;
  self->alarm_deadline_ns = UINT64_MAX;
  self->mail_tail = &self->mail;
  pthread_mutex_init (&self->lock, NULL);
  pthread_condattr_init (&monotonic);
  pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init (&self->wake, &monotonic);
  pthread_cond_init (&self->answered, NULL);
  pthread_condattr_destroy (&monotonic);

  if (config->memory_mib < MACHINE_MIN_MEMORY_MIB || config->memory_mib > MACHINE_MAX_MEMORY_MIB)
    {
      set_error (ret_error, "memory of %u MiB: a machine has %d to %d MiB", config->memory_mib, MACHINE_MIN_MEMORY_MIB,
                 MACHINE_MAX_MEMORY_MIB);
      goto failed;
    }
  self->bus = bus_new ();
  self->memory = self->bus ? guest_memory_new ((uint64_t) config->memory_mib << 20, 32 << 20, config->memory_fd, self->bus) : NULL;
  if (!self->memory)
    {
      set_error (ret_error, "no %u MiB of memory for the guest: %s; give the machine less with --memory", config->memory_mib,
                 strerror (errno));
      goto failed;
    }
  self->clock = clock_new (config->clock_source, NULL);
  self->cpu = self->clock ? cpu_new (&cpu_config, self->memory, self->bus, self->clock) : NULL;
  if (!self->cpu)
    {
      set_error (ret_error, "out of memory");
      goto failed;
    }
  clock_set_counter (self->clock, &self->cpu->instructions);
  clock_set_fuzz (self->clock, config->fuzzy_time_ns, config->seed);
  self->board = board_new (self, ret_error);
  if (!self->board)
    goto failed;
  self->engine = make_engine (self, &reason);
  if (!self->engine)
    {
      set_error (ret_error, "this engine cannot run here: %s", reason);
      goto failed;
    }
  clock_on_new_deadline (self->clock, deadline_changed, self);
  board_reset (self->board);
  return self;

failed:
  machine_free (self);
  return NULL;
}

void
machine_free (Machine *self)
{
  if (!self)
    return;
  if (self->engine)
    self->engine->klass->free (self->engine);
  board_free (self->board);
  cpu_free (self->cpu);
  clock_free (self->clock);
  guest_memory_free (self->memory);
  bus_free (self->bus);
  pthread_mutex_destroy (&self->lock);
  pthread_cond_destroy (&self->wake);
  pthread_cond_destroy (&self->answered);
  free (self);
}

/* --- mail ------------------------------------------------------------------------------------------------------ */

static void
kick (Machine *self)
{
  if (self->thread_known)
    pthread_kill (self->thread, SIGRTMIN + ALARM_SIGNAL_OFFSET);
}

int
machine_call (Machine *self, void (*call) (Machine *self, void *data), void *data)
{
  Mail mail = { .call = call, .data = data };

  pthread_mutex_lock (&self->lock);
  if (self->thread_known && pthread_equal (self->thread, pthread_self ()))
    {
      pthread_mutex_unlock (&self->lock);
      call (self, data);
      return 0;
    }
  if (self->ended)
    {
      /* Nobody runs any more: while the owner lets it linger, the caller looks for itself. */
      if (self->lingering)
        call (self, data);
      pthread_mutex_unlock (&self->lock);
      return self->lingering ? 0 : -ESHUTDOWN;
    }
  *self->mail_tail = &mail;
  self->mail_tail = &mail.next;
  pthread_cond_signal (&self->wake);
  kick (self);
  while (!mail.done)
    pthread_cond_wait (&self->answered, &self->lock);
  pthread_mutex_unlock (&self->lock);
  return mail.result;
}

/* Called with the lock held; gives it up while a call runs. */
static void
take_mail (Machine *self, bool refuse)
{
  while (self->mail)
    {
      Mail *mail = self->mail;

      self->mail = mail->next;
      if (!self->mail)
        self->mail_tail = &self->mail;
      pthread_mutex_unlock (&self->lock);
      if (refuse)
        mail->result = -ESHUTDOWN;
      else
        mail->call (self, mail->data);
      pthread_mutex_lock (&self->lock);
      mail->done = true;
      pthread_cond_broadcast (&self->answered);
    }
}

/* --- the loop -------------------------------------------------------------------------------------------------- */

static void
tell (Machine *self)
{
  if (self->changed)
    self->changed (self->changed_data);
}

static void
do_reset (Machine *self)
{
  self->reset_wanted = false;
  if (self->config.no_reboot)
    {
      machine_want_end (self, MACHINE_END_RESET, 0);
      return;
    }
  self->halted = false;
  board_reset (self->board);
}

/* Sleeps until mail, or until the next guest timer is due. Called with the lock held. */
static void
sleep_until_event (Machine *self)
{
  uint64_t deadline = clock_next_deadline (self->clock), now = clock_now_ns (self->clock), wait;
  struct timespec until;

  if (self->paused || deadline == UINT64_MAX)
    {
      pthread_cond_wait (&self->wake, &self->lock);
      return;
    }
  if (deadline <= now)
    return;
  wait = deadline - now;
  if (self->config.clock_source == CLOCK_INSTRUCTIONS)
    {
      clock_advance (self->clock, wait);
      return;
    }
  /* The wait ends by itself: the alarm's signal would only cost time. */
  if (self->has_alarm && self->alarm_deadline_ns != UINT64_MAX)
    {
      static const struct itimerspec never;

      timer_settime (self->alarm, 0, &never, NULL);
      self->alarm_deadline_ns = UINT64_MAX;
    }
  clock_gettime (CLOCK_MONOTONIC, &until);
  until.tv_sec += (time_t) (wait / CLOCK_NS_PER_SECOND);
  until.tv_nsec += (long) (wait % CLOCK_NS_PER_SECOND);
  if (until.tv_nsec >= (long) CLOCK_NS_PER_SECOND)
    {
      until.tv_sec++;
      until.tv_nsec -= (long) CLOCK_NS_PER_SECOND;
    }
  pthread_cond_timedwait (&self->wake, &self->lock, &until);
}

void
machine_stall (Machine *self)
{
  self->stalled = true;
  clock_stop (self->clock);
  cpu_request_exit (self->cpu, CPU_REQUEST_STOP);
  if (!self->stall_told && self->on_stall)
    self->on_stall (self->on_stall_data, true);
  self->stall_told = true;
}

/* A second later the drives try again; if the disk is still full they stall the machine again. Called with the lock held. */
static void
wait_for_space (Machine *self)
{
  struct timespec until;

  clock_gettime (CLOCK_MONOTONIC, &until);
  until.tv_sec++;
  pthread_cond_timedwait (&self->wake, &self->lock, &until);
  if (self->paused || self->end != MACHINE_END_NONE)
    return;
  self->stalled = false;
  self->alarm_deadline_ns = UINT64_MAX;
  clock_start (self->clock);
  board_retry_drives (self->board);
  if (!self->stalled)
    {
      self->stall_told = false;
      if (self->on_stall)
        self->on_stall (self->on_stall_data, false);
    }
}

static void
set_limit (Machine *self)
{
  if (self->config.clock_source == CLOCK_INSTRUCTIONS)
    {
      /* At most a second of guest time at once, so that mail under the instruction clock is answered. */
      self->cpu->instruction_limit = self->cpu->instructions + CLOCK_NS_PER_SECOND / CLOCK_NS_PER_INSTRUCTION;
      deadline_changed (self);
    }
  else
    {
      self->cpu->instruction_limit = UINT64_MAX;
      set_alarm (self);
    }
}

static void
run_guest (Machine *self)
{
  ExitReason reason;

  clock_run_timers (self->clock);
  if (self->reset_wanted || self->end != MACHINE_END_NONE)
    return;
  set_limit (self);
  reason = self->engine->klass->run (self->engine);
  self->halted = reason == EXIT_HALT;
  if (reason == EXIT_SHUTDOWN)
    {
      /* A triple fault: the chipset answers the shutdown cycle with INIT#; who did not ask for that gets a full reset. */
      if (board_soft_reset_wanted (self->board))
        cpu_init_reset (self->cpu);
      else
        self->reset_wanted = true;
    }
  else if (reason == EXIT_STOP)
    {
      snprintf (self->message, sizeof self->message, "%s", self->engine->message);
      machine_want_end (self, MACHINE_END_FAILED, 0);
    }
}

MachineEnd
machine_run (Machine *self, uint32_t *ret_value)
{
  pthread_mutex_lock (&self->lock);
  self->has_alarm = make_alarm (self) && self->config.clock_source == CLOCK_HOST;
  if (self->engine->klass->adopt_thread)
    self->engine->klass->adopt_thread (self->engine);
  self->thread = pthread_self ();
  self->thread_known = true;
  if (!self->paused)
    clock_start (self->clock);
  while (self->end == MACHINE_END_NONE)
    {
      __atomic_and_fetch (&self->cpu->exit_request, ~(uint32_t) CPU_REQUEST_STOP, __ATOMIC_SEQ_CST);
      take_mail (self, false);
      if (self->end != MACHINE_END_NONE)
        break;
      if (self->reset_wanted)
        {
          pthread_mutex_unlock (&self->lock);
          do_reset (self);
          pthread_mutex_lock (&self->lock);
          continue;
        }
      if (self->paused)
        {
          sleep_until_event (self);
          continue;
        }
      if (self->stalled)
        {
          wait_for_space (self);
          continue;
        }
      if (self->halted && !self->cpu->exit_request)
        {
          sleep_until_event (self);
          self->halted = false;
        }
      pthread_mutex_unlock (&self->lock);
      run_guest (self);
      pthread_mutex_lock (&self->lock);
    }
  clock_stop (self->clock);
  self->ended = true;
  take_mail (self, true);
  pthread_mutex_unlock (&self->lock);
  tell (self);
  if (ret_value)
    *ret_value = self->end_value;
  return self->end;
}

/* --- requests -------------------------------------------------------------------------------------------------- */

void
machine_want_reset (Machine *self)
{
  self->reset_wanted = true;
  cpu_request_exit (self->cpu, CPU_REQUEST_STOP);
}

void
machine_want_end (Machine *self, MachineEnd end, uint32_t value)
{
  if (self->end == MACHINE_END_NONE)
    {
      self->end = end;
      self->end_value = value;
    }
  cpu_request_exit (self->cpu, CPU_REQUEST_STOP);
}

void
machine_linger (Machine *self, bool linger)
{
  pthread_mutex_lock (&self->lock);
  self->lingering = linger;
  pthread_mutex_unlock (&self->lock);
}

void
machine_on_stall (Machine *self, void (*stalled) (void *data, bool stalled), void *data)
{
  self->on_stall = stalled;
  self->on_stall_data = data;
}

void
machine_on_change (Machine *self, void (*changed) (void *data), void *data)
{
  self->changed = changed;
  self->changed_data = data;
}

void
machine_pause (Machine *self)
{
  if (self->paused)
    return;
  self->paused = true;
  clock_stop (self->clock);
  tell (self);
}

void
machine_resume (Machine *self)
{
  if (!self->paused)
    return;
  self->paused = false;
  if (!self->stalled)
    clock_start (self->clock);
  /* The host timer was set for the time before the pause. */
  self->alarm_deadline_ns = UINT64_MAX;
  tell (self);
}

bool
machine_paused (const Machine *self)
{
  return self->paused;
}

bool
machine_halted (const Machine *self)
{
  return self->halted;
}

void
machine_reset (Machine *self)
{
  machine_want_reset (self);
}

void
machine_quit (Machine *self)
{
  machine_want_end (self, MACHINE_END_QUIT, 0);
}

const char *
machine_message (Machine *self)
{
  return self->message;
}

Cpu *
machine_cpu (Machine *self)
{
  return self->cpu;
}

Engine *
machine_engine (Machine *self)
{
  return self->engine;
}

Clock *
machine_clock (Machine *self)
{
  return self->clock;
}

GuestMemory *
machine_memory (Machine *self)
{
  return self->memory;
}

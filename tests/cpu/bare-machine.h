/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A processor with memory, two ports and nothing else, for tests and benchmarks.
 *
 *   port E9h   text, collected in `text`
 *   port F4h   ends the run: run () returns EXIT_REQUEST and exit_code is the byte
 *   port 80h … 8Fh  16 bytes that remember; everything else reads all ones */
#pragma once

#include "bus.h"
#include "cpu.h"
#include "engine.h"
#include "physical-memory.h"
#include "virtual-clock.h"

#include <string.h>

typedef struct
{
  Device       device;          /* owner of the ports */
  Bus         *bus;
  GuestMemory *memory;
  Clock       *clock;
  Cpu         *cpu;
  Engine      *engine;
  char         text[65536];
  unsigned     n_text;
  int          exit_code;       /* -1: still running */
  uint8_t      ports[16];
  int          vector;          /* of the interrupt line; -1 none */
} BareMachine;

static inline void
bare_text (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  BareMachine *self = (BareMachine *) device;

  if (self->n_text < sizeof self->text - 1)
    self->text[self->n_text++] = (char) value;
}

static inline void
bare_exit (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  BareMachine *self = (BareMachine *) device;

  self->exit_code = (int) (value & 0xff);
  cpu_request_exit (self->cpu, CPU_REQUEST_STOP);
}

static inline uint64_t
bare_port_read (Device *device, uint32_t offset, unsigned size)
{
  return ((BareMachine *) device)->ports[offset];
}

/* Port 81h: bit 0 the interrupt line (vector in port 80h), bit 1 NMI, bit 2 SMI, bit 3 A20 masked, bit 4 INIT. */
static inline void
bare_port_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  BareMachine *self = (BareMachine *) device;

  self->ports[offset] = (uint8_t) value;
  if (offset == 1)
    {
      cpu_set_interrupt_line (self->cpu, 0, value & 1);
      cpu_set_nmi_line (self->cpu, 0, value & 2);
      cpu_set_smi_line (self->cpu, 0, value & 4);
      cpu_set_a20_line (self->cpu, 0, !(value & 8));
      cpu_pulse_init (self->cpu, 0, value & 16);
    }
}

static inline int
bare_acknowledge (void *controller)
{
  BareMachine *self = controller;

  cpu_set_interrupt_line (self->cpu, 0, false);
  return self->ports[0];
}

static const BusRegion bare_text_region = { "text", BUS_SIZE_1, NULL, bare_text };
static const BusRegion bare_exit_region = { "exit", BUS_SIZE_1, NULL, bare_exit };
static const BusRegion bare_port_region = { "ports", BUS_SIZE_1, bare_port_read, bare_port_write };

static inline void
bare_machine_init (BareMachine *self, CpuModel model, uint64_t ram_bytes)
{
  CpuConfig config = { model, false };
  const char *error = NULL;

  memset (self, 0, sizeof *self);
  self->exit_code = -1;
  self->bus = bus_new ();
  self->memory = guest_memory_new (ram_bytes, 0, -1, self->bus);
  self->clock = clock_new (CLOCK_INSTRUCTIONS, NULL);
  self->cpu = cpu_new (&config, self->memory, self->bus, self->clock);
  clock_set_counter (self->clock, &self->cpu->instructions);
  clock_start (self->clock);
  self->cpu->lines.acknowledge = bare_acknowledge;
  self->cpu->lines.controller = self;
  self->engine = engine_new_interpreter (self->cpu, true, &error);
  bus_claim_ports (self->bus, &self->device, &bare_text_region, 0xe9, 1);
  bus_claim_ports (self->bus, &self->device, &bare_exit_region, 0xf4, 1);
  bus_claim_ports (self->bus, &self->device, &bare_port_region, 0x80, 16);
}

static inline void
bare_machine_clear (BareMachine *self)
{
  self->engine->klass->free (self->engine);
  cpu_free (self->cpu);
  guest_memory_free (self->memory);
  clock_free (self->clock);
  bus_free (self->bus);
}

/* Runs until the exit port, HALT with nothing pending, shutdown, or `most` instructions. */
static inline ExitReason
bare_machine_run (BareMachine *self, uint64_t most)
{
  ExitReason reason = EXIT_NONE;

  self->cpu->instruction_limit = self->cpu->instructions + most;
  while (self->exit_code < 0 && self->cpu->instructions < self->cpu->instruction_limit)
    {
      __atomic_and_fetch (&self->cpu->exit_request, ~(uint32_t) CPU_REQUEST_STOP, __ATOMIC_SEQ_CST);
      reason = self->engine->klass->run (self->engine);
      if ((reason == EXIT_HALT && !(self->cpu->exit_request & CPU_REQUEST_EVENT)) || reason == EXIT_SHUTDOWN || reason == EXIT_STOP)
        break;
    }
  return reason;
}

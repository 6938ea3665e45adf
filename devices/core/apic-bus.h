/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What travels on the bus between I/O APIC and local APIC (SDM vol. 3, 10.6). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef enum
{
  APIC_FIXED = 0, APIC_LOWEST_PRIORITY = 1, APIC_SMI = 2, APIC_NMI = 4, APIC_INIT = 5, APIC_STARTUP = 6, APIC_EXTINT = 7,
} ApicDelivery;

typedef struct
{
  uint8_t destination;          /* APIC id, or a set or cluster when logical */
  bool    logical;
  uint8_t delivery;             /* ApicDelivery; 3 is reserved and accepted by nobody */
  uint8_t vector;
  bool    level;                /* trigger mode: an EOI message comes back */
} ApicMessage;

/* True if a processor accepted it. */
typedef bool (*ApicDeliver) (void *local_apic, const ApicMessage *message);

/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A wire between two chips.
 *
 * The level is a fact, not an event: a device drives the line high or low, the controller at the other end
 * remembers edges if it is edge triggered.  An unconnected line has set == NULL. */
#pragma once

#include <stdbool.h>

typedef struct
{
  void   (*set) (void *controller, unsigned input, bool level);
  void    *controller;
  unsigned input;
} IrqLine;

static inline void
irq_line_set (const IrqLine *line, bool level)
{
  if (line->set)
    line->set (line->controller, line->input, level);
}

/* A 0 -> 1 -> 0 change, for edge triggered inputs. */
static inline void
irq_line_pulse (const IrqLine *line)
{
  irq_line_set (line, true);
  irq_line_set (line, false);
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The VMware back door at port 5658h, as far as an absolute pointer needs it.
 *
 * It tells the guest that it runs in a virtual machine: a machine that must not tell does not build this device. */
#pragma once

#include "input.h"
#include "ps2-mouse.h"

typedef struct VmMouse VmMouse;

enum { BACK_DOOR_EAX, BACK_DOOR_ECX, BACK_DOOR_EDX, BACK_DOOR_EBX, BACK_DOOR_ESI = 6, BACK_DOOR_EDI = 7 };

/* The processor's registers while it executes IN EAX,DX: numbers as the instructions encode them, BACK_DOOR_*.
 * What the device returns from the port becomes EAX. */
typedef struct
{
  uint32_t (*read)  (void *cpu, unsigned reg);
  void     (*write) (void *cpu, unsigned reg, uint32_t value);
  void      *cpu;
} BackDoorRegisters;

/* The mouse carries the interrupts.  Returns 0, -ENOMEM or -EEXIST. */
int  vmmouse_new         (const DeviceHost *host, const BackDoorRegisters *registers, Ps2Mouse *mouse, VmMouse **ret_vmmouse);
/* The guest wants absolute positions: use vmmouse_move instead of ps2_mouse_move. */
bool vmmouse_is_absolute (const VmMouse *vmmouse);
/* x, y: 0 … MOUSE_ABSOLUTE_MAX over the whole screen; dz and buttons as in ps2_mouse_move. */
void vmmouse_move        (VmMouse *vmmouse, unsigned x, unsigned y, int dz, unsigned buttons);

extern const DeviceClass vmmouse_class;

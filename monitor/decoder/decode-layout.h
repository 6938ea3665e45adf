/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared by the generator and decode.c: how the bytes of a row lie. */
#pragma once

#include <stdint.h>

enum
{
  LAYOUT_MODRM = 1, LAYOUT_MEMORY = 2 /* memory only */, LAYOUT_REGISTER = 4 /* register only */, LAYOUT_MOFFS = 8,
  LAYOUT_OPCODE_REG = 16, LAYOUT_SREG = 32, LAYOUT_SREG_TO = 64, LAYOUT_CONTROL = 128, LAYOUT_DEBUG = 256,
};

enum
{
  IMMEDIATE_NONE, IMMEDIATE_BYTE, IMMEDIATE_SBYTE /* sign-extended, displacements too */, IMMEDIATE_WORD, IMMEDIATE_Z,
  IMMEDIATE_SZ /* sign-extended */, IMMEDIATE_FAR /* offset and selector */, IMMEDIATE_ENTER /* word and byte */,
};

enum { SIZE_V = 24 /* 2 or 4 */ };

typedef struct
{
  uint16_t flags;               /* LAYOUT_* */
  uint8_t  immediate;           /* IMMEDIATE_* */
  uint8_t  size;                /* bytes, or SIZE_V */
} RowLayout;

typedef struct
{
  uint16_t first, count;        /* in candidates[] */
} OpcodeEntry;

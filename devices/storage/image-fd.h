/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Opens a disk image whose files somebody else opened: the guard, which named the format and every backing file. */
#pragma once

#include "block.h"

typedef struct
{
  const int     *fds;           /* the image itself, then its backing files in order; closed when the image is closed */
  unsigned       n_fds;
  const char    *format;        /* "raw" or "qcow2"; backing files are qcow2 … */
  bool           base_is_raw;   /* … except the last of them when this is set */
  bool           read_only;
  const uint8_t *key;           /* data key (QCOW2_KEY_BYTES) of every encrypted image of the chain, or NULL */
  unsigned       n_key;
} ImageFd;

/* 0 or negative errno; the descriptors are then still the caller's. */
int image_open_fds (const ImageFd *image, BlockBackend **ret);

/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A shared folder: virtio 9P transport.  The device carries messages and understands no more of them than length and tag. */
#pragma once

#include "message.h"
#include "pci.h"

typedef struct Virtio9p Virtio9p;

/* tag: what the guest mounts, 1 … 32 bytes.  The device closes the far end.  Errors: -EINVAL, -ENOMEM, those of pci_bus_add; the
 * far end is then still the caller's. */
int virtio_9p_new (const DeviceHost *host, PciBus *bus, uint8_t devfn, const char *tag, MessageBackend *far_end, Virtio9p **ret);

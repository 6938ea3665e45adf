/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A virtio device on PCI with the legacy interface (virtio 1.0, 4.1.4.8; 0.9.5): registers in I/O BAR 0, split virtqueues
 * found by their page number.  Every system that knows virtio speaks it.
 *
 * The rings lie in guest memory and are read by copy.  Whatever the guest writes there, one chain has at most as many
 * segments as its queue has descriptors, and a queue that lies is stopped until the guest resets the device. */
#pragma once

#include "guest-memory.h"
#include "pci.h"

enum { VIRTIO_MAX_QUEUES = 8, VIRTIO_QUEUE_SIZE = 128, VIRTIO_MAX_CONFIG = 64 };

typedef struct
{
  uint64_t address;
  uint32_t n_bytes;
} VirtioSegment;

/* A chain that the guest gave: first what the device reads, then what it writes. */
typedef struct
{
  uint16_t head;
  unsigned n_out, n_in;
  uint32_t out_bytes, in_bytes;         /* sums; a chain above 4 GiB is a lie */
  VirtioSegment segments[VIRTIO_QUEUE_SIZE];
} VirtioElement;

typedef struct
{
  uint32_t page;                /* 0: not set up */
  uint16_t next, used;          /* what the device has taken and given back */
  uint8_t  broken;
  uint8_t  reserved[3];
} VirtioQueue;

typedef struct
{
  const char *name;
  uint16_t    subsystem;        /* 3 console, 9 9P */
  uint16_t    device_id;        /* 1000h … 103Fh */
  uint32_t    class_code;
  unsigned    n_queues;
  uint32_t    features;         /* offered */
  size_t      n_config;
  void      (*notify)   (Device *owner, unsigned queue);
  void      (*restart)  (Device *owner);        /* the guest reset the device */
} VirtioClass;

/* Embedded in a device as `Virtio virtio[1]`. */
typedef struct
{
  PciFunction pci[1];
  VirtioQueue queues[VIRTIO_MAX_QUEUES];
  uint32_t    guest_features;
  uint16_t    selected;
  uint8_t     status, isr;
  /* Not state */
  const VirtioClass *klass;
  Device      *owner;
  GuestMemory *memory;
  uint8_t      config[VIRTIO_MAX_CONFIG];
} Virtio;

extern const StateTable virtio_state;

/* 0 or the errors of pci_bus_add. */
int  virtio_setup (Virtio *self, const VirtioClass *klass, Device *owner, const DeviceHost *host, PciBus *bus, uint8_t devfn);
void virtio_reset (Virtio *self);
/* For the owner's state check. */
int  virtio_restored (Virtio *self);
bool virtio_is_running (const Virtio *self);    /* the driver has said DRIVER_OK */

/* The next chain of a queue. False: none, or the queue is broken. */
bool virtio_pop  (Virtio *self, unsigned queue, VirtioElement *ret_element);
/* The chain at a head that was popped before: after a restore, when the guest's memory is there. False: it lies. */
bool virtio_read_again (Virtio *self, unsigned queue, uint16_t head, VirtioElement *ret_element);
/* Gives a chain back, and interrupts if the guest wants that. */
void virtio_push (Virtio *self, unsigned queue, uint16_t head, uint32_t n_written);
/* Copies from what the guest sent, or into what it has room for; the number of bytes there were. */
size_t virtio_read_out (Virtio *self, const VirtioElement *element, size_t offset, void *ret_bytes, size_t n_bytes);
size_t virtio_write_in (Virtio *self, const VirtioElement *element, const void *bytes, size_t n_bytes);
/* The device's own registers changed. */
void virtio_config_changed (Virtio *self);

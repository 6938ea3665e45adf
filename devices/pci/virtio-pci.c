/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "virtio-pci.h"

#include <errno.h>
#include <string.h>

enum
{
  REG_DEVICE_FEATURES = 0x00, REG_GUEST_FEATURES = 0x04, REG_QUEUE_PAGE = 0x08, REG_QUEUE_SIZE = 0x0c, REG_QUEUE_SELECT = 0x0e,
  REG_QUEUE_NOTIFY = 0x10, REG_STATUS = 0x12, REG_ISR = 0x13, REG_CONFIG = 0x14,
  BAR_BYTES = 128,
  STATUS_DRIVER_OK = 4,
  ISR_QUEUE = 1, ISR_CONFIG = 2,
  DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4,
  AVAIL_NO_INTERRUPT = 1,
  PAGE = 4096,
  /* Where the parts of a ring of VIRTIO_QUEUE_SIZE begin (virtio 1.0, 2.4.2). */
  AVAIL_OFFSET = VIRTIO_QUEUE_SIZE * 16,
  USED_OFFSET = (AVAIL_OFFSET + 6 + VIRTIO_QUEUE_SIZE * 2 + PAGE - 1) / PAGE * PAGE,
};

_Static_assert (REG_CONFIG + VIRTIO_MAX_CONFIG <= BAR_BYTES, "the device's own registers fit");

/* --- guest memory -------------------------------------------------------------------------------------------------- */

static uint64_t
queue_address (const VirtioQueue *queue, uint32_t offset)
{
  return ((uint64_t) queue->page << 12) + offset;
}

static uint16_t
load16 (Virtio *self, const VirtioQueue *queue, uint32_t offset)
{
  uint8_t bytes[2] = { 0, 0 };

  guest_memory_read (self->memory, queue_address (queue, offset), bytes, sizeof bytes);
  return (uint16_t) (bytes[0] | bytes[1] << 8);
}

static void
store16 (Virtio *self, const VirtioQueue *queue, uint32_t offset, uint16_t value)
{
  uint8_t bytes[2] = { (uint8_t) value, (uint8_t) (value >> 8) };

  guest_memory_write (self->memory, queue_address (queue, offset), bytes, sizeof bytes);
}

/* --- queues -------------------------------------------------------------------------------------------------------- */

static void
set_irq (Virtio *self)
{
  pci_function_set_irq (&self->pci[0], self->isr != 0);
}

bool
virtio_is_running (const Virtio *self)
{
  return self->status & STATUS_DRIVER_OK;
}

static bool
broken (VirtioQueue *queue)
{
  queue->broken = 1;
  return false;
}

/* Reads a chain of descriptors; at most VIRTIO_QUEUE_SIZE of them, so that a circle ends. */
static bool
read_chain (Virtio *self, VirtioQueue *queue, VirtioElement *element)
{
  uint16_t index = element->head;
  uint64_t out = 0, in = 0;

  for (unsigned n = 0; ; n++)
    {
      uint8_t bytes[16];
      VirtioSegment *segment;
      uint16_t flags;

      if (n == VIRTIO_QUEUE_SIZE || index >= VIRTIO_QUEUE_SIZE
          || guest_memory_read (self->memory, queue_address (queue, index * 16u), bytes, sizeof bytes) < 0)
        return broken (queue);
      segment = &element->segments[n];
      memcpy (&segment->address, bytes, 8);
      memcpy (&segment->n_bytes, bytes + 8, 4);
      memcpy (&flags, bytes + 12, 2);
      memcpy (&index, bytes + 14, 2);
      if (flags & DESC_INDIRECT || segment->address + segment->n_bytes < segment->address)
        return broken (queue);
      if (flags & DESC_WRITE)
        {
          element->n_in++;
          in += segment->n_bytes;
        }
      else if (element->n_in)
        return broken (queue);  /* what is read comes first (2.4.4.2) */
      else
        {
          element->n_out++;
          out += segment->n_bytes;
        }
      if (out > UINT32_MAX || in > UINT32_MAX)
        return broken (queue);
      if (!(flags & DESC_NEXT))
        break;
    }
  element->out_bytes = (uint32_t) out;
  element->in_bytes = (uint32_t) in;
  return true;
}

bool
virtio_pop (Virtio *self, unsigned number, VirtioElement *ret_element)
{
  VirtioQueue *queue = &self->queues[number];
  uint16_t available;

  if (number >= self->klass->n_queues || !queue->page || queue->broken || !virtio_is_running (self) || !pci_function_is_master (&self->pci[0]))
    return false;
  available = load16 (self, queue, AVAIL_OFFSET + 2);
  if (available == queue->next)
    return false;
  if ((uint16_t) (available - queue->next) > VIRTIO_QUEUE_SIZE)
    return broken (queue);
  ret_element->head = load16 (self, queue, AVAIL_OFFSET + 4 + queue->next % VIRTIO_QUEUE_SIZE * 2u);
  ret_element->n_out = ret_element->n_in = 0;
  queue->next++;
  return read_chain (self, queue, ret_element);
}

bool
virtio_read_again (Virtio *self, unsigned number, uint16_t head, VirtioElement *ret_element)
{
  VirtioQueue *queue = &self->queues[number];

  ret_element->head = head;
  ret_element->n_out = ret_element->n_in = 0;
  return number < self->klass->n_queues && queue->page && !queue->broken && read_chain (self, queue, ret_element);
}

void
virtio_push (Virtio *self, unsigned number, uint16_t head, uint32_t n_written)
{
  VirtioQueue *queue = &self->queues[number];
  uint8_t entry[8] = { 0 };

  if (number >= self->klass->n_queues || !queue->page || queue->broken)
    return;
  memcpy (entry, &head, 2);
  memcpy (entry + 4, &n_written, 4);
  guest_memory_write (self->memory, queue_address (queue, USED_OFFSET + 4 + queue->used % VIRTIO_QUEUE_SIZE * 8u), entry, sizeof entry);
  queue->used++;
  store16 (self, queue, USED_OFFSET + 2, queue->used);
  if (load16 (self, queue, AVAIL_OFFSET) & AVAIL_NO_INTERRUPT)
    return;
  self->isr |= ISR_QUEUE;
  set_irq (self);
}

size_t
virtio_read_out (Virtio *self, const VirtioElement *element, size_t offset, void *ret_bytes, size_t n_bytes)
{
  size_t done = 0;

  for (unsigned i = 0; i < element->n_out && done < n_bytes; i++)
    {
      const VirtioSegment *segment = &element->segments[i];
      size_t n;

      if (offset >= segment->n_bytes)
        {
          offset -= segment->n_bytes;
          continue;
        }
      n = segment->n_bytes - offset < n_bytes - done ? segment->n_bytes - offset : n_bytes - done;
      guest_memory_read (self->memory, segment->address + offset, (uint8_t *) ret_bytes + done, n);
      done += n;
      offset = 0;
    }
  return done;
}

size_t
virtio_write_in (Virtio *self, const VirtioElement *element, const void *bytes, size_t n_bytes)
{
  size_t done = 0;

  for (unsigned i = 0; i < element->n_in && done < n_bytes; i++)
    {
      const VirtioSegment *segment = &element->segments[element->n_out + i];
      size_t n = segment->n_bytes < n_bytes - done ? segment->n_bytes : n_bytes - done;

      guest_memory_write (self->memory, segment->address, (const uint8_t *) bytes + done, n);
      done += n;
    }
  return done;
}

void
virtio_config_changed (Virtio *self)
{
  if (!virtio_is_running (self))
    return;
  self->isr |= ISR_CONFIG;
  set_irq (self);
}

/* --- registers ----------------------------------------------------------------------------------------------------- */

static void
restart (Virtio *self)
{
  memset (self->queues, 0, sizeof self->queues);
  self->guest_features = 0;
  self->selected = 0;
  self->status = self->isr = 0;
  set_irq (self);
  if (self->klass->restart)
    self->klass->restart (self->owner);
}

/* Each owner has its Virtio right behind its Device. */
typedef struct
{
  Device parent;
  Virtio virtio[1];
} Owner;

static Virtio *
virtio_of (Device *device)
{
  return ((Owner *) device)->virtio;
}

static uint8_t
config_byte (const Virtio *self, uint32_t offset)
{
  return offset - REG_CONFIG < self->klass->n_config ? self->config[offset - REG_CONFIG] : 0;
}

static uint64_t
registers_read (Device *device, uint32_t offset, unsigned size)
{
  Virtio *self = virtio_of (device);
  bool has_queue = self->selected < self->klass->n_queues;
  uint64_t value = 0;

  if (offset >= REG_CONFIG)
    {
      for (unsigned i = 0; i < size; i++)
        value |= (uint64_t) config_byte (self, offset + i) << (8 * i);
      return value;
    }
  switch (offset)
    {
    case REG_DEVICE_FEATURES:
      return self->klass->features;
    case REG_GUEST_FEATURES:
      return self->guest_features;
    case REG_QUEUE_PAGE:
      return has_queue ? self->queues[self->selected].page : 0;
    case REG_QUEUE_SIZE:
      return has_queue ? VIRTIO_QUEUE_SIZE : 0;
    case REG_QUEUE_SELECT:
      return self->selected;
    case REG_STATUS:
      return size == 1 ? self->status : (uint64_t) (self->status | self->isr << 8);
    case REG_ISR:
      value = self->isr;
      self->isr = 0;
      set_irq (self);
      return value;
    default:
      return 0;
    }
}

static void
registers_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  Virtio *self = virtio_of (device);

  switch (offset)
    {
    case REG_GUEST_FEATURES:
      self->guest_features = (uint32_t) value & self->klass->features;
      break;
    case REG_QUEUE_PAGE:
      if (self->selected < self->klass->n_queues)
        self->queues[self->selected] = (VirtioQueue) { .page = (uint32_t) value };
      break;
    case REG_QUEUE_SELECT:
      self->selected = (uint16_t) value;
      break;
    case REG_QUEUE_NOTIFY:
      if ((uint16_t) value < self->klass->n_queues && virtio_is_running (self))
        self->klass->notify (self->owner, (uint16_t) value);
      break;
    case REG_STATUS:
      if ((uint8_t) value == 0)
        restart (self);
      else
        self->status = (uint8_t) value;
      break;
    default:
      break;
    }
}

static const BusRegion registers_region = { "virtio", BUS_SIZE_1 | BUS_SIZE_2 | BUS_SIZE_4, registers_read, registers_write };

/* --- life ---------------------------------------------------------------------------------------------------------- */

int
virtio_setup (Virtio *self, const VirtioClass *klass, Device *owner, const DeviceHost *host, PciBus *bus, uint8_t devfn)
{
  self->klass = klass;
  self->owner = owner;
  self->memory = host->memory;
  pci_function_setup (&self->pci[0], owner, klass->name, 0x1af4, klass->device_id, klass->class_code, 0, 1);
  self->pci[0].config[PCI_SUBSYSTEM_VENDOR] = 0xf4;
  self->pci[0].config[PCI_SUBSYSTEM_VENDOR + 1] = 0x1a;
  self->pci[0].config[PCI_SUBSYSTEM] = (uint8_t) klass->subsystem;
  self->pci[0].bars[0] = (PciBar) { PCI_BAR_IO, BAR_BYTES, &registers_region };
  return pci_bus_add (bus, devfn, &self->pci[0]);
}

void
virtio_reset (Virtio *self)
{
  pci_function_reset (&self->pci[0]);
  restart (self);
}

static const StateField queue_fields[] = {
  STATE_FIELD (VirtioQueue, page, STATE_UINT, 1),
  STATE_FIELD (VirtioQueue, next, STATE_UINT, 1),
  STATE_FIELD (VirtioQueue, used, STATE_UINT, 1),
  STATE_FIELD (VirtioQueue, broken, STATE_UINT, 1),
  STATE_END,
};
static const StateTable queue_state = { "virtqueue", 1, queue_fields, NULL };

static const StateField virtio_fields[] = {
  STATE_NESTED (Virtio, pci, &pci_function_state, 1),
  STATE_NESTED (Virtio, queues, &queue_state, 1),
  STATE_FIELD (Virtio, guest_features, STATE_UINT, 1),
  STATE_FIELD (Virtio, selected, STATE_UINT, 1),
  STATE_FIELD (Virtio, status, STATE_UINT, 1),
  STATE_FIELD (Virtio, isr, STATE_UINT, 1),
  STATE_END,
};
const StateTable virtio_state = { "virtio", 1, virtio_fields, NULL };

int
virtio_restored (Virtio *self)
{
  int result;

  for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++)
    if (self->queues[i].broken > 1 || (i >= self->klass->n_queues && self->queues[i].page))
      return -EBADMSG;
  if (self->guest_features & ~self->klass->features || self->isr > (ISR_QUEUE | ISR_CONFIG))
    return -EBADMSG;
  result = pci_function_restored (&self->pci[0]);
  set_irq (self);
  return result;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where the guest's x87, MMX and SSE state is: in the Cpu, in an FXSAVE image, or in the host's registers.
 *
 * Translated x87, MMX and SSE instructions run in the host's registers.  C code uses those as well, so the first thing
 * after leaving translated code is to save them when they are the guest's; they come back when a block needs them. */
#include "translator.h"

enum { IMAGE_CONTROL = 0, IMAGE_STATUS = 2, IMAGE_TAG = 4, IMAGE_OPCODE = 6, IMAGE_IP = 8, IMAGE_DP = 16, IMAGE_MXCSR = 24,
       IMAGE_ST = 32, IMAGE_XMM = 160, HOST_MXCSR = 0x1f80 };

void
fpu_to_image (Translator *self)
{
  static const uint32_t host_mxcsr = HOST_MXCSR;

  if (self->fpu != FPU_IN_HOST)
    return;
  __asm__ volatile ("fxsave64 %0\n\tfninit\n\tldmxcsr %1" : "=m" (self->hot->fx) : "m" (host_mxcsr));
  self->fpu = FPU_IN_IMAGE;
  self->hot->fpu_in_host = 0;
}

void
fpu_to_cpu (Translator *self)
{
  Fpu *fpu = &self->cpu->fpu;
  const uint8_t *image = self->hot->fx;
  unsigned top;

  fpu_to_image (self);
  if (self->fpu == FPU_IN_CPU)
    return;
  memcpy (&fpu->control, image + IMAGE_CONTROL, 2);
  memcpy (&fpu->status, image + IMAGE_STATUS, 2);
  fpu->valid = image[IMAGE_TAG];
  memcpy (&fpu->mxcsr, image + IMAGE_MXCSR, 4);
  top = fpu->status >> 11 & 7;
  for (unsigned i = 0; i < 8; i++)
    {
      memcpy (fpu->r[(top + i) & 7], image + IMAGE_ST + 16 * i, 10);
      memset (fpu->r[(top + i) & 7] + 10, 0, 6);
    }
  memcpy (fpu->xmm, image + IMAGE_XMM, sizeof fpu->xmm);
  self->fpu = FPU_IN_CPU;
}

void
fpu_to_host (Translator *self)
{
  const Fpu *fpu = &self->cpu->fpu;
  uint8_t *image = self->hot->fx;

  if (self->fpu == FPU_IN_HOST)
    return;
  if (self->fpu == FPU_IN_CPU)
    {
      unsigned top = fpu->status >> 11 & 7;
      uint32_t mxcsr = fpu->mxcsr & 0xffbf;     /* no bit that FXRSTOR would refuse */

      memset (image, 0, IMAGE_ST);
      memcpy (image + IMAGE_CONTROL, &fpu->control, 2);
      memcpy (image + IMAGE_STATUS, &fpu->status, 2);
      image[IMAGE_TAG] = fpu->valid;
      memcpy (image + IMAGE_OPCODE, &fpu->opcode, 2);
      memcpy (image + IMAGE_MXCSR, &mxcsr, 4);
      for (unsigned i = 0; i < 8; i++)
        memcpy (image + IMAGE_ST + 16 * i, fpu->r[(top + i) & 7], 16);
      memcpy (image + IMAGE_XMM, fpu->xmm, sizeof fpu->xmm);
    }
  __asm__ volatile ("fxrstor64 %0" : : "m" (self->hot->fx));
  self->fpu = FPU_IN_HOST;
  self->hot->fpu_in_host = 1;
}

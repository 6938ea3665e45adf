/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The way out: libslirp as one more port of the switch.  Guests see 10.0.2.0/24, gateway .2, name server .3, DHCP from .15. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Nat Nat;

enum { NAT_MAX_POLLS = 1024 };

/* deliver: a frame for the guests. NULL when memory is short. */
Nat *nat_new  (void (*deliver) (void *data, const uint8_t *frame, size_t n_bytes), void *data);
void nat_free (Nat *self);
void nat_input (Nat *self, const uint8_t *frame, size_t n_bytes);
/* 0 or negative errno. protocol 6 or 17; listens on 127.0.0.1 of the host. */
int  nat_forward (Nat *self, uint8_t protocol, uint16_t host_port, uint16_t guest_port);
/* Before poll: appends descriptors at polls[*n] …, shortens *timeout_ms.  After it: nat_polled. */
void nat_fill   (Nat *self, struct pollfd *polls, unsigned *n, int *timeout_ms);
void nat_polled (Nat *self, bool failed);

/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Messages over a SOCK_SEQPACKET socket. */
#pragma once

#include "message.h"

/* The descriptor is closed with the back end. NULL when memory is short. */
MessageBackend *message_fd_new  (int fd);
int             message_fd_descriptor (const MessageBackend *self);
/* When the descriptor is readable, on the machine's thread. -EAGAIN: nothing more now; -EPIPE: the far end is gone. */
int             message_fd_receive (MessageBackend *self);

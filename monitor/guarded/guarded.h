/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The guard's child: takes descriptors and commands from the socket at PROTOCOL_SOCKET_FD. Returns the exit status. */
int guarded_main (void);

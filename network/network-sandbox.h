/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

#include <stdbool.h>

/* Leaves everything a network process does not need: file system (NAT keeps a read-only resolv.conf in an otherwise empty
 * root), capabilities, core dumps, and all but a list of system calls.  A switch also leaves the network; a NAT may only
 * make AF_INET and AF_INET6 stream and datagram sockets.  False with a reason in *ret_why when a layer cannot be set up. */
bool network_sandbox_enter (bool nat, const char **ret_why);

/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

#include <stdbool.h>

/* Leaves everything but the directory: other files (empty root, Landlock), the network, capabilities, core dumps, and all
 * but a list of system calls.  False with a reason in *ret_why when a required layer cannot be set up. */
bool folder_sandbox_enter (int directory, bool writable, const char **ret_why);

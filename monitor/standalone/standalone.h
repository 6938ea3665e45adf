/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* One unlabelled machine from a command line. Returns the exit status. */
int standalone_main (int argc, char **argv);

/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Seeded mistakes, to show that the tests can fail: tests/policy compiles the core once per number and expects every
 * one to be caught.  Nothing else defines POLICY_MUTANT, and then each is a constant false. */
#pragma once

#ifdef POLICY_MUTANT
#define MUTANT(n) (POLICY_MUTANT == (n))
#else
#define MUTANT(n) false
#endif

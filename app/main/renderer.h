/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Before the display is opened: where OpenGL would be done by this computer's processor, GTK's cairo renderer is five to
 * twenty times as fast for a guest's screen. Says so in the environment unless the user has chosen a renderer. */
void bh_renderer_choose (void);

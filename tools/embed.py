#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""embed.py INPUT OUTPUT.h NAME: the bytes of a file as a C array."""
import sys

source, target, name = sys.argv[1:]
data = open(source, 'rb').read()
with open(target, 'w') as out:
    out.write(f'/* SPDX-License-Identifier: GPL-3.0-or-later */\n/* Made by tools/embed.py. */\n#include <stdint.h>\n\n'
              f'static const uint8_t {name}[{len(data)}] = {{\n')
    for i in range(0, len(data), 16):
        out.write('  ' + ' '.join(f'{byte},' for byte in data[i:i + 16]) + '\n')
    out.write('};\n')

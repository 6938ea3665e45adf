/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An NS16550A serial port with FIFOs.  (Device *) uart is the device. */
#pragma once

#include "chardev.h"
#include "device.h"
#include "irq-line.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Uart Uart;

/* Bits of the modem status register's inputs, and of the modem control register's outputs. */
enum { UART_CTS = 0x10, UART_DSR = 0x20, UART_RI = 0x40, UART_DCD = 0x80 };
enum { UART_DTR = 0x01, UART_RTS = 0x02 };

/* Eight ports from first_port.  far_end (may be NULL: nothing is plugged in, and its modem lines are low) is closed
 * with the device.  paced: characters take the time that the programmed baud rate gives; otherwise sending takes no
 * time and received bytes arrive as fast as the guest reads them.  Returns 0, -ENOMEM or what bus_claim_ports says; far_end
 * is then still the caller's. */
int uart_new (const DeviceHost *host, uint16_t first_port, IrqLine irq, CharBackend *far_end, bool paced, Uart **ret);

/* Puts another far end in place (the old one is closed). NULL unplugs. */
void uart_plug (Uart *self, CharBackend *far_end);
/* Drives the modem inputs, a set of UART_CTS … UART_DCD.  uart_new and uart_plug set CTS, DSR and DCD if something is
 * plugged in. */
void uart_set_modem_inputs (Uart *self, uint8_t inputs);
/* UART_DTR and UART_RTS as the guest drives them. */
uint8_t uart_modem_outputs (const Uart *self);
/* The line is held low for longer than a character. */
void uart_receive_break (Uart *self);

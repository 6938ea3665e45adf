/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "host-network.h"

#include "network-protocol.h"
#include "options.h"
#include "packet-fd.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_MS = 3000, FULL_CARD_US = 2000 };

struct HostNetwork
{
  Machine       *machine;
  PacketBackend *cable;
  int            socket, result;
  bool           started;
  pthread_t      thread;
};

typedef struct { uint8_t protocol; uint16_t host_port, guest_port; } Forward;

/* The program lies beside this one: in one libexec folder, or in the build tree. */
static bool
find_program (char *ret_path, size_t n_path)
{
  static const char *const places[] = { "bulkhead-network", "../network/bulkhead-network", "../../network/bulkhead-network" };
  char self[PATH_MAX];
  ssize_t n = readlink ("/proc/self/exe", self, sizeof self - 1);

  if (n <= 0)
    return false;
  self[n] = 0;
  dirname (self);
  for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
    if ((size_t) snprintf (ret_path, n_path, "%s/%s", self, places[i]) < n_path && access (ret_path, X_OK) == 0)
      return true;
  return false;
}

static bool
refuse (char **ret_error, const char *format, const char *what)
{
  if (asprintf (ret_error, format, what) < 0)
    *ret_error = NULL;
  return false;
}

static bool
parse_port (const char *text, char **ret_end, uint16_t *ret_port)
{
  unsigned long port;

  errno = 0;
  port = *text >= '0' && *text <= '9' ? strtoul (text, ret_end, 10) : 0;
  if (errno || port < 1 || port > 65535)
    return false;
  *ret_port = (uint16_t) port;
  return true;
}

/* nat[,forward=tcp|udp:HOSTPORT:GUESTPORT]… */
static bool
parse (const char *text, Forward *ret_forwards, unsigned *ret_n)
{
  *ret_n = 0;
  if (strncmp (text, "nat", 3) != 0)
    return false;
  for (text += 3; *text; )
    {
      Forward *forward = &ret_forwards[*ret_n];
      char *end;

      if (*ret_n == OPTIONS_MAX_FORWARDS || strncmp (text, ",forward=", 9) != 0)
        return false;
      text += 9;
      if (strncmp (text, "tcp:", 4) != 0 && strncmp (text, "udp:", 4) != 0)
        return false;
      forward->protocol = *text == 't' ? 6 : 17;
      if (!parse_port (text + 4, &end, &forward->host_port) || *end != ':' || !parse_port (end + 1, &end, &forward->guest_port)
          || (*end && *end != ','))
        return false;
      text = end;
      ++*ret_n;
    }
  return true;
}

static int
ask (int socket, const NetworkMessage *message, int fd)
{
  union { struct cmsghdr align; char bytes[CMSG_SPACE (sizeof (int))]; } control = { 0 };
  struct iovec part = { (void *) message, sizeof *message };
  struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
  struct pollfd polled = { socket, POLLIN, 0 };
  NetworkReply reply;

  if (fd >= 0)
    {
      struct cmsghdr *rights = &control.align;

      header.msg_control = control.bytes;
      header.msg_controllen = sizeof control.bytes;
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN (sizeof fd);
      memcpy (CMSG_DATA (rights), &fd, sizeof fd);
    }
  if (sendmsg (socket, &header, MSG_NOSIGNAL) != (ssize_t) sizeof *message)
    return -errno;
  if (poll (&polled, 1, START_MS) <= 0)
    return -ETIMEDOUT;
  return recv (socket, &reply, sizeof reply, 0) == sizeof reply ? reply.error : -EPIPE;
}

static int
start_program (const char *path, bool sandbox)
{
  char *argv[] = { (char *) path, (char *) "--nat", (char *) (sandbox ? NULL : "--no-sandbox"), NULL };
  char *envp[] = { (char *) "PATH=/usr/bin:/bin", NULL };
  NetworkMessage hello = { .type = NETWORK_STATISTICS };
  int sockets[2], result;
  pid_t pid;

  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
    return -errno;
  pid = fork ();
  if (pid == 0)
    {
      if (sockets[1] == NETWORK_SOCKET_FD)
        fcntl (sockets[1], F_SETFD, 0);
      else if (dup2 (sockets[1], NETWORK_SOCKET_FD) < 0)
        _exit (127);
      /* Its input and output are not the guest's serial port. */
      if (dup2 (open ("/dev/null", O_RDWR | O_CLOEXEC), STDIN_FILENO) < 0 || dup2 (STDIN_FILENO, STDOUT_FILENO) < 0)
        _exit (127);
      execve (path, argv, envp);
      _exit (127);
    }
  close (sockets[1]);
  result = pid < 0 ? -errno : ask (sockets[0], &hello, -1);
  if (result == 0)
    return sockets[0];
  close (sockets[0]);
  if (pid > 0)
    waitpid (pid, NULL, 0);
  return result;
}

bool
host_network_open (const char *text, MachineConfig *config, HostNetwork **ret, char **ret_error)
{
  static const uint8_t mac[6] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };
  Forward forwards[OPTIONS_MAX_FORWARDS];
  NetworkMessage join = { .type = NETWORK_JOIN };
  HostNetwork *self;
  char path[PATH_MAX];
  int socket, cable[2];
  unsigned n;

  *ret = NULL;
  if (!text || strcmp (text, "none") == 0)
    return true;
  if (!parse (text, forwards, &n))
    return refuse (ret_error, "'%s' is not none or nat[,forward=tcp:HOSTPORT:GUESTPORT]", text);
  if (!find_program (path, sizeof path))
    return refuse (ret_error, "%s does not lie beside this program; reinstall or rebuild Bulkhead", "bulkhead-network");
  socket = start_program (path, true);
  if (socket < 0)
    {
      fputs ("bulkhead-monitor: network: going on without a sandbox around it\n", stderr);
      socket = start_program (path, false);
    }
  if (socket < 0)
    return refuse (ret_error, "bulkhead-network does not start: %s", strerror (-socket));
  for (unsigned i = 0; i < n; i++)
    {
      NetworkMessage message = { .type = NETWORK_FORWARD, .protocol = forwards[i].protocol, .host_port = forwards[i].host_port,
                                 .guest_port = forwards[i].guest_port };
      int result = ask (socket, &message, -1);

      if (result < 0)
        {
          char port[16];

          snprintf (port, sizeof port, "%u", forwards[i].host_port);
          close (socket);
          return refuse (ret_error, result == -EADDRINUSE ? "port %s of this host is taken" : "port %s of this host cannot be forwarded", port);
        }
    }
  self = calloc (1, sizeof *self);
  if (self && socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, cable) == 0)
    {
      bool joined = ask (socket, &join, cable[1]) == 0;

      close (cable[1]);
      self->socket = socket;
      self->cable = joined ? packet_fd_new (cable[0]) : NULL;
      if (self->cable)
        {
          config->has_network = true;
          config->network = self->cable;
          memcpy (config->mac, mac, sizeof mac);
          *ret = self;
          return true;
        }
      close (cable[0]);
    }
  free (self);
  close (socket);
  return refuse (ret_error, "%s", "no cable could be laid");
}

static void
take_frames (Machine *machine, void *data)
{
  HostNetwork *self = data;

  self->result = packet_fd_receive (self->cable);
}

static void
pull_out (Machine *machine, void *data)
{
  machine_plug_network (machine, NULL);
}

static void *
reader (void *data)
{
  HostNetwork *self = data;

  for (;;)
    {
      struct pollfd polled = { packet_fd_descriptor (self->cable), POLLIN, 0 };

      if (poll (&polled, 1, -1) < 0)
        continue;
      if (machine_call (self->machine, take_frames, self) < 0)
        return NULL;
      if (self->result == -EBUSY)
        usleep (FULL_CARD_US);
      else if (self->result == -EPIPE)
        {
          machine_call (self->machine, pull_out, NULL);
          return NULL;
        }
    }
}

void
host_network_start (HostNetwork *self, Machine *machine)
{
  if (!self)
    return;
  self->machine = machine;
  self->started = pthread_create (&self->thread, NULL, reader, self) == 0;
}

void
host_network_stop (HostNetwork *self)
{
  if (!self)
    return;
  if (self->started)
    {
      /* The reader wakes, finds the machine ended, and ends. */
      close (self->socket);
      pthread_join (self->thread, NULL);
    }
  free (self);
}

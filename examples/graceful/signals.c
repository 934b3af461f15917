/* Signals of a container with the annotation io.wasmedge.signals=SIGTERM,SIGHUP, beside standard input. */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HUP = 1, TERM = 15, RECORD = 128 };

int main(void) {
    const char *number = getenv("WASMEDGE_SIGNAL_FD");
    if (!number) {
        fputs("no signals to read: the annotation io.wasmedge.signals names none\n", stderr);
        return 2;
    }
    struct pollfd files[] = {{.fd = atoi(number), .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    puts("waiting");
    fflush(stdout);
    while (poll(files, 2, -1) > 0) {
        if (files[0].revents & POLLIN) {
            /* A struct signalfd_siginfo, which begins with the signal's number. */
            unsigned char record[RECORD];
            uint32_t signal;
            if (read(files[0].fd, record, sizeof record) != sizeof record)
                return 1;
            memcpy(&signal, record, sizeof signal);
            printf("signal %u\n", signal);
            fflush(stdout);
            if (signal == TERM)
                return 0;
        }
        if (files[1].revents) {
            char piece[256];
            if (read(0, piece, sizeof piece) <= 0)
                files[1].fd = -1; /* poll leaves it out. */
        }
    }
    return 1;
}

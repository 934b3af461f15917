/* Looks for a proc filesystem among the descriptors of other processes of its pid namespace, which it may trace, and says
   what it has found. It opens a file there, closes it, and changes nothing. */

#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

static void try_process(int pid) {
    int process = syscall(SYS_pidfd_open, pid, 0);
    for (int fd = 3; process >= 0 && fd < 40; fd++) {
        struct statfs kind;
        int copy = syscall(SYS_pidfd_getfd, process, fd, 0);
        if (copy < 0) {
            continue;
        }
        if (fstatfs(copy, &kind) == 0 && (kind.f_type == 0x9fa0 || kind.f_type == 0x63677270 || kind.f_type == 0x27e0eb)) {
            int file = openat(copy, "sys/kernel/printk_delay", O_WRONLY);
            printf("descriptor %d of process %d is of a filesystem of type %lx, opened for writing: %d\n", fd, pid,
                   (long)kind.f_type, file);
            fflush(stdout);
            close(file);
        }
        close(copy);
    }
    close(process);
}

int main(void) {
    int self = getpid();
    puts("looking");
    fflush(stdout);
    for (;;) {
        DIR *all = opendir("/proc");
        struct dirent *one;
        while (all && (one = readdir(all))) {
            int pid = atoi(one->d_name);
            if (pid > 1 && pid != self) {
                try_process(pid);
            }
        }
        closedir(all);
    }
}

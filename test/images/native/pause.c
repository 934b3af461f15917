/* Waits for ever, as the first process of a pod: ends at SIGTERM or SIGINT with 0, reaps what it inherits. No libc. */

enum { SYS_pause = 34, SYS_exit = 60, SYS_wait4 = 61, SYS_rt_sigaction = 13, SYS_rt_sigreturn = 15 };
enum { SIGINT = 2, SIGTERM = 15, SIGCHLD = 17, WNOHANG = 1, SA_NOCLDSTOP = 1, SA_RESTORER = 0x04000000 };

struct action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
};

static long call(long number, long a, long b, long c, long d) {
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return result;
}

/* The kernel finds the interrupted state at the top of the stack, so this must not have a frame. */
__attribute__((naked)) static void restore(void) {
    __asm__ volatile("mov $15, %eax\n syscall");
}

static void end(int signal) {
    (void)signal;
    call(SYS_exit, 0, 0, 0, 0);
}

static void reap(int signal) {
    (void)signal;
    while (call(SYS_wait4, -1, 0, WNOHANG, 0) > 0) {
    }
}

static void on(int signal, void (*handler)(int)) {
    struct action action = {handler, SA_RESTORER | SA_NOCLDSTOP, restore, 0};
    call(SYS_rt_sigaction, signal, (long)&action, 0, sizeof action.mask);
}

__attribute__((force_align_arg_pointer)) void _start(void) {
    on(SIGCHLD, reap);
    on(SIGINT, end);
    on(SIGTERM, end);
    for (;;) {
        call(SYS_pause, 0, 0, 0, 0);
    }
}

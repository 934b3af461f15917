/* A shared object that nobody should load: leaves the file MARK behind and says so. The functions are those that
   glibc's name service and character sets and WasmEdge's plugin loader ask for; all of them decline. */

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

__attribute__((constructor)) static void leave_mark(void) {
    int fd = open(MARK, O_WRONLY | O_CREAT, 0644);
    if (fd >= 0) {
        close(fd);
    }
    dprintf(2, "native code ran: %s\n", MARK);
}

enum { NSS_STATUS_UNAVAIL = -1, GCONV_NOCONV = 1 };

int _nss_evil_gethostbyname_r(void) { return NSS_STATUS_UNAVAIL; }
int _nss_evil_gethostbyname2_r(void) { return NSS_STATUS_UNAVAIL; }
int _nss_evil_gethostbyname4_r(void) { return NSS_STATUS_UNAVAIL; }
int _nss_evil_getpwnam_r(void) { return NSS_STATUS_UNAVAIL; }
int _nss_evil_getservbyname_r(void) { return NSS_STATUS_UNAVAIL; }
int gconv(void) { return GCONV_NOCONV; }
int gconv_init(void) { return GCONV_NOCONV; }
void gconv_end(void) {}
const void *WasmEdge_Plugin_GetDescriptor(void) { return 0; }

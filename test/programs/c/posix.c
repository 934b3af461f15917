// POSIX files, directories, waiting and clocks as wasi-libc offers them. Prints a line a step: what was done, what it
// returned, and the error's text.
//
// usage: posix DIRECTORY <INPUT
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static void print(const char *what, long long result) {
    printf("%s: %lld%s%s\n", what, result, result < 0 ? " " : "", result < 0 ? strerror(errno) : "");
}

#define STEP(what, call) (errno = 0, print(what, (long long)(call)))
// For what returns a descriptor, whose number says nothing.
#define OPEN(what, variable, call) (errno = 0, (variable) = (call), print(what, (variable) < 0 ? -1 : 0))
#define REFUSED(what, call) do { int it_; OPEN(what, it_, call); if (it_ >= 0) close(it_); } while (0)

static char buffer[4096];

static void whole(void) {
    int file;
    struct stat found;
    STEP("mkdir", mkdir("c", 0755));
    STEP("mkdir again", mkdir("c", 0755));
    STEP("mkdir with a slash", mkdir("c/s/", 0755));
    STEP("rmdir with a slash", rmdir("c/s/"));
    OPEN("create", file, open("c/f", O_RDWR | O_CREAT | O_TRUNC, 0644));
    STEP("write", write(file, "hello world", 11));
    STEP("lseek", lseek(file, 0, SEEK_SET));
    STEP("read", read(file, buffer, 100));
    STEP("read at the end", read(file, buffer, 100));
    STEP("pread", pread(file, buffer, 5, 6));
    STEP("pwrite", pwrite(file, "W", 1, 6));
    STEP("ftruncate", ftruncate(file, 3));
    STEP("fstat", fstat(file, &found));
    printf("size %lld regular %d names %d\n", (long long)found.st_size, S_ISREG(found.st_mode), (int)found.st_nlink);
    STEP("fsync", fsync(file));
    STEP("fdatasync", fdatasync(file));
    STEP("posix_fallocate", posix_fallocate(file, 0, 100));
    STEP("posix_fadvise", posix_fadvise(file, 0, 0, POSIX_FADV_SEQUENTIAL));
    STEP("seek to the end", lseek(file, 0, SEEK_END));
    STEP("seek before the start", lseek(file, -1, SEEK_SET));
    STEP("seek beyond", lseek(file, 1000, SEEK_SET));
    STEP("write there", write(file, "x", 1));
    STEP("set O_APPEND", fcntl(file, F_SETFL, O_APPEND));
    STEP("get O_APPEND", (fcntl(file, F_GETFL) & O_APPEND) != 0);
    STEP("rewind", lseek(file, 0, SEEK_SET));
    STEP("append", write(file, "end", 3));
    STEP("where", lseek(file, 0, SEEK_CUR));
    STEP("writev", writev(file, (struct iovec[]){{"a", 1}, {"", 0}, {"bc", 2}}, 3));
    STEP("close", close(file));
    STEP("read what is closed", read(file, buffer, 1));
}

static void refusals(void) {
    int directory;
    struct stat found;
    REFUSED("open a directory to write", open("c", O_WRONLY));
    OPEN("open a directory", directory, open("c", O_RDONLY | O_DIRECTORY));
    STEP("fstat", fstat(directory, &found));
    STEP("read a directory", read(directory, buffer, 10));
    STEP("fsync a directory", fsync(directory));
    REFUSED("openat", openat(directory, "f", O_RDONLY));
    close(directory);
    REFUSED("open a file as a directory", open("c/f", O_RDONLY | O_DIRECTORY));
    REFUSED("open nothing", open("c/none", O_RDONLY));
    REFUSED("create what is there", open("c/f", O_CREAT | O_EXCL | O_RDWR, 0600));
    REFUSED("open below a file", open("c/f/x", O_RDONLY));
    REFUSED("open a file with a slash", open("c/f/", O_RDONLY));
    memset(buffer, 'a', 300);
    buffer[300] = 0;
    REFUSED("open a long name", open(buffer, O_RDONLY));
    STEP("unlink a directory", unlink("c") < 0);
    STEP("rmdir a file", rmdir("c/f"));
    STEP("rmdir what is not empty", rmdir("c"));
    STEP("rename what is not there", rename("c/none", "c/g"));
    STEP("rename a directory over a file", rename("c", "c/f") < 0);
    STEP("access", access("c/f", R_OK | W_OK));
    STEP("access to nothing", access("c/none", F_OK));
}

static void links(void) {
    struct stat found, other;
    STEP("symlink", symlink("f", "c/l"));
    STEP("lstat", lstat("c/l", &found));
    printf("link %d size %lld\n", S_ISLNK(found.st_mode), (long long)found.st_size);
    STEP("readlink", readlink("c/l", buffer, 100));
    STEP("readlink into two bytes", readlink("c/l", buffer, 2));
    REFUSED("open no link", open("c/l", O_RDONLY | O_NOFOLLOW));
    STEP("link", link("c/f", "c/h"));
    stat("c/f", &found);
    stat("c/h", &other);
    printf("names %d the same %d\n", (int)found.st_nlink, found.st_ino == other.st_ino && found.st_dev == other.st_dev);
    STEP("rename onto itself", rename("c/f", "c/h"));
    STEP("rename", rename("c/h", "c/g"));
    STEP("stat ..", stat("..", &found));
    STEP("stat /", stat("/", &found));
    STEP("stat //etc//passwd", stat("//etc//passwd", &found));
    STEP("stat above the root", stat("/../etc/./passwd", &found));
}

static void times(void) {
    struct stat found;
    struct timespec both[2] = {{1000000000, 0}, {1000000001, 500000000}};
    STEP("utimensat", utimensat(AT_FDCWD, "c/g", both, 0));
    STEP("stat", stat("c/g", &found));
    printf("modified %lld.%09ld accessed %lld\n", (long long)found.st_mtim.tv_sec, found.st_mtim.tv_nsec,
           (long long)found.st_atim.tv_sec);
    STEP("utimensat of a link", utimensat(AT_FDCWD, "c/l", both, AT_SYMLINK_NOFOLLOW));
}

static int count(DIR *directory) {
    int number = 0;
    while (readdir(directory)) number++;
    return number;
}

static void directories(void) {
    for (int number = 0; number < 3000; number++) {
        snprintf(buffer, sizeof buffer, "c/many%05d-a-rather-long-name-to-fill-the-buffer", number);
        close(open(buffer, O_CREAT | O_WRONLY, 0600));
    }
    DIR *directory = opendir("c");
    printf("entries %d\n", count(directory));
    rewinddir(directory);
    struct dirent *entry = NULL;
    char next[300] = "";
    for (int number = 0; number < 1500; number++) entry = readdir(directory);
    long place = telldir(directory);
    snprintf(next, sizeof next, "%s", (entry = readdir(directory)) ? entry->d_name : "");
    count(directory);
    seekdir(directory, place);
    entry = readdir(directory);
    printf("back at the same entry: %d\n", entry && !strcmp(entry->d_name, next));
    rewinddir(directory);
    int removed = 0;
    while ((entry = readdir(directory))) {
        if (strncmp(entry->d_name, "many", 4)) continue;
        snprintf(buffer, sizeof buffer, "c/%s", entry->d_name);
        removed += unlink(buffer) == 0;
    }
    closedir(directory);
    directory = opendir("c");
    printf("removed while reading %d, left %d\n", removed, count(directory));
    closedir(directory);
}

static void waiting(void) {
    struct pollfd file = {open("c/g", O_RDONLY), POLLIN, 0}, output = {1, POLLOUT, 0}, none = {77, POLLIN, 0};
    STEP("poll a file", poll(&file, 1, 2000));
    printf("ready %d\n", (file.revents & POLLIN) != 0);
    close(file.fd);
    STEP("poll the output", poll(&output, 1, 2000));
    printf("ready %d\n", (output.revents & POLLOUT) != 0);
    STEP("poll nothing open", poll(&none, 1, 200));
    printf("said %d\n", (none.revents & POLLNVAL) != 0);
    STEP("poll nothing", poll(NULL, 0, 20));
    struct timeval time = {0, 20000};
    STEP("select nothing", select(0, NULL, NULL, NULL, &time));
    struct timespec start, end, pause = {0, 30000000};
    clock_gettime(CLOCK_MONOTONIC, &start);
    STEP("nanosleep", nanosleep(&pause, NULL));
    clock_gettime(CLOCK_MONOTONIC, &end);
    long slept = (end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000;
    printf("slept %d\n", slept >= 29 && slept < 5000);
    STEP("getentropy", getentropy(buffer, 256));
}

static void devices(void) {
    int device;
    OPEN("/dev/null", device, open("/dev/null", O_RDWR));
    STEP("write", write(device, "a", 1));
    STEP("read", read(device, buffer, 1));
    close(device);
    OPEN("/dev/full", device, open("/dev/full", O_WRONLY));
    STEP("write", write(device, "a", 1));
    close(device);
    OPEN("/dev/stdout", device, open("/dev/stdout", O_WRONLY));
    fflush(stdout);
    STEP("write", write(device, "written\n", 8));
    close(device);
    int first, number = 0;
    while (number < 4096 && (first = open("/etc/passwd", O_RDONLY)) >= 0) number++;
    printf("descriptors: %s, %s\n", number < 1024 ? "bounded" : "unbounded", strerror(errno));
}

static void large(void) {
    int file;
    struct stat found;
    OPEN("create", file, open("c/large", O_RDWR | O_CREAT, 0600));
    STEP("ftruncate to 5 GiB", ftruncate(file, 5LL << 30));
    STEP("pwrite behind 4 GiB", pwrite(file, "x", 1, 4LL << 30));
    STEP("seek to the end", lseek(file, 0, SEEK_END));
    STEP("pread", pread(file, buffer, 1, 4LL << 30));
    fstat(file, &found);
    printf("size %lld\n", (long long)found.st_size);
    close(file);
    STEP("unlink", unlink("c/large"));
}

int main(int count, char **words) {
    if (count < 2 || chdir(words[1])) {
        fprintf(stderr, "usage: posix DIRECTORY\n");
        return 2;
    }
    printf("in %s\n", getcwd(buffer, sizeof buffer));
    whole();
    refusals();
    links();
    times();
    directories();
    waiting();
    large();
    long long bytes = 0;
    for (ssize_t length; (length = read(0, buffer, sizeof buffer)) > 0;) bytes += length;
    printf("standard input: %lld bytes\n", bytes);
    devices();
    return 7;
}

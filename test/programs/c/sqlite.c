// SQLite's library over a database in a file: runs statements and prints what they return.
//
// usage: sqlite DATABASE STATEMENT…       "wait" in the place of a statement says so and sleeps, to be killed
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sqlite3.h"

static int row(void *unused, int count, char **values, char **names) {
    (void)unused, (void)names;
    for (int number = 0; number < count; number++) printf("%s%s", number ? "|" : "", values[number] ? values[number] : "");
    putchar('\n');
    return 0;
}

int main(int count, char **words) {
    if (count < 3) {
        fprintf(stderr, "usage: sqlite DATABASE STATEMENT…\n");
        return 2;
    }
    sqlite3 *database;
    // Without locks: for WASI the default is a directory beside the database, which a killed program leaves behind.
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    if (sqlite3_open_v2(words[1], &database, flags, "unix-none") != SQLITE_OK) {
        printf("cannot open %s: %s\n", words[1], sqlite3_errmsg(database));
        return 1;
    }
    for (int number = 2; number < count; number++) {
        if (!strcmp(words[number], "wait")) {
            puts("waiting");
            fflush(stdout);
            for (;;) sleep(60);
        }
        char *error = NULL;
        if (sqlite3_exec(database, words[number], row, NULL, &error) != SQLITE_OK) {
            printf("error: %s\n", error);
            return 1;
        }
    }
    return sqlite3_close(database) == SQLITE_OK ? 0 : 1;
}

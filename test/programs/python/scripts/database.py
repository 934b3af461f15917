# SQLite in Python, over a database in a file.
#
# usage: database.py FILE
import sqlite3
import sys

with sqlite3.connect(sys.argv[1]) as database:
    database.execute("PRAGMA journal_mode = DELETE")
    database.execute("CREATE TABLE IF NOT EXISTS words (word TEXT PRIMARY KEY, number INTEGER)")
    for number, word in enumerate("one two three two one two".split()):
        database.execute(
            "INSERT INTO words VALUES (?, 1) ON CONFLICT (word) DO UPDATE SET number = number + 1", (word,)
        )
try:
    with database:
        database.execute("DELETE FROM words")
        raise ValueError("undone")
except ValueError as error:
    print(error)
print(database.execute("SELECT * FROM words ORDER BY number, word").fetchall())
print(database.execute("PRAGMA integrity_check").fetchall())
database.close()

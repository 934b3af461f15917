# What WASI has no place for is an exception that says so.
import errno
import os
import subprocess
import threading

for what, call in [
    ("a thread", lambda: threading.Thread(target=print).start()),
    ("a program", lambda: subprocess.run(["/bin/true"])),
    ("os.system", lambda: os.system("true")),
]:
    try:
        call()
        print(what, "is there")
    except (OSError, RuntimeError, AttributeError) as error:
        print(f"{what}: {type(error).__name__}: {error}")

# The standard library over the file system. Prints a line a step: what was done and what came of it, an error by the
# name of its errno.
#
# usage: files.py DIRECTORY
import contextlib
import csv
import errno
import gzip
import hashlib
import io
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile
import zipfile


def step(what, call):
    try:
        print(f"{what}: {call()!r}")
    except OSError as error:
        print(f"{what}: {errno.errorcode.get(error.errno, error)}")


def whole(base):
    step("mkdir", lambda: base.mkdir())
    step("mkdir again", lambda: base.mkdir())
    step("makedirs", lambda: os.makedirs(base / "a/b/c"))
    step("write_text", lambda: (base / "f").write_text("héllo\n" * 3, encoding="utf-8"))
    step("read_bytes", lambda: (base / "f").read_bytes()[:12])
    step("stat", lambda: (lambda found: (found.st_size, found.st_nlink))(os.stat(base / "f")))
    step("utime", lambda: os.utime(base / "f", ns=(5_000_000_000, 1_000_000_000_123_456_789)))
    step("mtime", lambda: os.stat(base / "f").st_mtime_ns)
    step("truncate", lambda: os.truncate(base / "f", 5))
    step("copy", lambda: shutil.copyfile(base / "f", base / "copy") == base / "copy")
    step("replace", lambda: os.replace(base / "copy", base / "a/g"))
    step("open nothing", lambda: open(base / "none"))
    step("open a directory", lambda: open(base))
    step("listdir of a file", lambda: os.listdir(base / "f"))
    step("rmdir", lambda: os.rmdir(base))


def links(base):
    step("symlink", lambda: os.symlink("f", base / "relative"))
    step("symlink, absolute", lambda: os.symlink("/etc/passwd", base / "absolute"))
    step("readlink", lambda: os.readlink(base / "absolute"))
    step("read by it", lambda: len((base / "absolute").read_text()))
    step("islink", lambda: (os.path.islink(base / "relative"), os.path.isfile(base / "relative")))
    step("link", lambda: os.link(base / "f", base / "hard"))
    step("samefile", lambda: os.path.samefile(base / "f", base / "hard"))
    step("realpath", lambda: os.path.realpath(base / "relative") == str(base / "f"))


def handles(base):
    with open(base / "log", "a+") as file:
        step("append", lambda: (file.write("one\n"), file.write("two\n")))
        file.flush()
        step("fsync", lambda: os.fsync(file.fileno()))
        file.seek(0)
        step("lines", lambda: file.readlines())
    descriptor = os.open(base, os.O_RDONLY)
    step("fsync of a directory", lambda: os.fsync(descriptor))
    os.close(descriptor)
    with open(base / "x", "x+b", buffering=0) as file:
        step("sparse", lambda: (file.seek(5 << 30), file.write(b"end"), file.tell()))
        step("truncate", lambda: file.truncate(10))
    step("create again", lambda: open(base / "x", "x"))


def directories(base):
    for number in range(500):
        (base / f"a/b/{number:04}").touch()
    step("scandir", lambda: len([entry for entry in os.scandir(base / "a/b") if entry.is_file()]))
    step("glob", lambda: sorted(str(path.relative_to(base)) for path in base.glob("a/b/00[01]7")))
    step("rmtree", lambda: shutil.rmtree(base / "a/b"))
    for folder, folders, files in sorted(os.walk(base)):
        print("walk", os.path.relpath(folder, base), sorted(folders), sorted(files))
    with tempfile.TemporaryDirectory() as folder:
        step("temporary", lambda: (pathlib.Path(folder) / "f").write_text("x"))
    step("gone", lambda: os.path.exists(folder))


def formats(base):
    data = {"name": "ünïcödé", "numbers": [1, 2.5, None, True], "nested": {"a": ["b"]}}
    (base / "data.json").write_text(json.dumps(data, ensure_ascii=False, indent=1), encoding="utf-8")
    step("json", lambda: json.loads((base / "data.json").read_text(encoding="utf-8")) == data)
    with open(base / "data.csv", "w", newline="") as file:
        csv.writer(file).writerows([["a", 'quo"te', "new\nline"], [1, 2, 3]])
    with open(base / "data.csv", newline="") as file:
        step("csv", lambda: list(csv.reader(file)))
    text = ("".join(random.Random(42).choices("abcdef \n", k=200_000))).encode()
    step("sha256", lambda: hashlib.sha256(text).hexdigest())
    with gzip.open(base / "data.gz", "wb") as file:
        file.write(text)
    with gzip.open(base / "data.gz", "rb") as file:
        step("gzip", lambda: file.read() == text)
    os.remove(base / "data.gz")  # has the time in it
    with zipfile.ZipFile(base / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("inner", (2026, 1, 1, 0, 0, 0)), text)
    with zipfile.ZipFile(base / "data.zip") as archive:
        step("zip", lambda: (archive.testzip(), archive.read("inner") == text))


def streams():
    step("stdin", lambda: len(sys.stdin.read()))
    with contextlib.redirect_stdout(io.StringIO()) as captured:
        print("captured")
    step("captured", lambda: captured.getvalue())
    step("arguments", lambda: sys.argv[2:])
    step("environment", lambda: os.environ.get("COLOUR"))


base = pathlib.Path(sys.argv[1]) / "p"
whole(base)
links(base)
handles(base)
directories(base)
formats(base)
streams()
sys.exit(7)

// QuickJS' own modules `std` and `os` over the file system.
//
// usage: files.js DIRECTORY
import * as std from "qjs:std";
import * as os from "qjs:os";

const base = scriptArgs[1] + "/q";
const step = (what, value) => print(what + ": " + JSON.stringify(value));

step("mkdir", os.mkdir(base, 0o755));
step("mkdir again", os.mkdir(base, 0o755) < 0);
const file = std.open(base + "/f", "w+");
file.puts("one\ntwo\nthrée\n");
file.seek(0, std.SEEK_SET);
step("getline", [file.getline(), file.getline(), file.getline(), file.getline()]);
step("tell", file.tell());
file.close();
step("loadFile", std.loadFile(base + "/f").length);
step("rename", os.rename(base + "/f", base + "/g"));
const [found, problem] = os.stat(base + "/g");
step("stat", [problem, found.size, (found.mode & os.S_IFMT) === os.S_IFREG]);
const [names, error] = os.readdir(base);
step("readdir", [names.sort(), error]);
step("open nothing", std.open(base + "/none", "r"));
const json = std.open(base + "/data.json", "w");
json.puts(JSON.stringify({ list: [1, "two", null], at: new Date(0) }));
json.close();
step("parse", JSON.parse(std.loadFile(base + "/data.json")));
const fd = os.open(base + "/bytes", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644);
step("write", os.write(fd, new Uint8Array([1, 2, 3, 4]).buffer, 0, 4));
step("seek", os.seek(fd, 1, std.SEEK_SET));
const buffer = new Uint8Array(8);
step("read", [os.read(fd, buffer.buffer, 0, 8), Array.from(buffer)]);
step("close", os.close(fd));
step("remove", os.remove(base + "/bytes"));
step("regular expression", "2026-11-30".match(/(?<year>\d+)-(\d+)/u).groups.year);
step("environment", std.getenv("COLOUR"));
step("stdin", std.in.readAsString());
std.err.puts("to the other stream\n");
std.exit(7);

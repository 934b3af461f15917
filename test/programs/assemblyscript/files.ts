// AssemblyScript over as-wasi, whose paths all begin at descriptor 3. Prints a line a step.
//
// usage: files, in the directory where it works
import { CommandLine, Descriptor, Environ, FileSystem, Process, Random, Time } from "as-wasi/assembly";

function text(path: string): string {
  const file = FileSystem.open(path, "r");
  if (file === null) return "(none)";
  const content = (file as Descriptor).readString();
  (file as Descriptor).close();
  return content === null ? "(unread)" : (content as string).trimEnd();
}

function step(what: string, done: bool): void {
  console.log(what + ": " + (done ? "ok" : "failed"));
}

console.log("greeting: " + text("greeting"));
console.log("absolute: " + text("/etc/passwd").slice(0, 4));
console.log("none: " + text("none"));
step("mkdir", FileSystem.mkdir("made"));
step("mkdir again", FileSystem.mkdir("made"));
const file = FileSystem.open("made/f", "w+");
if (file !== null) {
  (file as Descriptor).writeStringLn("one");
  (file as Descriptor).writeStringLn("twö");
  console.log("tell: " + (file as Descriptor).tell().toString());
  step("seek", (file as Descriptor).seek(4, 0));
  const line = (file as Descriptor).readLine();
  console.log("line: " + (line === null ? "(none)" : (line as string)));
  step("sync", (file as Descriptor).fsync());
  (file as Descriptor).close();
}
step("create again", FileSystem.open("made/f", "wx") !== null);
step("rename", FileSystem.rename("made/f", "made/g"));
// Its `exists` and `stat` give the host 56 bytes for the 64 of a filestat.
const names = FileSystem.readdir("made");
if (names !== null) console.log("names: " + (names as Array<string>).sort().join(" "));
step("unlink", FileSystem.unlink("made/g"));
step("rmdir", FileSystem.rmdir("made"));
console.log("arguments: " + CommandLine.all.slice(1).join("|"));
const colour = new Environ().get("COLOUR");
console.log("COLOUR: " + (colour === null ? "(none)" : (colour as string)));
const one = Random.randomBytes(32);
const other = Random.randomBytes(32);
let same = true;
for (let at = 0; at < 32; at++) same = same && one[at] == other[at];
console.log("random: " + (!same).toString());
const start = Date.now();
Time.sleep(30 * Time.MILLISECOND);
console.log("slept: " + (Date.now() - start >= 29).toString());
const input = Descriptor.Stdin.readString();
console.log("input: " + (input === null ? "(none)" : (input as string)));
Process.exit(7);

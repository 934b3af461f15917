//! Zig's std.fs from the working directory. Prints a line a step: what was done, and the error's name if it failed.
//!
//! usage: files, in the directory where it works
const std = @import("std");
const cwd = std.fs.cwd;

fn say(comptime format: []const u8, values: anytype) void {
    std.io.getStdOut().writer().print(format ++ "\n", values) catch {};
}

fn step(what: []const u8, result: anyerror!void) void {
    if (result) |_| say("{s}: ok", .{what}) else |problem| say("{s}: {s}", .{ what, @errorName(problem) });
}

fn read(path: []const u8) anyerror!void {
    var buffer: [200]u8 = undefined;
    const file = try cwd().openFile(path, .{});
    defer file.close();
    const length = try file.readAll(&buffer);
    say("{s}: {d} bytes, {s}", .{ path, length, std.mem.trimRight(u8, buffer[0..length], "\n") });
}

fn write(path: []const u8, text: []const u8) anyerror!void {
    try cwd().writeFile(.{ .sub_path = path, .data = text });
}

fn inPlace() anyerror!void {
    const file = try cwd().createFile("made/in-place", .{ .read = true, .exclusive = true });
    defer file.close();
    try file.writeAll("0123456789");
    try file.seekTo(4);
    try file.writeAll("four");
    try file.pwriteAll("end", 20);
    try file.setEndPos(21);
    const found = try file.stat();
    say("size {d} {s}", .{ found.size, @tagName(found.kind) });
    try file.seekTo(0);
    var buffer: [40]u8 = undefined;
    say("content {s}", .{std.fmt.fmtSliceHexLower(buffer[0..try file.readAll(&buffer)])});
}

fn list(path: []const u8) anyerror!void {
    var names = std.ArrayList([]const u8).init(std.heap.page_allocator);
    var directory = try cwd().openDir(path, .{ .iterate = true });
    defer directory.close();
    var entries = directory.iterate();
    while (try entries.next()) |entry| {
        const name = try std.fmt.allocPrint(std.heap.page_allocator, "{s} {s}", .{ entry.name, @tagName(entry.kind) });
        try names.append(name);
    }
    std.mem.sort([]const u8, names.items, {}, struct {
        fn before(_: void, one: []const u8, other: []const u8) bool {
            return std.mem.order(u8, one, other) == .lt;
        }
    }.before);
    for (names.items) |name| say("found {s}", .{name});
}

fn nested() anyerror!void {
    try cwd().makePath("made/a/b");
    var directory = try cwd().openDir("made/a/b", .{});
    defer directory.close();
    try directory.writeFile(.{ .sub_path = "inner", .data = "inner" });
    try directory.rename("inner", "renamed");
    try directory.copyFile("renamed", cwd(), "made/copy", .{});
    try directory.deleteFile("renamed");
}

fn linked() anyerror!void {
    try cwd().symLink("copy", "made/link", .{});
    var buffer: [std.fs.max_path_bytes]u8 = undefined;
    // Its files are opened without following links on WASI.
    say("link to {s}", .{try cwd().readLink("made/link", &buffer)});
}

fn remove() anyerror!void {
    try cwd().makePath("made/tree/x/y");
    try cwd().deleteTree("made/tree");
    try cwd().access("made/tree", .{});
}

pub fn main() void {
    step("read", read("greeting"));
    step("read nothing", read("none"));
    step("read above", read("../etc/passwd"));
    step("nested directories", nested());
    step("a link", linked());
    step("a file in place", inPlace());
    step("the same again", inPlace());
    step("write", write("made/text", "some text"));
    step("write below a file", write("made/text/x", "x"));
    step("remove a directory that is not empty", cwd().deleteDir("made"));
    step("remove a tree", remove());
    step("list", list("."));
    step("list what was made", list("made"));
}

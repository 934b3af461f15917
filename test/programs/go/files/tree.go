package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// tree makes files, links and directories in a directory, changes them and leaves some.
func tree(directory string) {
	at := func(path string) string { return filepath.Join(directory, path) }
	step("mkdir", os.Mkdir(at("m"), 0o755))
	step("mkdir again", os.Mkdir(at("m"), 0o755))
	step("mkdir all", os.MkdirAll(at("m/a/b/c"), 0o755))
	step("write", os.WriteFile(at("m/f"), []byte("hello world"), 0o644))
	links(at)
	changes(at)
	handles(at)
	refusals(at)
	large(at)
	many(at)
	relative(directory)
	walk(directory)
}

func links(at func(string) string) {
	step("symlink", os.Symlink("f", at("m/relative")))
	step("symlink, absolute", os.Symlink(at("m/f"), at("m/absolute")))
	step("symlink to a directory", os.Symlink("m/a", at("directory")))
	step("symlink to nothing", os.Symlink("/nowhere", at("m/dangling")))
	step("symlink to itself", os.Symlink("loop", at("m/loop")))
	read([]string{at("m/relative"), at("m/absolute"), at("m/dangling"), at("m/loop"), at("directory/../f")})
	step("link", os.Link(at("m/f"), at("m/hard")))
	for _, path := range []string{"m/f", "m/relative", "directory", "m/dangling"} {
		info, err := os.Lstat(at(path))
		step("lstat "+path, err, err == nil && info.Mode()&fs.ModeSymlink != 0, err == nil && info.IsDir())
		info, err = os.Stat(at(path))
		step("stat "+path, err, err == nil && info.Mode().IsRegular(), err == nil && info.IsDir())
	}
	one, _ := os.Stat(at("m/f"))
	other, err := os.Stat(at("m/hard"))
	step("same file", err, os.SameFile(one, other))
}

func changes(at func(string) string) {
	step("rename", os.Rename(at("m/f"), at("m/g")))
	step("write another", os.WriteFile(at("m/old"), []byte("old"), 0o644))
	step("rename over", os.Rename(at("m/old"), at("m/g")))
	step("rename a directory", os.Rename(at("m/a/b"), at("m/moved")))
	step("rename what is not there", os.Rename(at("m/none"), at("m/some")))
	step("truncate", os.Truncate(at("m/hard"), 5))
	step("extend", os.Truncate(at("m/g"), 9))
	read([]string{at("m/hard"), at("m/g")})
	when := time.Unix(1_000_000_000, 123_456_000)
	step("chtimes", os.Chtimes(at("m/g"), when, when))
	info, err := os.Stat(at("m/g"))
	step("mtime", err, info.ModTime().UnixNano(), info.Size())
}

func handles(at func(string) string) {
	file, err := os.OpenFile(at("m/log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	step("open to append", err)
	for _, text := range []string{"one\n", "two\n"} {
		_, err = file.WriteString(text)
		step("append", err)
	}
	step("sync", file.Sync())
	step("close", file.Close())
	step("close again", map[bool]error{true: nil, false: errors.New("no ErrClosed")}[errors.Is(file.Close(), os.ErrClosed)])

	file, err = os.OpenFile(at("m/x"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	step("create", err)
	n, err := file.WriteAt([]byte("Q"), 10)
	step("write at", err, n)
	position, err := file.Seek(-3, io.SeekEnd)
	step("seek", err, position)
	content, err := io.ReadAll(file)
	step("read on", err, fmt.Sprintf("%q", content))
	n, err = file.ReadAt(make([]byte, 4), 9)
	step("read at the end", err, n)
	_, err = file.Seek(-1, io.SeekStart)
	step("seek before the start", err)
	step("truncate the open file", file.Truncate(4))
	info, err := file.Stat()
	step("size", err, info.Size())
	file.Close()
	_, err = os.OpenFile(at("m/x"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	step("create again", err)

	opened, err := os.Open(at("m"))
	step("open a directory", err)
	step("sync a directory", opened.Sync())
	entries, err := opened.ReadDir(2)
	step("read two of its entries", err, len(entries))
	opened.Close()
}

func refusals(at func(string) string) {
	_, err := os.ReadFile(at("m"))
	step("read a directory", err)
	_, err = os.OpenFile(at("m"), os.O_WRONLY, 0)
	step("write a directory", err)
	_, err = os.Open(at("m/g/below"))
	step("open below a file", err)
	_, err = os.Stat(at("m/none"))
	step("stat what is not there", err, os.IsNotExist(err))
	step("remove a directory that is not empty", os.Remove(at("m/a/..")))
	_, err = os.Create(at("m/" + string(bytes.Repeat([]byte("n"), 256))))
	step("a name that is too long", err)
	_, err = os.Open("/dev/null")
	step("open /dev/null", err)
}

// large writes a byte behind 5 GiB of nothing.
func large(at func(string) string) {
	file, err := os.Create(at("m/large"))
	step("create a large file", err)
	_, err = file.WriteAt([]byte("end"), 5<<30)
	step("write behind 5 GiB", err)
	info, err := file.Stat()
	step("its size", err, info.Size())
	tail := make([]byte, 3)
	_, err = file.ReadAt(tail, 5<<30)
	step("its end", err, string(tail))
	file.Close()
	step("remove it", os.Remove(at("m/large")))
}

func many(at func(string) string) {
	for number := range 1000 {
		if err := os.WriteFile(at(fmt.Sprintf("m/a/file-%04d-with-a-name-of-some-length", number)), nil, 0o644); err != nil {
			step("many files", err)
		}
	}
	entries, err := os.ReadDir(at("m/a"))
	step("list many files", err, len(entries), entries[0].Name(), entries[len(entries)-1].Name())
	step("remove all", os.RemoveAll(at("m/a")))
	_, err = os.Stat(at("directory"))
	step("what led there", err)
	temporary, err := os.MkdirTemp("", "go-")
	step("a temporary directory", err)
	file, err := os.CreateTemp(temporary, "file-*")
	step("a temporary file", err)
	file.Close()
	step("remove both", os.RemoveAll(temporary))
}

// relative goes to a directory, which wasip1's Go keeps for itself, and beyond it in an os.Root.
func relative(directory string) {
	step("chdir", os.Chdir(directory))
	now, err := os.Getwd()
	step("getwd", err, now)
	read([]string{"m/g", "./m/../m/log"})
	root, err := os.OpenRoot(".")
	step("open a root", err)
	file, err := root.Create("by-root")
	step("create in it", err)
	file.Close()
	_, err = root.Open("../etc/passwd")
	step("leave it", map[bool]error{true: nil, false: errors.New("left")}[err != nil])
	step("remove in it", root.Remove("by-root"))
}

func walk(directory string) {
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err == nil {
			fmt.Println("found", path, entry.IsDir(), entry.Type()&fs.ModeSymlink != 0)
		}
		return err
	})
	step("walk", err)
}

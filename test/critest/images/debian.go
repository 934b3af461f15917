package main

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// debian is the root of a Debian tree that programs are taken from.
type debian string

// Where Debian's amd64 keeps libraries, and where it names the dynamic linker.
var (
	libraries = []string{"lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"}
	linker    = "lib64/ld-linux-x86-64.so.2"
)

// program adds a program under its own path in the tree, with every library that it is linked with.
func (d debian) program(to layer, path string) error {
	if _, there := to[path]; there {
		return nil
	}
	content, err := os.ReadFile(filepath.Join(string(d), path))
	if err != nil {
		return err
	}
	to.file(path, 0o755, content)
	needed, err := d.needed(path)
	if err != nil {
		return err
	}
	for _, name := range needed {
		if err := d.library(to, name); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func (d debian) needed(path string) ([]string, error) {
	file, err := elf.Open(filepath.Join(string(d), path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer file.Close()
	return file.ImportedLibraries()
}

// library adds the library of that name. What the tree has as a link becomes a file, as only that name is looked for.
func (d debian) library(to layer, name string) error {
	if name == filepath.Base(linker) {
		return d.program(to, linker)
	}
	for _, folder := range libraries {
		path := filepath.Join(folder, name)
		if _, err := os.Stat(filepath.Join(string(d), path)); err == nil {
			return d.program(to, path)
		}
	}
	return fmt.Errorf("the tree has no library %s", name)
}

// applets are the names that the tree's busybox answers to.
func (d debian) applets() ([]string, error) {
	list, err := exec.Command("chroot", string(d), "busybox", "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("busybox --list: %w", err)
	}
	return strings.Fields(string(list)), nil
}

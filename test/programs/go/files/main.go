// The file system, time zones and compression as Go's standard library uses them. Each command prints one line a step:
// what was done and what came of it, an error by the name of its errno, as its text differs between systems.
//
// usage: files tree DIRECTORY | read PATH… | write PATH TEXT | walk DIRECTORY | zone NAME… | gzip FILE <INPUT
package main

import (
	"fmt"
	"os"
)

var commands = map[string]func(arguments []string){
	"tree":  func(arguments []string) { tree(arguments[0]) },
	"read":  read,
	"write": func(arguments []string) { step("write", os.WriteFile(arguments[0], []byte(arguments[1]), 0o644)) },
	"walk":  func(arguments []string) { walk(arguments[0]) },
	"zone":  zone,
	"gzip":  func(arguments []string) { compress(arguments[0]) },
}

func main() {
	if len(os.Args) < 3 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: files tree|read|write|walk|zone|gzip ARGUMENT…")
		os.Exit(2)
	}
	commands[os.Args[1]](os.Args[2:])
	if failed {
		os.Exit(1)
	}
}

// read prints each file, and where a link of that name leads.
func read(paths []string) {
	for _, path := range paths {
		content, err := os.ReadFile(path)
		step("read "+path, err, string(content))
		if target, err := os.Readlink(path); err == nil {
			step("link "+path, nil, target)
		}
	}
}

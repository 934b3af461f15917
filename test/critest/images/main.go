// images writes the images that critest asks for, made of a Debian tree and two small programs, for `registry` to serve:
//
//	images TREE PROGRAMS FOLDER
//
// TREE has Debian's busybox, nginx, procps and util-linux; PROGRAMS has the static programs `pause` and `nonewprivs`.
package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: images TREE PROGRAMS FOLDER")
		os.Exit(2)
	}
	if err := run(debian(os.Args[1]), os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(tree debian, programs, folder string) error {
	images, err := all(tree, programs)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	for _, one := range images {
		if err := one.write(folder); err != nil {
			return fmt.Errorf("%s: %w", one.references[0], err)
		}
	}
	return nil
}

func all(tree debian, programs string) ([]image, error) {
	busybox, err := busyboxLayer(tree)
	if err != nil {
		return nil, err
	}
	nginx := layer{}
	if err := tree.program(nginx, "usr/sbin/nginx"); err != nil {
		return nil, err
	}
	pause, err := programLayer(programs, "pause", 0o755)
	if err != nil {
		return nil, err
	}
	setUID, err := programLayer(programs, "nonewprivs", 0o4755)
	if err != nil {
		return nil, err
	}
	images := []image{
		// The sandbox of every pod, and an image that critest counts the tags of: two images.
		{[]string{"pause:latest"}, []layer{pause}, config{Cmd: []string{"/pause"}}},
		{[]string{"pause:3.9"}, []layer{pause}, config{Cmd: []string{"/pause"}}},
		{[]string{"e2e-test-images/busybox:1.29-2"}, []layer{busybox}, shell},
		{[]string{"e2e-test-images/nonewprivs:1.3"}, []layer{setUID}, config{Cmd: []string{"/nonewprivs"}}},
		{[]string{"e2e-test-images/httpd:2.4.39-4"}, []layer{busybox, httpd()}, httpdCommand},
		{[]string{"e2e-test-images/nginx:1.14-2"}, []layer{busybox, nginx, nginxFiles(80)}, nginxCommand},
		{[]string{staging + "hostnet-nginx-amd64:latest"}, []layer{busybox, nginx, nginxFiles(12003)}, nginxCommand},
	}
	return append(images, namesOnly(busybox)...), nil
}

// Where the project critest belongs to keeps its own images.
const staging = "k8s-staging-cri-tools/"

var shell = config{Cmd: []string{"sh"}}

// namesOnly are the images that are pulled, listed and removed, or that a container's user comes from.
func namesOnly(busybox layer) []image {
	user := func(name, user string) image {
		return image{[]string{staging + name + ":latest"}, []layer{busybox}, config{User: user, Cmd: shell.Cmd}}
	}
	images := []image{
		user("test-image-user-uid", "1002"),
		user("test-image-user-username", "www-data"),
		user("test-image-user-uid-group", "1003:users"),
		user("test-image-user-username-group", "www-data:100"),
		user("test-image-predefined-group", "1000"),
	}
	for _, references := range [][]string{
		{"test-image-latest:latest"},
		{"test-image-tag:test"},
		{"test-image-tag:all"},
		{"test-image-1:latest"},
		{"test-image-2:latest"},
		{"test-image-3:latest"},
		{"test-image-tags:1", "test-image-tags:2", "test-image-tags:3"},
	} {
		for index := range references {
			references[index] = staging + references[index]
		}
		images = append(images, image{references, []layer{busybox}, shell})
	}
	return images
}

// busyboxLayer is a root file system with users and tools. Applets are hard links: critest masks /bin/ls and expects
// that of all names only this one is gone, which a link by name would not give.
func busyboxLayer(tree debian) (layer, error) {
	tools := layer{}
	for _, path := range []string{"bin/busybox", "usr/bin/ipcs", "usr/bin/pgrep"} {
		if err := tree.program(tools, path); err != nil {
			return nil, err
		}
	}
	applets, err := tree.applets()
	if err != nil {
		return nil, err
	}
	for _, name := range applets {
		tools.hardLink("bin/"+name, "bin/busybox")
	}
	users := layer{}
	users.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/false\n"+
		"default-user:x:1000:1000::/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
	users.text("etc/group", "root:x:0:\nwww-data:x:33:\nusers:x:100:\ndefault-user:x:1000:\n"+
		"group-defined-in-image:x:50000:default-user\nnogroup:x:65534:\n")
	users.folder("tmp", 0o1777)
	users.folder("root", 0o700)
	maps.Copy(tools, users)
	return tools, nil
}

func programLayer(folder, name string, mode int64) (layer, error) {
	content, err := os.ReadFile(filepath.Join(folder, name))
	alone := layer{}
	alone.file(name, mode, content)
	return alone, err
}

// critest looks for "httpd" in what the server prints; busybox's prints nothing.
var httpdCommand = config{Cmd: []string{"sh", "-c", "echo httpd; exec httpd -f -h /var/www"}}

func httpd() layer {
	pages := layer{}
	pages.text("var/www/index.html", "It works.\n")
	return pages
}

var nginxCommand = config{Cmd: []string{"nginx", "-g", "daemon off;"}}

func nginxFiles(port int) layer {
	files := layer{}
	files.text("etc/nginx/nginx.conf", fmt.Sprintf(`user root;
worker_processes 1;
pid /var/run/nginx.pid;
error_log stderr;
events { }
http {
    access_log off;
    server {
        listen %d;
        root /usr/share/nginx/html;
    }
}
`, port))
	files.text("usr/share/nginx/html/index.html", "It works.\n")
	for _, folder := range []string{"var/run", "var/log/nginx", "var/lib/nginx"} {
		files.folder(folder, 0o755)
	}
	return files
}

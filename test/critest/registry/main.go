// registry serves what `images` has written, read-only, and runs a command meanwhile:
//
//	registry ADDRESS FOLDER COMMAND…
//
// It answers what containerd's pull asks (OCI distribution-spec, "Pull"), whatever registry the client takes it for. Its
// exit code is the command's.
package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	blobType     = "application/octet-stream"
)

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: registry ADDRESS FOLDER COMMAND…")
		os.Exit(2)
	}
	code, err := serveWhile(os.Args[1], os.Args[2], os.Args[3:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "registry:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func serveWhile(address, folder string, command []string) (int, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return 0, err
	}
	go func() {
		fmt.Fprintln(os.Stderr, "registry:", http.Serve(listener, handler{folder}))
	}()
	child := exec.Command(command[0], command[1:]...)
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = child.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	}
	return 0, err
}

type handler struct{ folder string }

func (h handler) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodGet && request.Method != http.MethodHead {
		http.Error(answer, "this registry is read-only", http.StatusMethodNotAllowed)
		return
	}
	path := strings.Trim(strings.TrimPrefix(request.URL.Path, "/v2"), "/")
	if path == "" { // "does it speak this version?"
		return
	}
	digest, kind, err := h.find(path)
	if err != nil {
		http.Error(answer, err.Error(), http.StatusNotFound)
		return
	}
	answer.Header().Set("Content-Type", kind)
	answer.Header().Set("Docker-Content-Digest", digest)
	http.ServeFile(answer, request, filepath.Join(h.folder, "blobs", digest))
}

// find gives the digest and the media type of NAME/manifests/REFERENCE or NAME/blobs/DIGEST. A manifest is a blob too,
// and a tag is a file that holds its digest.
func (h handler) find(path string) (digest, kind string, err error) {
	name, reference, found := cut(path, "/manifests/")
	if found {
		kind = manifestType
	} else if name, reference, found = cut(path, "/blobs/"); found {
		kind = blobType
	} else {
		return "", "", errors.New("neither a manifest nor a blob")
	}
	if strings.HasPrefix(reference, "sha256:") {
		return reference, kind, nil
	}
	content, err := os.ReadFile(filepath.Join(h.folder, "tags", name, reference))
	return string(content), kind, err
}

func cut(path, separator string) (name, reference string, found bool) {
	at := strings.LastIndex(path, separator)
	if at < 0 {
		return "", "", false
	}
	return path[:at], path[at+len(separator):], true
}

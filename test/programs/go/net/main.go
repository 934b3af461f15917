// HTTP and UDP by Go's standard library, over the published package github.com/stealthrocket/net where the standard
// library has no sockets.
//
// usage: net serve ADDRESS | get URL [TIMES] | post URL BYTES | answer ADDRESS | ask ADDRESS TEXT…
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: net serve|get|post|answer|ask ADDRESS …")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "net:", err)
		os.Exit(1)
	}
}

func run(command, address string, more []string) error {
	number := 1
	if len(more) > 0 {
		number, _ = strconv.Atoi(more[0])
	}
	switch command {
	case "serve":
		return serve(address)
	case "get":
		for range number {
			if err := print(client().Get(address)); err != nil {
				return err
			}
		}
		return nil
	case "post":
		body := bytes.Repeat([]byte("0123456789abcdef"), number/16)
		return print(client().Post(address, "application/octet-stream", bytes.NewReader(body)))
	case "answer":
		return answer(address)
	case "ask":
		return ask(address, more)
	}
	return fmt.Errorf("no such command: %s", command)
}

func serve(address string) error {
	http.HandleFunc("/", func(to http.ResponseWriter, from *http.Request) { fmt.Fprintln(to, "hello from go", from.URL) })
	http.HandleFunc("/echo", func(to http.ResponseWriter, from *http.Request) { io.Copy(to, from.Body) })
	http.HandleFunc("/big", func(to http.ResponseWriter, _ *http.Request) {
		for range 1024 {
			to.Write(bytes.Repeat([]byte("z"), 1024))
		}
	})
	listener, err := listen(address)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	return http.Serve(listener, nil)
}

// one is kept, so that several requests share a connection.
var one *http.Client

func client() *http.Client {
	if one == nil {
		one = &http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: 30 * time.Second}
	}
	return one
}

func print(response *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	fmt.Println(response.Status, len(body), fmt.Sprintf("%x", sha256.Sum256(body)))
	return err
}

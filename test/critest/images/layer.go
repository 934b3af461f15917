package main

import (
	"archive/tar"
	"bytes"
	"path"
	"sort"
	"strings"
)

// layer is one layer of an image: what it holds by the path from the image's root, without a leading slash. Folders on
// the way appear by themselves.
type layer map[string]entry

type entry struct {
	kind   byte // of archive/tar
	mode   int64
	bytes  []byte
	target string // of a link
}

func (l layer) file(path string, mode int64, content []byte) {
	l.add(path, entry{kind: tar.TypeReg, mode: mode, bytes: content})
}

func (l layer) text(path, content string) { l.file(path, 0o644, []byte(content)) }

func (l layer) folder(path string, mode int64) { l.add(path, entry{kind: tar.TypeDir, mode: mode}) }

func (l layer) hardLink(path, target string) {
	l.add(path, entry{kind: tar.TypeLink, mode: 0o755, target: target})
}

func (l layer) add(name string, what entry) {
	for above := path.Dir(name); above != "."; above = path.Dir(above) {
		if _, there := l[above]; !there {
			l[above] = entry{kind: tar.TypeDir, mode: 0o755}
		}
	}
	l[name] = what
}

// tar writes the layer, the same bytes for the same contents: sorted, no times, hard links after what they link to.
func (l layer) tar() ([]byte, error) {
	names := make([]string, 0, len(l))
	for name := range l {
		names = append(names, name)
	}
	sort.Slice(names, func(a, b int) bool {
		one, other := l[names[a]].kind == tar.TypeLink, l[names[b]].kind == tar.TypeLink
		if one != other {
			return other
		}
		return strings.Compare(names[a], names[b]) < 0
	})
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	for _, name := range names {
		what := l[name]
		header := tar.Header{
			Typeflag: what.kind, Name: name, Mode: what.mode, Size: int64(len(what.bytes)), Linkname: what.target,
		}
		if err := archive.WriteHeader(&header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(what.bytes); err != nil {
			return nil, err
		}
	}
	err := archive.Close()
	return buffer.Bytes(), err
}

package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// image is an image under all the references that lead to it, NAME:TAG without a registry: ours stands in for each.
type image struct {
	references []string
	layers     []layer
	config     config
}

// config is what a container of the image does unless told otherwise (OCI image-spec, "Image Configuration").
type config struct {
	User   string            `json:"User,omitempty"`
	Env    []string          `json:"Env,omitempty"`
	Cmd    []string          `json:"Cmd,omitempty"`
	Labels map[string]string `json:"Labels,omitempty"`
}

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int    `json:"size"`
}

// write adds the image to what `registry` serves: blobs/DIGEST, and tags/NAME/TAG with the manifest's digest.
func (i image) write(folder string) error {
	var layers []descriptor
	var digests []string
	for _, one := range i.layers {
		content, err := one.tar()
		if err != nil {
			return err
		}
		blob, err := writeBlob(folder, "application/vnd.oci.image.layer.v1.tar", content)
		if err != nil {
			return err
		}
		layers, digests = append(layers, blob), append(digests, blob.Digest)
	}
	settings, err := writeJSON(folder, "application/vnd.oci.image.config.v1+json", map[string]any{
		"architecture": "amd64", "os": "linux", "created": "1970-01-01T00:00:00Z", "config": i.named(),
		"rootfs": map[string]any{"type": "layers", "diff_ids": digests},
	})
	if err != nil {
		return err
	}
	const kind = "application/vnd.oci.image.manifest.v1+json"
	manifest, err := writeJSON(folder, kind, map[string]any{
		"schemaVersion": 2, "mediaType": kind, "config": settings, "layers": layers,
	})
	if err != nil {
		return err
	}
	for _, reference := range i.references {
		path := filepath.Join(folder, "tags", strings.ReplaceAll(reference, ":", "/"))
		if err := writeFile(path, []byte(manifest.Digest)); err != nil {
			return err
		}
	}
	return nil
}

// named marks the configuration: critest counts the tags of an image, so no two images may be the same bytes.
func (i image) named() config {
	named := i.config
	named.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	named.Labels = map[string]string{"image": i.references[0]}
	return named
}

func writeJSON(folder, kind string, content any) (descriptor, error) {
	text, err := json.Marshal(content)
	if err != nil {
		return descriptor{}, err
	}
	return writeBlob(folder, kind, text)
}

func writeBlob(folder, kind string, content []byte) (descriptor, error) {
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(content))
	err := writeFile(filepath.Join(folder, "blobs", digest), content)
	return descriptor{kind, digest, len(content)}, err
}

func writeFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

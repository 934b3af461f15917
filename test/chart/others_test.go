package chart

import (
	"archive/tar"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// archive makes what is released: the program, alone, at the root.
func archive(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "containerd-shim-wasmedge-v1-linux-amd64.tar.gz")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	zipped := gzip.NewWriter(file)
	writer := tar.NewWriter(zipped)
	if err := writer.WriteHeader(&tar.Header{Name: "containerd-shim-wasmedge-v1", Mode: 0o755, Size: 4}); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Write([]byte("shim")); err != nil {
		t.Fatal(err)
	}
	for _, closer := range []interface{ Close() error }{writer, zipped, file} {
		if err := closer.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestTheExtensionOfTalosHasItsManifestAndOnlyFilesThatItMayHave(t *testing.T) {
	directory := t.TempDir()
	if out, err := exec.Command(deploy+"/talos/extension", archive(t), directory).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var files []string
	err := filepath.WalkDir(directory, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			info, _ := entry.Info()
			files = append(files, strings.TrimPrefix(path, directory)+" "+info.Mode().String())
		}
		return err
	})
	expected := "/manifest.yaml -rw-r--r--\n/rootfs/etc/cri/conf.d/10-wasmedge.part -rw-r--r--\n/rootfs/usr/local/bin/containerd-shim-wasmedge-v1 -rwxr-xr-x"
	if found := strings.Join(files, "\n"); err != nil || found != expected {
		t.Errorf("%v:\n%s", err, found)
	}
	var manifest struct {
		Version  string `json:"version"`
		Metadata struct {
			Name          string            `json:"name"`
			Version       string            `json:"version"`
			Author        string            `json:"author"`
			Description   string            `json:"description"`
			Compatibility map[string]object `json:"compatibility"`
		} `json:"metadata"`
	}
	if err := yaml.UnmarshalStrict([]byte(read(t, "talos/manifest.yaml")), &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.Version != "v1alpha1" || manifest.Metadata.Version != version(t) {
		t.Errorf("%+v", manifest)
	}
}

// version answers that of the programs.
func version(t *testing.T) string {
	t.Helper()
	match := regexp.MustCompile(`(?m)^version = "(.*)"$`).FindStringSubmatch(read(t, "../Cargo.toml"))
	if match == nil {
		t.Fatal("Cargo.toml has no version")
	}
	return match[1]
}

func TestTheChartIsOfTheVersionOfThePrograms(t *testing.T) {
	var about struct{ Version, AppVersion string }
	if err := yaml.Unmarshal([]byte(read(t, "helm/containerd-shim-wasmedge/Chart.yaml")), &about); err != nil {
		t.Fatal(err)
	}
	if about.AppVersion != version(t) || about.Version != version(t) {
		t.Errorf("%+v, not %s", about, version(t))
	}
	if nix := read(t, "nixos/containerd-shim-wasmedge.nix"); !strings.Contains(nix, `version = "`+version(t)+`"`) {
		t.Error("the module for NixOS is of another version")
	}
}

func TestNothingInDeployNamesARegistry(t *testing.T) {
	registry := regexp.MustCompile(`[a-z0-9-]+\.(io|com|dev|org|net)/[a-z0-9-]+/|localhost:`)
	allowed := regexp.MustCompile(`docs|json-schema\.org|kustomize\.config\.k8s\.io|kubernetes\.io/`)
	err := filepath.WalkDir(deploy, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range registry.FindAllString(string(text), -1) {
			if !allowed.MatchString(found) {
				t.Errorf("%s: %s", path, found)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

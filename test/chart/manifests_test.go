package chart

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	nodev1 "k8s.io/api/node/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deploy, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func kustomize(t *testing.T, directory string) string {
	t.Helper()
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(deploy, directory))
	if err != nil {
		t.Fatal(err)
	}
	text, err := made.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestThePlainManifestsAreThoseOfTheChart(t *testing.T) {
	directory := t.TempDir()
	if out, err := exec.Command(deploy+"/kubernetes/generate", directory).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range []string{"install.yaml", "leave.yaml", "verification.yaml"} {
		made, err := os.ReadFile(filepath.Join(directory, name))
		if err != nil {
			t.Fatal(err)
		}
		there := read(t, "kubernetes/"+name)
		if there != string(made) {
			t.Errorf("deploy/kubernetes/%s is not what deploy/kubernetes/generate makes", name)
		}
		decode(t, there)
	}
}

func TestThePlainManifestsHaveAllPodsOfTheChart(t *testing.T) {
	text := read(t, "kubernetes/install.yaml") + "\n---\n" + read(t, "kubernetes/leave.yaml") + "\n---\n" + read(t, "kubernetes/verification.yaml")
	plain := pods(decode(t, text))
	words := []string{"template", "wasmedge", chart, "--namespace", "containerd-shim-wasmedge"}
	out, err, failed := helm(t, words...)
	if failed != nil {
		t.Fatal(err)
	}
	ofChart := pods(decode(t, out))
	// Without Helm the label is taken away by kubectl.
	delete(ofChart, "Job wasmedge-forget")
	if len(plain) != len(ofChart) {
		t.Errorf("%d, not %d", len(plain), len(ofChart))
	}
	for what, pod := range ofChart {
		if !reflect.DeepEqual(plain[what], pod) {
			t.Errorf("%s differs", what)
		}
	}
}

func TestTheKustomizationsAreTheManifests(t *testing.T) {
	base := decode(t, kustomize(t, "kubernetes"))
	if made := decode(t, read(t, "kubernetes/install.yaml")); len(base) != len(made)+1 {
		t.Errorf("%d objects, not %d and a namespace", len(base), len(made))
	}
	k3s := decode(t, kustomize(t, "kustomize/k3s"))
	if classes := all[*nodev1.RuntimeClass](k3s); len(classes) != 0 || len(k3s) != len(base)-1 {
		t.Errorf("%+v", classes)
	}
	for _, set := range all[*appsv1.DaemonSet](k3s) {
		if command := set.Spec.Template.Spec.InitContainers[0].Command; !slices.Contains(command, "--runtime=k3s") {
			t.Errorf("%s: %v", set.Name, command)
		}
	}
}

func TestTheRuntimeClassForNodesThatAreSetUpByHandIsOne(t *testing.T) {
	if classes := all[*nodev1.RuntimeClass](decode(t, read(t, "kubernetes/runtimeclass.yaml"))); len(classes) != 1 {
		t.Errorf("%+v", classes)
	}
}

// Shim is what runtime-class-manager takes (api/v1alpha1/shim_types.go of its version 0.2).
type Shim struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   map[string]string `json:"metadata"`
	Spec       struct {
		NodeSelector  map[string]string `json:"nodeSelector"`
		FetchStrategy struct {
			Platforms []struct {
				OS       string `json:"os"`
				Arch     string `json:"arch"`
				Location string `json:"location"`
				SHA256   string `json:"sha256"`
			} `json:"platforms"`
		} `json:"fetchStrategy"`
		RuntimeClass struct {
			Name    string `json:"name"`
			Handler string `json:"handler"`
		} `json:"runtimeClass"`
		RolloutStrategy struct {
			Type string `json:"type"`
		} `json:"rolloutStrategy"`
		ContainerdRuntimeOptions map[string]string `json:"containerdRuntimeOptions"`
	} `json:"spec"`
}

func TestTheShimOfRuntimeClassManagerIsNamedAsItsFile(t *testing.T) {
	var shim Shim
	if err := yaml.UnmarshalStrict([]byte(read(t, "rcm/shim.yaml")), &shim); err != nil {
		t.Fatal(err)
	}
	if shim.APIVersion != "runtime.spinkube.dev/v1alpha1" || shim.Kind != "Shim" {
		t.Errorf("%s %s", shim.APIVersion, shim.Kind)
	}
	// It copies the file containerd-shim-NAME from the archive's root.
	if shim.Metadata["name"] != "wasmedge-v1" || shim.Spec.RuntimeClass.Name != "wasmedge" {
		t.Errorf("%+v", shim)
	}
	// "rolling" is not implemented there.
	if shim.Spec.RolloutStrategy.Type != "recreate" {
		t.Errorf("%s", shim.Spec.RolloutStrategy.Type)
	}
	location := regexp.MustCompile(`^\$\{RELEASES\}/containerd-shim-wasmedge-v1-linux-(amd64|arm64)\.tar\.gz$`)
	var archs []string
	for _, platform := range shim.Spec.FetchStrategy.Platforms {
		match := location.FindStringSubmatch(platform.Location)
		if platform.OS != "linux" || match == nil || match[1] != platform.Arch || platform.SHA256 != "${SHA256_"+map[string]string{"amd64": "AMD64", "arm64": "ARM64"}[platform.Arch]+"}" {
			t.Errorf("%+v", platform)
		}
		archs = append(archs, platform.Arch)
	}
	if !slices.Equal(archs, []string{"amd64", "arm64"}) {
		t.Errorf("%v", archs)
	}
}

func TestTheProgramsNameIsOneThatRancherDesktopTakes(t *testing.T) {
	if name := regexp.MustCompile(`^containerd-shim-([-a-z]+)-v\d+$`).FindStringSubmatch("containerd-shim-wasmedge-v1"); name == nil || name[1] != "wasmedge" {
		t.Errorf("%v", name)
	}
}

// Package chart tests deploy/: the Helm chart, the plain manifests and kustomizations made of it, and what else is there for
// Kubernetes. HELM is the program helm; `make chart-test` builds it.
package chart

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

const (
	deploy    = "../../deploy"
	chart     = deploy + "/helm/containerd-shim-wasmedge"
	release   = "shim"
	namespace = "wasm"
	label     = "containerd-shim-wasmedge/ready"
)

// helm runs it and answers both outputs.
func helm(t *testing.T, words ...string) (string, string, error) {
	t.Helper()
	program := os.Getenv("HELM")
	if program == "" {
		t.Fatal("HELM is not set: make chart-test")
	}
	var out, err bytes.Buffer
	command := exec.Command(program, words...)
	command.Stdout, command.Stderr = &out, &err
	failed := command.Run()
	return out.String(), err.String(), failed
}

// render answers the objects of the chart with these values, hooks included.
func render(t *testing.T, values ...string) []runtime.Object {
	t.Helper()
	words := []string{"template", release, chart, "--namespace", namespace}
	for _, value := range values {
		words = append(words, "--set-json", value)
	}
	out, err, failed := helm(t, words...)
	if failed != nil {
		t.Fatalf("%v: %v: %s", values, failed, err)
	}
	return decode(t, out)
}

// decode reads YAML documents as objects of Kubernetes. Fields that those do not have are errors.
func decode(t *testing.T, documents string) []runtime.Object {
	t.Helper()
	options := json.SerializerOptions{Yaml: true, Strict: true}
	reader := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, options)
	var objects []runtime.Object
	for _, document := range strings.Split("\n"+documents, "\n---") {
		var content any
		if err := yaml.Unmarshal([]byte(document), &content); err != nil {
			t.Fatalf("%v in:\n%s", err, document)
		}
		if content == nil {
			continue
		}
		object, _, err := reader.Decode([]byte(document), nil, nil)
		if err != nil {
			t.Fatalf("%v in:\n%s", err, document)
		}
		objects = append(objects, object)
	}
	return objects
}

// all answers the objects of one type.
func all[T runtime.Object](objects []runtime.Object) []T {
	var found []T
	for _, object := range objects {
		if object, ok := object.(T); ok {
			found = append(found, object)
		}
	}
	return found
}

// pods answers the pods that objects make, by what makes them.
func pods(objects []runtime.Object) map[string]corev1.PodSpec {
	found := map[string]corev1.PodSpec{}
	for _, object := range objects {
		switch object := object.(type) {
		case *appsv1.DaemonSet:
			found["DaemonSet "+object.Name] = object.Spec.Template.Spec
		case *appsv1.Deployment:
			found["Deployment "+object.Name] = object.Spec.Template.Spec
		case *batchv1.Job:
			found["Job "+object.Name] = object.Spec.Template.Spec
		case *corev1.Pod:
			found["Pod "+object.Name] = object.Spec
		}
	}
	return found
}

// containers answers the init containers and the others.
func containers(pod corev1.PodSpec) []corev1.Container {
	return append(append([]corev1.Container{}, pod.InitContainers...), pod.Containers...)
}

// named answers the container of this name in any of the pods.
func named(t *testing.T, objects []runtime.Object, name string) corev1.Container {
	t.Helper()
	for _, pod := range pods(objects) {
		for _, container := range containers(pod) {
			if container.Name == name {
				return container
			}
		}
	}
	t.Fatalf("there is no container %s", name)
	return corev1.Container{}
}

// ways answers each mode with each distribution, as values.
func ways() map[string][]string {
	ways := map[string][]string{}
	for _, mode := range []string{"daemonset", "job"} {
		for _, distribution := range []string{"auto", "k8s", "k3s", "rke2", "k0s", "microk8s"} {
			values := []string{fmt.Sprintf("mode=%q", mode), fmt.Sprintf("distribution=%q", distribution)}
			if mode == "job" {
				values = append(values, `job.nodes=["one","two"]`)
			}
			ways[mode+" "+distribution] = values
		}
	}
	return ways
}

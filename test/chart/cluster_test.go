package chart

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type object = map[string]any

// cluster answers what Helm asks an API server of: versions, kinds, and the objects that the chart looks up. It answers the
// file by which Helm finds it.
func cluster(t *testing.T, nodes []object, classes map[string]object) string {
	t.Helper()
	answers := map[string]any{
		"/version":      object{"major": "1", "minor": "36", "gitVersion": "v1.36.3"},
		"/api":          metav1.APIVersions{Versions: []string{"v1"}},
		"/api/v1/nodes": object{"apiVersion": "v1", "kind": "NodeList", "items": nodes},
	}
	var groups metav1.APIGroupList
	for version, kinds := range map[string]string{
		"v1":                              "Node ServiceAccount Pod",
		"admissionregistration.k8s.io/v1": "ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding",
		"apps/v1":                         "DaemonSet Deployment",
		"batch/v1":                        "Job",
		"node.k8s.io/v1":                  "RuntimeClass",
		"rbac.authorization.k8s.io/v1":    "ClusterRole ClusterRoleBinding",
	} {
		list := metav1.APIResourceList{GroupVersion: version}
		for _, kind := range strings.Fields(kinds) {
			plural := strings.TrimSuffix(strings.ToLower(kind), "s") + "s"
			switch kind {
			case "RuntimeClass":
				plural = "runtimeclasses"
			case "ValidatingAdmissionPolicy":
				plural = "validatingadmissionpolicies"
			}
			namespaced := !strings.Contains("Node RuntimeClass ClusterRole ClusterRoleBinding ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding", kind)
			list.APIResources = append(list.APIResources, metav1.APIResource{Name: plural, Kind: kind, Namespaced: namespaced,
				Verbs: metav1.Verbs{"get", "list", "create"}})
		}
		group, _, grouped := strings.Cut(version, "/")
		if !grouped {
			answers["/api/v1"] = list
			continue
		}
		answers["/apis/"+version] = list
		found := metav1.GroupVersionForDiscovery{GroupVersion: version, Version: "v1"}
		groups.Groups = append(groups.Groups, metav1.APIGroup{Name: group, Versions: []metav1.GroupVersionForDiscovery{found}, PreferredVersion: found})
	}
	answers["/apis"] = groups
	for name, class := range classes {
		answers["/apis/node.k8s.io/v1/runtimeclasses/"+name] = class
	}
	server := httptest.NewServer(http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		writer.Header().Set("Content-Type", "application/json")
		answer, known := answers[strings.TrimSuffix(request.URL.Path, "/")]
		if !known {
			writer.WriteHeader(http.StatusNotFound)
			answer = metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: metav1.StatusReasonNotFound, Code: 404}
		}
		if err := json.NewEncoder(writer).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	config := object{"apiVersion": "v1", "kind": "Config", "current-context": "a",
		"clusters": []object{{"name": "a", "cluster": object{"server": server.URL}}},
		"contexts": []object{{"name": "a", "context": object{"cluster": "a"}}}}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// renderIn answers the chart's manifests as `helm install` would make them in this cluster.
func renderIn(t *testing.T, kubeconfig string, values ...string) (string, string, error) {
	t.Helper()
	words := []string{"template", release, chart, "--namespace", namespace, "--kubeconfig", kubeconfig, "--dry-run=server", "--disable-openapi-validation"}
	for _, value := range values {
		words = append(words, "--set-json", value)
	}
	return helm(t, words...)
}

func runtimeClass(manager string, annotations object) object {
	return object{"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "handler": "wasmedge",
		"metadata": object{"name": "wasmedge", "annotations": annotations, "labels": object{"app.kubernetes.io/managed-by": manager}}}
}

func node(name string, labels object) object {
	return object{"apiVersion": "v1", "kind": "Node", "metadata": object{"name": name, "labels": labels}}
}

func TestARuntimeClassThatIsThereIsLeftAloneUnlessItIsTheCharts(t *testing.T) {
	own := object{"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace}
	for _, trial := range []struct {
		what    string
		classes map[string]object
		count   int
	}{
		{"none", nil, 1},
		{"made by k3s", map[string]object{"wasmedge": runtimeClass("k3s", object{"objectset.rio.cattle.io/owner-name": "runtimes"})}, 0},
		{"without annotations", map[string]object{"wasmedge": runtimeClass("", nil)}, 0},
		{"of another release", map[string]object{"wasmedge": runtimeClass("Helm", object{"meta.helm.sh/release-name": "other"})}, 0},
		{"of this release", map[string]object{"wasmedge": runtimeClass("Helm", own)}, 1},
	} {
		out, err, failed := renderIn(t, cluster(t, nil, trial.classes))
		if failed != nil {
			t.Fatalf("%s: %v: %s", trial.what, failed, err)
		}
		if found := len(all[*nodev1.RuntimeClass](decode(t, out))); found != trial.count {
			t.Errorf("%s: %d classes, not %d", trial.what, found, trial.count)
		}
	}
}

func TestARuntimeClassOfOthersIsNeverTakenOver(t *testing.T) {
	kubeconfig := cluster(t, nil, map[string]object{"wasmedge": runtimeClass("k3s", nil)})
	_, err, failed := renderIn(t, kubeconfig, `runtimeClasses=[{"name":"wasmedge","create":"always"}]`)
	if failed == nil || !strings.Contains(err, "exists and cannot be imported") {
		t.Errorf("%v: %s", failed, err)
	}
}

func TestJobsAreMadeForTheNodesThatAreSelected(t *testing.T) {
	nodes := []object{
		node("one", object{"kubernetes.io/os": "linux", "pool": "wasm"}),
		node("two", object{"kubernetes.io/os": "linux"}),
		node("three", object{"kubernetes.io/os": "windows", "pool": "wasm"}),
		node("bare", nil),
	}
	kubeconfig := cluster(t, nodes, nil)
	for selector, expected := range map[string]string{`{"kubernetes.io/os":"linux"}`: "one two", `{"kubernetes.io/os":"linux","pool":"wasm"}`: "one"} {
		out, err, failed := renderIn(t, kubeconfig, `mode="job"`, "nodeSelector="+selector)
		if failed != nil {
			t.Fatalf("%s: %v: %s", selector, failed, err)
		}
		var found []string
		for _, job := range all[*batchv1.Job](decode(t, out)) {
			if name := job.Annotations["containerd-shim-wasmedge/node"]; name != "" {
				found = append(found, name)
				terms := job.Spec.Template.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
				if fields := terms[0].MatchFields; len(terms) != 1 || fields[0].Key != "metadata.name" || fields[0].Values[0] != name {
					t.Errorf("%+v", terms)
				}
			}
		}
		slices.Sort(found)
		if strings.Join(found, " ") != expected {
			t.Errorf("%s: %v, not %s", selector, found, expected)
		}
	}
	if _, err, failed := renderIn(t, kubeconfig, `mode="job"`, `nodeSelector={"pool":"other"}`); failed == nil || !strings.Contains(err, "no node is known") {
		t.Errorf("%v: %s", failed, err)
	}
}

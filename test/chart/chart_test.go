package chart

import (
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

func TestTheChartHasNoLint(t *testing.T) {
	for name, values := range ways() {
		words := []string{"lint", "--strict", chart}
		for _, value := range values {
			words = append(words, "--set-json", value)
		}
		if out, err, failed := helm(t, words...); failed != nil {
			t.Errorf("%s: %s%s", name, out, err)
		}
	}
}

func TestEachModeWithEachDistributionInstallsAndUninstallsWithTheSameRuntime(t *testing.T) {
	runtimes := map[string]string{"k8s": "containerd", "k3s": "k3s", "rke2": "rke2", "k0s": "k0s", "microk8s": "microk8s"}
	for name, values := range ways() {
		t.Run(name, func(t *testing.T) {
			objects := render(t, values...)
			mode, distribution, _ := strings.Cut(name, " ")
			for _, verb := range []string{"install", "uninstall"} {
				command := named(t, objects, verb).Command
				if want := []string{"/containerd-shim-wasmedge-v1", verb, "--root=/host"}; !slices.Equal(command[:3], want) {
					t.Errorf("%v, not %v", command, want)
				}
				option := "--runtime=" + runtimes[distribution]
				if slices.Contains(command, option) == (distribution == "auto") {
					t.Errorf("%s: %v", option, command)
				}
			}
			sets, jobs := 1, 4
			if mode == "daemonset" {
				sets, jobs = 2, 2
			}
			if found := len(all[*appsv1.DaemonSet](objects)); found != sets {
				t.Errorf("%d DaemonSets, not %d", found, sets)
			}
			if found := len(all[*batchv1.Job](objects)); found != jobs {
				t.Errorf("%d Jobs, not %d", found, jobs)
			}
		})
	}
}

func TestNoPodHasBothRightsOnTheNodeAndAToken(t *testing.T) {
	for name, values := range ways() {
		for what, pod := range pods(render(t, values...)) {
			mounts := pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken
			for _, volume := range pod.Volumes {
				mounts = mounts || volume.Projected != nil || volume.Secret != nil
			}
			if mounts && !harmless(pod) {
				t.Errorf("%s: %s has a token and rights on the node", name, what)
			}
			if talks := strings.Contains(what, "readiness") || strings.HasSuffix(what, "leave") || strings.HasSuffix(what, "forget"); mounts != talks {
				t.Errorf("%s: %s: a token is mounted: %v", name, what, mounts)
			}
		}
	}
}

// harmless tells whether a pod could be in a namespace with the Pod Security Standard "restricted".
func harmless(pod corev1.PodSpec) bool {
	if pod.HostPID || pod.HostNetwork || pod.HostIPC {
		return false
	}
	for _, volume := range pod.Volumes {
		if volume.HostPath != nil {
			return false
		}
	}
	for _, container := range containers(pod) {
		context := container.SecurityContext
		if context == nil || context.Privileged != nil && *context.Privileged {
			return false
		}
		if *context.AllowPrivilegeEscalation || !*context.RunAsNonRoot || !*context.ReadOnlyRootFilesystem ||
			!slices.Equal(context.Capabilities.Drop, []corev1.Capability{"ALL"}) ||
			context.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			return false
		}
	}
	return true
}

func TestTheAccountsMayOnlyWorkWithNodesAndListPods(t *testing.T) {
	allowed := map[string][]string{"nodes": {"get", "list", "watch", "patch"}, "pods": {"list"}}
	roles := all[*rbacv1.ClusterRole](render(t))
	if len(roles) != 2 || len(all[*rbacv1.Role](render(t))) != 0 {
		t.Fatalf("%d cluster roles", len(roles))
	}
	for _, role := range roles {
		for _, rule := range role.Rules {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					if !slices.Contains(allowed[resource], verb) {
						t.Errorf("%s may %s %s", role.Name, verb, resource)
					}
				}
			}
		}
	}
}

func TestTheAccountsAreThoseThatTheAdmissionPolicyIsFor(t *testing.T) {
	policies := all[*admissionv1.ValidatingAdmissionPolicy](render(t, `startupTaints=["a/b"]`))
	bindings := all[*admissionv1.ValidatingAdmissionPolicyBinding](render(t))
	if len(policies) != 1 || len(bindings) != 1 || bindings[0].Spec.PolicyName != policies[0].Name {
		t.Fatalf("%+v %+v", policies, bindings)
	}
	condition := policies[0].Spec.MatchConditions[0].Expression
	for _, account := range all[*corev1.ServiceAccount](render(t)) {
		if !strings.Contains(condition, "'system:serviceaccount:"+namespace+":"+account.Name+"'") {
			t.Errorf("not %s: %s", account.Name, condition)
		}
	}
	if rule := policies[0].Spec.Validations[1].Expression; !strings.HasSuffix(rule, `taint.key in ["a/b"])`) {
		t.Errorf("%s", rule)
	}
	if found := all[*admissionv1.ValidatingAdmissionPolicy](render(t, "readiness.admissionPolicy=false")); len(found) != 0 {
		t.Errorf("%+v", found)
	}
}

func TestPodsComeOnlyToNodesThatAreReadyAndCountWhatTheyCost(t *testing.T) {
	classes := all[*nodev1.RuntimeClass](render(t))
	if len(classes) != 1 || classes[0].Name != "wasmedge" || classes[0].Handler != "wasmedge" {
		t.Fatalf("%+v", classes)
	}
	if value := classes[0].Scheduling.NodeSelector[label]; value != "true" {
		t.Errorf("it selects %s=%q", label, value)
	}
	if memory := classes[0].Overhead.PodFixed.Memory().Value(); memory != 2<<20 {
		t.Errorf("the overhead is %d bytes", memory)
	}
	free := all[*nodev1.RuntimeClass](render(t, "readiness.required=false"))
	if free[0].Scheduling != nil {
		t.Errorf("%+v", free[0].Scheduling)
	}
}

func TestSeveralRuntimeClassesHaveTheirOwnOverheadAndNodes(t *testing.T) {
	classes := all[*nodev1.RuntimeClass](render(t, `runtimeClasses=[{"name":"wasmedge"},{"name":"wasmedge-edge","handler":"wasmedge-limited",
		"overhead":{"memory":"4Mi","cpu":"5m"},"nodeSelector":{"edge":"yes"},"tolerations":[{"key":"edge","operator":"Exists"}]}]`))
	if len(classes) != 2 || classes[0].Overhead != nil {
		t.Fatalf("%+v", classes)
	}
	edge := classes[1]
	if classes[0].Handler != "wasmedge" || edge.Handler != "wasmedge-limited" {
		t.Errorf("%s %s", classes[0].Handler, edge.Handler)
	}
	if edge.Scheduling.NodeSelector["edge"] != "yes" || edge.Scheduling.NodeSelector[label] != "true" ||
		len(edge.Scheduling.Tolerations) != 1 || edge.Overhead.PodFixed.Cpu().MilliValue() != 5 {
		t.Errorf("%+v", edge)
	}
	command := named(t, render(t, `runtimeClasses=[{"name":"a"},{"name":"b"}]`), "leave").Command
	if !slices.Contains(command, "--runtime-class=a") || !slices.Contains(command, "--runtime-class=b") {
		t.Errorf("%v", command)
	}
}

func TestTheClassThatK3sBringsIsLeftToItUnlessToldOtherwise(t *testing.T) {
	for _, distribution := range []string{"k3s", "rke2"} {
		value := `distribution="` + distribution + `"`
		if classes := all[*nodev1.RuntimeClass](render(t, value)); len(classes) != 0 {
			t.Errorf("%s: %+v", distribution, classes)
		}
		for create, count := range map[string]int{"always": 1, "never": 0} {
			classes := `runtimeClasses=[{"name":"wasmedge","create":"` + create + `"}]`
			if found := all[*nodev1.RuntimeClass](render(t, value, classes)); len(found) != count {
				t.Errorf("%s %s: %+v", distribution, create, found)
			}
		}
		if found := all[*nodev1.RuntimeClass](render(t, value, `runtimeClasses=[{"name":"wasm"}]`)); len(found) != 1 {
			t.Errorf("%s: another name: %+v", distribution, found)
		}
	}
}

func TestStartupTaintsAreToleratedByWhatTakesThemAway(t *testing.T) {
	objects := render(t, `startupTaints=["containerd-shim-wasmedge/starting"]`)
	if command := named(t, objects, "readiness").Command; !slices.Contains(command, "--startup-taint=containerd-shim-wasmedge/starting") {
		t.Errorf("%v", command)
	}
	tolerations := pods(objects)["Deployment "+release+"-readiness"].Tolerations
	if len(tolerations) != 1 || tolerations[0].Key != "containerd-shim-wasmedge/starting" {
		t.Errorf("%+v", tolerations)
	}
}

func TestTheImageIsOneAndIsPulledWithTheSecrets(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	for values, image := range map[string]string{
		`image={"repository":"r/i","tag":"t"}`:                           "r/i:t",
		`image={"repository":"r/i"}`:                                     "r/i:0.1.0",
		`image={"repository":"r/i","tag":"t","digest":"` + digest + `"}`: "r/i@" + digest,
	} {
		for what, pod := range pods(render(t, values, `imagePullSecrets=[{"name":"key"}]`)) {
			for _, container := range containers(pod) {
				if container.Image != image {
					t.Errorf("%s: %s, not %s", what, container.Image, image)
				}
			}
			if len(pod.ImagePullSecrets) != 1 {
				t.Errorf("%s has no pull secret", what)
			}
		}
	}
}

func TestTheVerificationRunsAModuleOfTheImageInTheFirstClass(t *testing.T) {
	objects := render(t, `runtimeClasses=[{"name":"first"},{"name":"second"}]`)
	pod := all[*corev1.Pod](objects)[0]
	if *pod.Spec.RuntimeClassName != "first" || pod.Annotations["helm.sh/hook"] != "test" ||
		!slices.Equal(pod.Spec.Containers[0].Command, []string{"/verification.wasm"}) {
		t.Errorf("%+v", pod)
	}
	if found := all[*corev1.Pod](render(t, "verification.enabled=false")); len(found) != 0 {
		t.Errorf("%+v", found)
	}
}

func TestAChangedPodIsANewJob(t *testing.T) {
	names := func(tag string) []string {
		var names []string
		for _, job := range all[*batchv1.Job](render(t, `mode="job"`, `job.nodes=["one","two"]`, `image.tag="`+tag+`"`)) {
			names = append(names, job.Name)
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	first, second := names("1"), names("2")
	if len(first) != 4 || !slices.Equal(first, names("1")) || slices.Equal(first, second) {
		t.Errorf("%v %v", first, second)
	}
}

func TestWrongValuesAreRefusedWithAMessage(t *testing.T) {
	for value, cause := range map[string]string{
		`mode="pods"`:                   "at '/mode': value must be one of 'daemonset', 'job'",
		`distribution="crio"`:           "at '/distribution': value must be one of 'auto', 'k8s'",
		`installationPrefix="opt/bin"`:  "at '/installationPrefix': 'opt/bin' does not match",
		`nodeSelecter={"a":"b"}`:        "additional properties 'nodeSelecter' not allowed",
		`nodeSelector={"a":true}`:       "at '/nodeSelector/a': got boolean, want string",
		`image.repository=""`:           "at '/image/repository': minLength",
		`image.digest="1234"`:           "at '/image/digest': '1234' does not match",
		`runtimeClasses=[]`:             "at '/runtimeClasses': minItems",
		`runtimeClasses=[{"name":"A"}]`: "at '/runtimeClasses/0/name': 'A' does not match",
		`runtimeClasses=[{}]`:           "at '/runtimeClasses/0': missing property 'name'",
		`runtimeClasses=[{"name":"a","overhead":{"memory":"2MB"}}]`: "at '/runtimeClasses/0/overhead/memory': '2MB' does not match",
		`tolerations=[{"operator":"Any"}]`:                          "at '/tolerations/0/operator': value must be one of",
		`startupTaints=["a b"]`:                                     "at '/startupTaints/0': 'a b' does not match",
		`uninstall.whilePodsRun="drain"`:                            "at '/uninstall/whilePodsRun': value must be one of 'refuse', 'wait', 'force'",
		`uninstall.timeoutSeconds=0`:                                "at '/uninstall/timeoutSeconds': minimum: got 0, want 1",
		`job.nodes=["one","one"]`:                                   "at '/job/nodes': items at 0 and 1 are equal",
		`mode="job"`:                                                "no node is known; name them with job.nodes",
	} {
		out, err, failed := helm(t, "template", release, chart, "--set-json", value)
		if failed == nil || !strings.Contains(err, cause) {
			t.Errorf("%s: no %q in:\n%s%s", value, cause, out, err)
		}
	}
}

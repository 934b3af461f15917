package chart

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

func TestInstallerAndUninstallerAreNeverOnTheSameNode(t *testing.T) {
	for _, set := range all[*appsv1.DaemonSet](render(t, `nodeSelector={"pool":"wasm"}`)) {
		pod := set.Spec.Template.Spec
		switch set.Name {
		case release + "-install":
			terms := pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
			rule := terms[0].MatchExpressions[0]
			if len(terms) != 1 || rule.Key != label || rule.Operator != corev1.NodeSelectorOpNotIn || rule.Values[0] != "removing" {
				t.Errorf("%+v", terms)
			}
			if pod.NodeSelector["pool"] != "wasm" {
				t.Errorf("%v", pod.NodeSelector)
			}
		case release + "-uninstall":
			// Nodes that have left the pool meanwhile are uninstalled as well.
			if len(pod.NodeSelector) != 1 || pod.NodeSelector[label] != "removing" {
				t.Errorf("%v", pod.NodeSelector)
			}
		}
		if len(pod.Tolerations) != 1 || pod.Tolerations[0].Operator != corev1.TolerationOpExists || pod.Tolerations[0].Key != "" {
			t.Errorf("%+v", pod.Tolerations)
		}
	}
}

func TestUninstallingIsToldAsTheValuesSay(t *testing.T) {
	objects := render(t, `uninstall={"whilePodsRun":"force","timeoutSeconds":7,"purge":false}`)
	leave := named(t, objects, "leave").Command
	for _, word := range []string{"--while-pods-run=force", "--timeout=7", "--namespace=" + namespace,
		"--uninstaller=app.kubernetes.io/instance=" + release + ",app.kubernetes.io/component=uninstaller"} {
		if !slices.Contains(leave, word) {
			t.Errorf("no %s: %v", word, leave)
		}
	}
	if command := named(t, objects, "uninstall").Command; !slices.Contains(command, "--force") {
		t.Errorf("%v", command)
	}
	for what, pod := range pods(objects) {
		for _, container := range containers(pod) {
			if container.Name == "purge" {
				t.Error("it purges")
			}
		}
		for _, volume := range pod.Volumes {
			if volume.Name != "host" {
				t.Errorf("%s has the volume %s", what, volume.Name)
			}
		}
	}
	purge := func(values ...string) []string { return named(t, render(t, values...), "purge").Command[2:] }
	state, run := "/host/var/lib/containerd-shim-wasmedge", "/host/run/containerd-shim-wasmedge"
	if found := purge(); !slices.Equal(found, []string{state, run}) {
		t.Errorf("%v", found)
	}
	// Records of containers that run on are there.
	if found := purge(`uninstall.whilePodsRun="force"`); !slices.Equal(found, []string{state}) {
		t.Errorf("%v", found)
	}
	if command := named(t, render(t), "uninstall").Command; slices.Contains(command, "--force") {
		t.Errorf("%v", command)
	}
}

func TestTheLabelsOfTheUninstallerAreThoseThatAreWaitedFor(t *testing.T) {
	for _, set := range all[*appsv1.DaemonSet](render(t)) {
		if set.Name == release+"-uninstall" {
			labels := set.Spec.Template.Labels
			if labels["app.kubernetes.io/instance"] != release || labels["app.kubernetes.io/component"] != "uninstaller" {
				t.Errorf("%v", labels)
			}
		}
	}
}

func TestHooksTurnTheLabelOffBeforeAndTakeItAwayAfterwards(t *testing.T) {
	hooks := map[string]string{release + "-leave": "pre-delete", release + "-forget": "post-delete"}
	for _, job := range all[*batchv1.Job](render(t)) {
		if job.Annotations["helm.sh/hook"] != hooks[job.Name] || *job.Spec.BackoffLimit != 0 {
			t.Errorf("%s: %v", job.Name, job.Annotations)
		}
	}
	for _, account := range all[*corev1.ServiceAccount](render(t)) {
		if hook := account.Annotations["helm.sh/hook"]; (hook == "") != strings.HasSuffix(account.Name, "readiness") {
			t.Errorf("%s: %q", account.Name, hook)
		}
	}
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func load(t *testing.T, specs string) report {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.xml")
	text := `<testsuites><testsuite><testcase name="[BeforeSuite]" status="passed"/>` + specs + `</testsuite></testsuites>`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := read(path)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

const passed = `<testcase name="[It] [k8s.io] A" status="passed"/>`

func TestWhatBothPassIsNoDifference(t *testing.T) {
	var out strings.Builder
	if !compare(&out, "make critest:", "runc", "wasmedge", load(t, passed), load(t, passed)) {
		t.Error(out.String())
	}
	const want = "make critest: runc 1 passed; wasmedge 1 passed, 0 failed of those that runc passes, " +
		"0 skipped that runc is not\n"
	if out.String() != want {
		t.Error(out.String())
	}
}

func TestWhatBothSkipIsNoDifference(t *testing.T) {
	skipped := `<testcase name="[It] [k8s.io] B" status="skipped"><skipped message="no"/></testcase>`
	var out strings.Builder
	if !compare(&out, "make critest:", "runc", "wasmedge", load(t, passed+skipped), load(t, passed+skipped)) {
		t.Error(out.String())
	}
}

func TestFailuresAndSkipsAreNamedWithTheirCauses(t *testing.T) {
	oracle := load(t, passed+strings.ReplaceAll(passed, "A", "B")+strings.ReplaceAll(passed, "A", "C")+
		`<testcase name="[It] [sig-node] D" status="failed"><failure message="there"/></testcase>`)
	runtime := load(t, `<testcase name="[It] [k8s.io] A" status="failed"><failure message="first&#xA;Unexpected error:&#xA;    &lt;*status.Error | 0x1&gt;:&#xA;    second"/></testcase>
		<testcase name="[It] [k8s.io] B" status="skipped"><skipped message="not here"/></testcase>
		<testcase name="[It] [sig-node] D" status="failed"><failure message="here too"/></testcase>`)
	var out strings.Builder
	if compare(&out, "make critest:", "runc", "wasmedge", oracle, runtime) {
		t.Error("no difference seen")
	}
	for _, line := range []string{
		"FAILED  A\n        first second\n", "SKIPPED B\n        not here\n", "FAILED  C\n        the run ended before it\n", "BOTH    [sig-node] D\n        there\n",
		"2 failed of those that runc passes, 1 skipped that runc is not\n",
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("%q is missing in:\n%s", line, out.String())
		}
	}
}

func TestAnOracleThatPassesNothingIsNoOracle(t *testing.T) {
	var out strings.Builder
	if compare(&out, "make critest:", "runc", "wasmedge", nil, nil) {
		t.Error("nothing was compared with nothing, and that counted as success")
	}
}

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

// run compares, and returns what is printed.
func run(t *testing.T, oracle, runtime string) (string, bool) {
	t.Helper()
	var out strings.Builder
	found := comparison{oracle: "runc", runtime: "wasmedge", leftOut: 3}
	found.compare(&out, load(t, oracle), load(t, runtime))
	found.close(&out, "make critest:")
	return out.String(), found.same()
}

func TestWhatBothPassIsNoDifference(t *testing.T) {
	out, same := run(t, passed, passed)
	const want = "make critest: 1 with runc, 1 with wasmedge passed, 0 failed and 0 skipped with wasmedge alone, " +
		"0 failed with both, 3 left out with a reason\n"
	if !same || out != want {
		t.Error(out)
	}
}

func TestWhatBothSkipIsNoDifference(t *testing.T) {
	skipped := `<testcase name="[It] [k8s.io] B" status="skipped"><skipped message="skipped - no"/></testcase>
		<testcase name="[It] [k8s.io] C" status="skipped"><skipped message="skipped"/></testcase>`
	out, same := run(t, passed+skipped, passed+skipped)
	if !same || !strings.HasPrefix(out, "LEFTOUT B\n        skipped - no\nmake critest:") || !strings.Contains(out, "4 left out") {
		t.Error(out)
	}
}

func TestFailuresAndSkipsAreNamedWithTheirCauses(t *testing.T) {
	oracle := passed + strings.ReplaceAll(passed, "A", "B") + strings.ReplaceAll(passed, "A", "C") +
		`<testcase name="[It] [sig-node] D" status="failed"><failure message="there"/></testcase>
		<testcase name="[It] [sig-node] E" status="failed"><failure message="there alone"/></testcase>`
	runtime := `<testcase name="[It] [k8s.io] A" status="failed"><failure message="first&#xA;Unexpected error:&#xA;    &lt;*status.Error | 0x1&gt;:&#xA;    second"/></testcase>
		<testcase name="[It] [k8s.io] B" status="skipped"><skipped message="not here"/></testcase>
		<testcase name="[It] [sig-node] D" status="failed"><failure message="here too"/></testcase>
		<testcase name="[It] [sig-node] E" status="passed"/>`
	out, same := run(t, oracle, runtime)
	if same {
		t.Error("no difference seen")
	}
	for _, line := range []string{
		"FAILED  A\n        first second\n", "SKIPPED B\n        not here\n", "FAILED  C\n        the run ended before it\n",
		"BOTH    [sig-node] D\n        there\n", "ORACLE  [sig-node] E\n        there alone\n",
		"3 with runc, 1 with wasmedge passed, 2 failed and 1 skipped with wasmedge alone, 1 failed with both, 3 left out with a reason\n",
	} {
		if !strings.Contains(out, line) {
			t.Errorf("%q is missing:\n%s", line, out)
		}
	}
}

func TestAnOracleThatPassesNothingIsNoOracle(t *testing.T) {
	if _, same := run(t, "", ""); same {
		t.Error("nothing was compared with nothing, and that counted as success")
	}
}

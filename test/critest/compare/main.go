// compare tells what one runtime does worse than another by reports of conformance tests (JUnit XML, as Ginkgo writes it):
//
//	compare -suite NAME [-left-out COUNT] ORACLE.xml RUNTIME.xml
//
// It prints every spec that the oracle passes and the runtime does not, those that fail with both or with the oracle alone,
// those that skip themselves with both, and a line that counts, which begins with NAME. COUNT specs more were left out of both
// runs. The exit code is 1 if there is a spec of the first kind, or if the oracle passes none. Runtimes are called by the names
// of the files.
package main

import (
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	suite := flag.String("suite", "", "how the last line begins")
	leftOut := flag.Int("left-out", 0, "how many specs neither run was given")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: compare -suite NAME [-left-out COUNT] ORACLE.xml RUNTIME.xml")
		os.Exit(2)
	}
	oracle, runtime := flag.Arg(0), flag.Arg(1)
	reports := make([]report, 2)
	for index, path := range []string{oracle, runtime} {
		var err error
		if reports[index], err = read(path); err != nil {
			fmt.Fprintln(os.Stderr, "compare:", err)
			os.Exit(1)
		}
	}
	found := comparison{oracle: name(oracle), runtime: name(runtime), leftOut: *leftOut}
	found.compare(os.Stdout, reports[0], reports[1])
	found.close(os.Stdout, *suite)
	if !found.same() {
		os.Exit(1)
	}
}

func name(path string) string { return strings.TrimSuffix(filepath.Base(path), ".xml") }

// report holds the specs of one run in the order in which they ran.
type report []spec

type spec struct {
	Name    string `xml:"name,attr"`
	Status  string `xml:"status,attr"`
	Failure *cause `xml:"failure"`
	Error   *cause `xml:"error"` // a panic or a timeout
	Skipped *cause `xml:"skipped"`
}

type cause struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

func read(path string) (report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var document struct {
		Specs []spec `xml:"testsuite>testcase"`
	}
	if err := xml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var specs report
	for _, one := range document.Specs {
		// What is no spec is the suite's preparation.
		if short, isSpec := strings.CutPrefix(one.Name, "[It] "); isSpec {
			one.Name = strings.TrimPrefix(short, "[k8s.io] ")
			specs = append(specs, one)
		}
	}
	return specs, nil
}

// comparison counts specs by how they end with two runtimes.
type comparison struct {
	oracle, runtime string
	// Passed with the one, with the other.
	expected, passed int
	// With the runtime alone.
	failed, skipped int
	both, leftOut   int
}

// compare counts the specs of two reports, and prints those of whom there is something to tell.
func (c *comparison) compare(out io.Writer, expected, found report) {
	c.expected, c.passed = expected.passed(), found.passed()
	verdicts := map[string]spec{}
	for _, one := range found {
		verdicts[one.Name] = one
	}
	for _, one := range expected {
		kind, why := c.count(one, verdicts)
		if kind != "" {
			fmt.Fprintf(out, "%-8s%s\n        %s\n", kind, one.Name, why)
		}
	}
}

// count adds a spec of the oracle's. It returns what it is called in the output, if anything, and the cause.
func (c *comparison) count(one spec, verdicts map[string]spec) (kind, why string) {
	verdict, ran := verdicts[one.Name]
	switch {
	case one.failed() && verdict.failed():
		c.both++
		return "BOTH", one.why()
	case one.failed():
		return "ORACLE", one.why()
	case one.skipsItself():
		c.leftOut++
		return "LEFTOUT", one.why()
	case one.Status != "passed":
	case !ran:
		c.failed++
		return "FAILED", "the run ended before it"
	case verdict.Status == "skipped" || verdict.Status == "pending":
		c.skipped++
		return "SKIPPED", verdict.why()
	case verdict.Status != "passed":
		c.failed++
		return "FAILED", verdict.why()
	}
	return "", ""
}

func (c *comparison) close(out io.Writer, suite string) {
	const closing = "%s %d with %s, %d with %s passed, %d failed and %d skipped with %s alone, %d failed with both, %d left out with a reason\n"
	fmt.Fprintf(out, closing, suite, c.expected, c.oracle, c.passed, c.runtime, c.failed, c.skipped, c.runtime, c.both, c.leftOut)
}

// same tells if the runtime passes what the oracle does.
func (c *comparison) same() bool { return c.failed+c.skipped == 0 && c.expected > 0 }

// skipsItself tells of a spec that ran and found something missing. Those that were not asked for say no more than "skipped".
func (s spec) skipsItself() bool {
	return s.Status == "skipped" && s.Skipped != nil && s.Skipped.Message != "" && s.Skipped.Message != "skipped"
}

func (s spec) failed() bool {
	return s.Status != "" && s.Status != "passed" && s.Status != "skipped" && s.Status != "pending"
}

func (r report) passed() (count int) {
	for _, one := range r {
		if one.Status == "passed" {
			count++
		}
	}
	return count
}

// why is the first line of the cause, with the error that Gomega quotes below it unless the line has that already.
func (s spec) why() string {
	for _, cause := range []*cause{s.Failure, s.Error, s.Skipped} {
		if cause == nil {
			continue
		}
		lines := strings.FieldsFunc(cause.Message+"\n"+cause.Text, func(char rune) bool { return char == '\n' })
		if len(lines) == 0 {
			break
		}
		first := strings.TrimSpace(lines[0])
		if quoted := quotedError(lines); !strings.Contains(first, quoted) {
			return first + " " + quoted
		}
		return first
	}
	return "no cause is given"
}

// quotedError is the line below the error's type, `<*status.Error | 0x224d86b2cdd0>:`.
func quotedError(lines []string) string {
	for index, line := range lines[:len(lines)-1] {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "<") && strings.HasSuffix(line, ">:") {
			return strings.TrimSpace(lines[index+1])
		}
	}
	return ""
}

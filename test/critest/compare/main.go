// compare tells what one runtime does worse than another by critest's reports (JUnit XML, as Ginkgo writes it):
//
//	compare ORACLE.xml RUNTIME.xml
//
// It prints every spec that the oracle passes and the runtime does not, and a line that counts; the exit code is 1 if
// there is such a spec, or if the oracle passes none. Runtimes are called by the names of the files.
package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: compare ORACLE.xml RUNTIME.xml")
		os.Exit(2)
	}
	oracle, runtime := os.Args[1], os.Args[2]
	reports := make([]report, 2)
	for index, path := range []string{oracle, runtime} {
		var err error
		if reports[index], err = read(path); err != nil {
			fmt.Fprintln(os.Stderr, "compare:", err)
			os.Exit(1)
		}
	}
	if !compare(os.Stdout, name(oracle), name(runtime), reports[0], reports[1]) {
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
		if short, isSpec := strings.CutPrefix(one.Name, "[It] [k8s.io] "); isSpec {
			one.Name = short
			specs = append(specs, one)
		}
	}
	return specs, nil
}

func compare(out io.Writer, oracle, runtime string, expected, found report) (same bool) {
	verdicts := map[string]spec{}
	for _, one := range found {
		verdicts[one.Name] = one
	}
	failed, skipped := 0, 0
	for _, one := range expected {
		if one.Status != "passed" {
			continue
		}
		switch verdict, ran := verdicts[one.Name]; {
		case !ran:
			failed++
			fmt.Fprintf(out, "FAILED  %s\n        the run ended before it\n", one.Name)
		case verdict.Status == "skipped" || verdict.Status == "pending":
			skipped++
			fmt.Fprintf(out, "SKIPPED %s\n        %s\n", one.Name, verdict.why())
		case verdict.Status != "passed":
			failed++
			fmt.Fprintf(out, "FAILED  %s\n        %s\n", one.Name, verdict.why())
		}
	}
	const closing = "make critest: %s %d passed; %s %d passed, %d failed of those that %s passes, %d skipped that %s is not"
	fmt.Fprintf(out, closing+"\n",
		oracle, expected.passed(), runtime, found.passed(), failed, oracle, skipped, oracle)
	return failed+skipped == 0 && expected.passed() > 0
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

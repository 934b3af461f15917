// compare tells what one runtime does worse than another by reports of conformance tests (JUnit XML, as Ginkgo writes it):
//
//	compare -suite NAME ORACLE.xml RUNTIME.xml
//
// It prints every spec that the oracle passes and the runtime does not, those that fail with both, and a line that counts,
// which begins with NAME; the exit code is 1 if there is a spec of the first kind, or if the oracle passes none. Runtimes are
// called by the names of the files.
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
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: compare -suite NAME ORACLE.xml RUNTIME.xml")
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
	if !compare(os.Stdout, *suite, name(oracle), name(runtime), reports[0], reports[1]) {
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

func compare(out io.Writer, suite, oracle, runtime string, expected, found report) (same bool) {
	verdicts := map[string]spec{}
	for _, one := range found {
		verdicts[one.Name] = one
	}
	failed, skipped := 0, 0
	for _, one := range expected {
		verdict, ran := verdicts[one.Name]
		if one.failed() && verdict.failed() {
			fmt.Fprintf(out, "BOTH    %s\n        %s\n", one.Name, one.why())
		}
		if one.Status != "passed" {
			continue
		}
		switch {
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
	const closing = "%s %s %d passed; %s %d passed, %d failed of those that %s passes, %d skipped that %s is not"
	fmt.Fprintf(out, closing+"\n",
		suite, oracle, expected.passed(), runtime, found.passed(), failed, oracle, skipped, oracle)
	return failed+skipped == 0 && expected.passed() > 0
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

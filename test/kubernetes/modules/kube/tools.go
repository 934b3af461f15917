//go:build tools

package main

import (
	_ "github.com/onsi/ginkgo/v2/ginkgo"      // runs them side by side
	_ "k8s.io/kubernetes/test/e2e"            // conformance tests
	_ "k8s.io/kubernetes/test/images/agnhost" // what most of their pods run
)

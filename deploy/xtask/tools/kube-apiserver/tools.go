//go:build tools

// Package tools names the programs of Kubernetes that tests run, so that this module pins what they are built from.
package tools

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
)

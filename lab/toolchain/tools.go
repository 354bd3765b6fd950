//go:build tools

// Package toolchain pins the programs that the lab builds from other modules, so that `go mod tidy` keeps them.
package toolchain

import (
	_ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
	_ "github.com/versity/versitygw/cmd/versitygw"
)

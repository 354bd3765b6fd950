// Command schema prints the package schema of the lab's OpenStack plugin, for comparison with the published one.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfgen"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag/colors"

	"drlab/toolchain/providers/openstack/bridge"
)

func main() {
	sink := diag.DefaultSink(io.Discard, os.Stderr, diag.FormatOptions{Color: colors.Never})
	result, err := tfgen.GenerateSchemaWithOptions(tfgen.GenerateSchemaOptions{
		ProviderInfo:    bridge.Provider(),
		DiagnosticsSink: sink,
		XInMemoryDocs:   true,
	})
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(result.PackageSpec)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(1)
	}
}

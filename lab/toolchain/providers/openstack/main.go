// Command pulumi-resource-openstack is the lab's OpenStack plugin: the Terraform provider behind Pulumi's bridge.
package main

import (
	"os"
	"time"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"

	"drlab/toolchain/providers/openstack/bridge"
)

// parentCheck: how often an orphan notices that the engine is gone.
const parentCheck = time.Second

// The engine asks for the schema only to generate SDKs, which the lab never does; the `schema` command beside this one makes it for tests.
var noSchema = []byte("{}")

func main() {
	go endWithParent(os.Getppid())
	tfbridge.Main(bridge.Package, bridge.Version, bridge.Provider(), noSchema)
}

// endWithParent ends this process when the engine was killed: the bridge goes on for ever then.
func endWithParent(parent int) {
	for range time.Tick(parentCheck) {
		if os.Getppid() != parent {
			os.Exit(1)
		}
	}
}

// Command pulumi-resource-openstack is the lab's OpenStack plugin: the Terraform provider behind Pulumi's bridge.
package main

import (
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"

	"drlab/toolchain/providers/openstack/bridge"
)

// The engine asks for the schema only to generate SDKs, which the lab never does; the `schema` command beside this one makes it for tests.
var noSchema = []byte("{}")

func main() {
	tfbridge.Main(bridge.Package, bridge.Version, bridge.Provider(), noSchema)
}

// Package bridge describes the Terraform OpenStack provider to Pulumi's bridge under the names that the published plugin gives it.
package bridge

import (
	"strings"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shimv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	pulumi "github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/terraform-provider-openstack/terraform-provider-openstack/v3/openstack"
)

const (
	// Package is the name that programs know the plugin by.
	Package = "openstack"
	// Version is the published plugin that this one stands in for: pulumi-openstack of that version wraps the same Terraform provider.
	Version = "5.5.3"

	nameLimit = 255
)

// Provider is the Terraform provider with the resources of `tokens`; all others, and all data sources, are left out: the product makes no
// invoke.
func Provider() tfbridge.ProviderInfo {
	terraform := openstack.Provider()
	terraform.DataSourcesMap = nil
	info := tfbridge.ProviderInfo{
		P:           shimv2.NewProvider(terraform),
		Name:        Package,
		DisplayName: "OpenStack",
		Version:     Version,
		GitHubOrg:   "terraform-provider-openstack",
		Config:      config(),
		Resources:   map[string]*tfbridge.ResourceInfo{},
	}
	for name, token := range tokens {
		info.Resources[name] = &tfbridge.ResourceInfo{Tok: typeToken(token[0], token[1])}
	}
	for name, legacy := range aliases {
		old := legacy
		info.Resources[name].Aliases = []tfbridge.AliasInfo{{Type: &old}}
	}
	for name := range terraform.ResourcesMap {
		if _, mapped := tokens[name]; !mapped {
			info.IgnoreMappings = append(info.IgnoreMappings, name)
		}
	}
	info.SetAutonaming(nameLimit, "-")
	return info
}

// aliases: types under which resources were published earlier; states may still hold them.
var aliases = map[string]string{
	"openstack_lb_loadbalancer_v2":  "openstack:index/lbLoadbalancerV2:LbLoadbalancerV2",
	"openstack_lb_flavorprofile_v2": "openstack:index/lbFlavorprofileV2:LbFlavorprofileV2",
}

// config gives the provider's own settings the environment variables that the published plugin reads.
func config() map[string]*tfbridge.SchemaInfo {
	variables := map[string]string{
		"allow_reauth":  "OS_ALLOW_REAUTH",
		"cloud":         "OS_CLOUD",
		"delayed_auth":  "OS_DELAYED_AUTH",
		"endpoint_type": "OS_ENDPOINT_TYPE",
		"insecure":      "OS_INSECURE",
		"region":        "OS_REGION_NAME",
		"swauth":        "OS_SWAUTH",
	}
	fields := map[string]*tfbridge.SchemaInfo{}
	for name, variable := range variables {
		fields[name] = &tfbridge.SchemaInfo{Default: &tfbridge.DefaultInfo{EnvVars: []string{variable}}}
	}
	return fields
}

// typeToken is `openstack:<module>/<name with a small first letter>:<name>`.
func typeToken(module, name string) pulumi.Type {
	file := strings.ToLower(name[:1]) + name[1:]
	return pulumi.Type(Package + ":" + module + "/" + file + ":" + name)
}

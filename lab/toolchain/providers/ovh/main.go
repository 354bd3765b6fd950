// Command pulumi-resource-ovh stands in for the published `ovh` plugin: users, S3 credentials and policies, storage containers, DNS records.
//
// It asks of the OVHcloud API what the published one asks and believes the same answers: a zone refresh that fails is not the user's failure
// (nobody hears of it), a record is added beside one of the same name, a credential that cannot be read is an error. Only its patience
// differs: it looks after a new user every half second instead of after ten. Beside the schema's own marks, a container's name,
// region and project replace it, as they do in the published plugin's plan.
//
// Not imitated: OAuth2 and access tokens, configuration files, and every other resource type.
package main

import (
	"context"
	_ "embed"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"drlab/toolchain/internal/plugin"
)

//go:embed schema.json
var schema []byte

func main() {
	api := &client{}
	plugin.Main(&plugin.Provider{
		Name: "ovh", Version: "2.22.0", Schema: schema,
		Configure: func(ctx context.Context, config resource.PropertyMap) error { return api.configure(ctx, config) },
		Resources: map[string]*plugin.Resource{
			"ovh:CloudProject/user:User":                 user(api),
			"ovh:CloudProject/s3Credential:S3Credential": credential(api),
			"ovh:CloudProject/s3Policy:S3Policy":         policy(api),
			"ovh:CloudProject/storage:Storage":           storage(api),
			"ovh:Domain/zoneRecord:ZoneRecord":           record(api),
		},
	})
}

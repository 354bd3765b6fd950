// Package plugin is the frame of the lab's own stand-ins for published Pulumi plugins.
//
// A stand-in brings a cut of the published schema (tokens, properties, types, secrets, replacement: data) and, per resource type, functions
// that do the work. The frame speaks the protocol: it checks inputs against the schema, fills in defaults, computes differences, answers
// previews with unknown values, marks secrets and tells the engine about failures.
//
//	//go:embed schema.json
//	var cut []byte
//
//	func main() {
//		plugin.Main(&plugin.Provider{
//			Name: "ovh", Version: "2.22.0", Schema: cut,
//			Configure: func(ctx context.Context, config resource.PropertyMap) error { ... },
//			Resources: map[string]*plugin.Resource{
//				"ovh:Domain/zoneRecord:ZoneRecord": {Create: createRecord, Read: readRecord, Update: updateRecord, Delete: deleteRecord},
//			},
//		})
//	}
//
// Functions see plain values: the frame takes the secret wrappers off before and puts them back after.
package plugin

package plugin

import (
	"context"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// Provider is one plugin.
type Provider struct {
	Name    string
	Version string
	// Schema is the cut: a package schema in JSON with at least config, provider, resources and types.
	Schema []byte
	// Configure gets the provider's settings, decoded to the types of the schema. It runs before any resource's function and may be nil.
	Configure func(ctx context.Context, config resource.PropertyMap) error
	// Resources by type token; each must be in the schema.
	Resources map[string]*Resource
}

// Call is what a function knows beside its values.
type Call struct {
	// Ends with the request, when the run is cancelled, and with the plugin.
	context.Context
	// Lasting is of what a cancelled run waits for: it ends with the request and with the plugin alone.
	Lasting context.Context
	URN     resource.URN
	// Seed is stable for a resource until it is replaced; only Check has it. For automatic names.
	Seed []byte
	// Timeout in seconds from the program's custom_timeouts; 0: none given.
	Timeout float64

	engine pulumirpc.EngineClient
}

// Resource is one type's behaviour. Create and Delete are needed, the others have defaults.
type Resource struct {
	// Check may refuse inputs that fit the schema (by returning reasons) and add inputs (automatic names). Values may be unknown
	// (`IsComputed`). olds is empty for a new resource.
	Check func(call *Call, olds, news resource.PropertyMap) (add resource.PropertyMap, refusals []string)
	// Create returns the new id and the outputs that are not inputs; inputs are kept as outputs unless they are returned too.
	Create func(call *Call, inputs resource.PropertyMap) (id string, outputs resource.PropertyMap, err error)
	// Read returns the state of what exists, inputs as they would have to be to get it (nil: unchanged), or id "" when it is gone. inputs
	// and state are empty in an import. Nil: refresh changes nothing.
	Read func(call *Call, id string, inputs, state resource.PropertyMap) (newID string, newInputs, newState resource.PropertyMap, err error)
	// Update returns outputs as Create does. Nil: every change is a replacement.
	Update func(call *Call, id string, state, inputs resource.PropertyMap) (outputs resource.PropertyMap, err error)
	// Delete removes it; what is gone already is no error.
	Delete func(call *Call, id string, state resource.PropertyMap) error
	// Recomputed names outputs that an update may change: unknown in its preview. All others keep their values there.
	Recomputed []string
	// DeleteBeforeReplace: the new one cannot exist beside the old one (a name taken).
	DeleteBeforeReplace bool
}

// PartialError says that a resource was made (Create returns its id and outputs beside it) or changed but is not as it should be: it is
// kept in the state, and the run fails.
type PartialError struct{ Reason string }

func (e *PartialError) Error() string { return e.Reason }

// Log shows a line under the resource.
func (c *Call) Log(severity pulumirpc.LogSeverity, text string) {
	if c.engine == nil {
		return
	}
	// The engine may be gone already, and then nobody reads it.
	_, _ = c.engine.Log(context.WithoutCancel(c.Context), &pulumirpc.LogRequest{Severity: severity, Message: text, Urn: string(c.URN)})
}

// Info shows a line of ordinary output.
func (c *Call) Info(text string) { c.Log(pulumirpc.LogSeverity_INFO, text) }

// Warn shows a warning.
func (c *Call) Warn(text string) { c.Log(pulumirpc.LogSeverity_WARNING, text) }

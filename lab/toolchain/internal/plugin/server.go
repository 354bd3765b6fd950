package plugin

import (
	"context"
	"fmt"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// server answers the engine for one Provider.
type server struct {
	pulumirpc.UnimplementedResourceProviderServer

	provider *Provider
	schema   *schema
	engine   pulumirpc.EngineClient
	// cancelled ends when the engine cancels the run; every call's context ends with it. ended comes with the end of the plugin, and cancels too.
	cancelled, ended context.Context
	cancel, end      context.CancelFunc
}

func newServer(provider *Provider, engine pulumirpc.EngineClient) (*server, error) {
	parsed, err := parseSchema(provider.Schema)
	if err != nil {
		return nil, err
	}
	for token := range provider.Resources {
		if parsed.Resources[token] == nil {
			return nil, fmt.Errorf("resource type %s is not in the schema cut", token)
		}
	}
	ended, end := context.WithCancel(context.Background())
	cancelled, cancel := context.WithCancel(ended)
	return &server{provider: provider, schema: parsed, engine: engine, cancelled: cancelled, cancel: cancel, ended: ended, end: end}, nil
}

func (s *server) Handshake(context.Context, *pulumirpc.ProviderHandshakeRequest) (*pulumirpc.ProviderHandshakeResponse, error) {
	return &pulumirpc.ProviderHandshakeResponse{AcceptSecrets: true}, nil
}

func (s *server) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: s.provider.Version}, nil
}

func (s *server) GetSchema(context.Context, *pulumirpc.GetSchemaRequest) (*pulumirpc.GetSchemaResponse, error) {
	return &pulumirpc.GetSchemaResponse{Schema: string(s.provider.Schema)}, nil
}

func (s *server) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	s.cancel()
	return &emptypb.Empty{}, nil
}

func (s *server) CheckConfig(_ context.Context, request *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	news, err := unmarshal(request.GetNews())
	if err != nil {
		return nil, err
	}
	settings := s.schema.Provider
	decoded := decodeConfig(withoutVersion(news), settings.InputProperties)
	faults := s.schema.faults(decoded, settings.InputProperties, settings.RequiredInputs, "")
	return checked(markSecrets(news, settings.InputProperties), faults)
}

// DiffConfig: other settings are an update of the provider, never a replacement of what it made.
func (s *server) DiffConfig(_ context.Context, request *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	olds, news, err := both(request)
	if err != nil {
		return nil, err
	}
	response := &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE}
	for _, key := range changed(olds, news) {
		response.Changes = pulumirpc.DiffResponse_DIFF_SOME
		response.Diffs = append(response.Diffs, string(key))
	}
	return response, nil
}

func (s *server) Configure(ctx context.Context, request *pulumirpc.ConfigureRequest) (*pulumirpc.ConfigureResponse, error) {
	response := &pulumirpc.ConfigureResponse{AcceptSecrets: true, SupportsPreview: true}
	config, err := unmarshal(request.GetArgs())
	if err != nil || s.provider.Configure == nil {
		return response, err
	}
	decoded := plain(decodeConfig(withoutVersion(config), s.schema.Provider.InputProperties))
	if err := s.provider.Configure(ctx, decoded); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return response, nil
}

func (s *server) Check(ctx context.Context, request *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	kind, object, err := s.lookup(request.GetUrn())
	if err != nil {
		return nil, err
	}
	olds, err := unmarshal(request.GetOlds())
	if err != nil {
		return nil, err
	}
	news, err := unmarshal(request.GetNews())
	if err != nil {
		return nil, err
	}
	news = s.schema.withDefaults(news, object.InputProperties)
	var refusals []string
	if kind.Check != nil {
		call, done := s.call(ctx, request.GetUrn(), 0)
		defer done()
		call.Seed = request.GetRandomSeed()
		var added resource.PropertyMap
		added, refusals = kind.Check(call, plain(olds), plain(news))
		for key, value := range added {
			news[key] = value
		}
	}
	faults := s.schema.faults(news, object.InputProperties, object.RequiredInputs, "")
	return checked(markSecrets(news, object.InputProperties), append(faults, refusals...))
}

func (s *server) Diff(_ context.Context, request *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	kind, object, err := s.lookup(request.GetUrn())
	if err != nil {
		return nil, err
	}
	olds, news, err := both(request)
	if err != nil {
		return nil, err
	}
	response := &pulumirpc.DiffResponse{
		Changes: pulumirpc.DiffResponse_DIFF_NONE, HasDetailedDiff: true, DeleteBeforeReplace: kind.DeleteBeforeReplace,
		DetailedDiff: map[string]*pulumirpc.PropertyDiff{},
	}
	for _, key := range changed(olds, news) {
		if slices.Contains(request.GetIgnoreChanges(), string(key)) {
			continue
		}
		response.Changes = pulumirpc.DiffResponse_DIFF_SOME
		response.Diffs = append(response.Diffs, string(key))
		replaces := kind.Update == nil || replacing(object, string(key))
		if replaces {
			response.Replaces = append(response.Replaces, string(key))
		}
		response.DetailedDiff[string(key)] = &pulumirpc.PropertyDiff{InputDiff: true, Kind: diffKind(olds, news, key, replaces)}
	}
	return response, nil
}

func diffKind(olds, news resource.PropertyMap, key resource.PropertyKey, replaces bool) pulumirpc.PropertyDiff_Kind {
	kinds := []pulumirpc.PropertyDiff_Kind{pulumirpc.PropertyDiff_UPDATE, pulumirpc.PropertyDiff_UPDATE_REPLACE}
	if _, before := olds[key]; !before {
		kinds = []pulumirpc.PropertyDiff_Kind{pulumirpc.PropertyDiff_ADD, pulumirpc.PropertyDiff_ADD_REPLACE}
	} else if _, after := news[key]; !after {
		kinds = []pulumirpc.PropertyDiff_Kind{pulumirpc.PropertyDiff_DELETE, pulumirpc.PropertyDiff_DELETE_REPLACE}
	}
	if replaces {
		return kinds[1]
	}
	return kinds[0]
}

func replacing(object *object, key string) bool {
	for _, properties := range []map[string]*property{object.InputProperties, object.Properties} {
		if p := properties[key]; p != nil && (p.ReplaceOnChanges || p.WillReplaceOnChanges) {
			return true
		}
	}
	return false
}

// changed lists the properties that differ. An unknown value differs from any known one.
func changed(olds, news resource.PropertyMap) []resource.PropertyKey {
	var keys []resource.PropertyKey
	before, after := plain(olds), plain(news)
	for _, key := range before.StableKeys() {
		if value, still := after[key]; !still || !before[key].DeepEquals(value) {
			keys = append(keys, key)
		}
	}
	for _, key := range after.StableKeys() {
		if _, known := before[key]; !known {
			keys = append(keys, key)
		}
	}
	return slices.DeleteFunc(keys, func(key resource.PropertyKey) bool { return key == "__defaults" || key == "version" })
}

func (s *server) lookup(urn string) (*Resource, *object, error) {
	token := string(resource.URN(urn).Type())
	kind := s.provider.Resources[token]
	if kind == nil {
		return nil, nil, status.Errorf(codes.Unimplemented, "%s: the lab's %s plugin does not have this type", token, s.provider.Name)
	}
	return kind, s.schema.Resources[token], nil
}

// call gives a function its context, which ends with the request and with the run.
func (s *server) call(ctx context.Context, urn string, timeout float64) (*Call, func()) {
	lasting, end := context.WithCancel(ctx)
	joined, cancel := context.WithCancel(lasting)
	over, stop := context.AfterFunc(s.ended, end), context.AfterFunc(s.cancelled, cancel)
	call := &Call{Context: joined, Lasting: lasting, URN: resource.URN(urn), Timeout: timeout, engine: s.engine}
	return call, func() { stop(); over(); cancel(); end() }
}

func checked(inputs resource.PropertyMap, faults []string) (*pulumirpc.CheckResponse, error) {
	marshalled, err := marshal(inputs)
	response := &pulumirpc.CheckResponse{Inputs: marshalled}
	for _, fault := range faults {
		// Without Property: the engine would print that property's value, secrets included.
		response.Failures = append(response.Failures, &pulumirpc.CheckFailure{Reason: fault})
	}
	return response, err
}

// both returns the old inputs (of an older engine's request: the old state) and the new ones.
func both(request *pulumirpc.DiffRequest) (resource.PropertyMap, resource.PropertyMap, error) {
	before := request.GetOldInputs()
	if before == nil {
		before = request.GetOlds()
	}
	olds, err := unmarshal(before)
	if err != nil {
		return nil, nil, err
	}
	news, err := unmarshal(request.GetNews())
	return olds, news, err
}

// withoutVersion drops the plugin's version, which SDKs send among the settings.
func withoutVersion(config resource.PropertyMap) resource.PropertyMap {
	rest := config.Copy()
	for _, own := range []resource.PropertyKey{"version", "pluginDownloadURL", "__internal"} {
		delete(rest, own)
	}
	return rest
}

func unmarshal(values *structpb.Struct) (resource.PropertyMap, error) {
	return plugin.UnmarshalProperties(values, plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true, SkipNulls: true})
}

func marshal(values resource.PropertyMap) (*structpb.Struct, error) {
	return plugin.MarshalProperties(values, plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true, SkipNulls: true})
}

package plugin

import (
	"context"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

func (s *server) Create(ctx context.Context, request *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	kind, object, err := s.lookup(request.GetUrn())
	if err != nil {
		return nil, err
	}
	inputs, err := unmarshal(request.GetProperties())
	if err != nil {
		return nil, err
	}
	if request.GetPreview() {
		marshalled, err := marshal(markSecrets(previewed(object, inputs, nil, nil), object.Properties))
		return &pulumirpc.CreateResponse{Properties: marshalled}, err
	}
	call, done := s.call(ctx, request.GetUrn(), request.GetTimeout())
	defer done()
	id, outputs, failure := kind.Create(call, plain(inputs))
	state, err := s.state(object, inputs, outputs, id, failure)
	if err != nil {
		return nil, err
	}
	return &pulumirpc.CreateResponse{Id: id, Properties: state}, nil
}

func (s *server) Update(ctx context.Context, request *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	kind, object, err := s.lookup(request.GetUrn())
	if err != nil {
		return nil, err
	}
	olds, err := unmarshal(request.GetOlds())
	if err != nil {
		return nil, err
	}
	inputs, err := unmarshal(request.GetNews())
	if err != nil {
		return nil, err
	}
	if request.GetPreview() {
		marshalled, err := marshal(markSecrets(previewed(object, inputs, olds, kind.Recomputed), object.Properties))
		return &pulumirpc.UpdateResponse{Properties: marshalled}, err
	}
	if kind.Update == nil {
		return nil, status.Errorf(codes.Unimplemented, "%s cannot be updated", resource.URN(request.GetUrn()).Type())
	}
	call, done := s.call(ctx, request.GetUrn(), request.GetTimeout())
	defer done()
	outputs, failure := kind.Update(call, request.GetId(), plain(olds), plain(inputs))
	state, err := s.state(object, inputs, outputs, request.GetId(), failure)
	if err != nil {
		return nil, err
	}
	return &pulumirpc.UpdateResponse{Properties: state}, nil
}

func (s *server) Read(ctx context.Context, request *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	kind, object, err := s.lookup(request.GetUrn())
	if err != nil {
		return nil, err
	}
	if kind.Read == nil {
		return &pulumirpc.ReadResponse{Id: request.GetId(), Properties: request.GetProperties(), Inputs: request.GetInputs()}, nil
	}
	inputs, err := unmarshal(request.GetInputs())
	if err != nil {
		return nil, err
	}
	olds, err := unmarshal(request.GetProperties())
	if err != nil {
		return nil, err
	}
	call, done := s.call(ctx, request.GetUrn(), request.GetTimeout())
	defer done()
	id, newInputs, newState, err := kind.Read(call, request.GetId(), plain(inputs), plain(olds))
	if err != nil {
		return nil, status.Error(codes.Unknown, err.Error())
	}
	if id == "" {
		return &pulumirpc.ReadResponse{}, nil
	}
	if newInputs == nil {
		newInputs = inputs
	}
	response := &pulumirpc.ReadResponse{Id: id}
	if response.Inputs, err = marshal(markSecrets(keepSecrets(newInputs, inputs), object.InputProperties)); err != nil {
		return nil, err
	}
	response.Properties, err = marshal(markSecrets(keepSecrets(newState, olds), object.Properties))
	return response, err
}

func (s *server) Delete(ctx context.Context, request *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	kind, _, err := s.lookup(request.GetUrn())
	if err != nil {
		return nil, err
	}
	state, err := unmarshal(request.GetProperties())
	if err != nil {
		return nil, err
	}
	call, done := s.call(ctx, request.GetUrn(), request.GetTimeout())
	defer done()
	if kind.Delete == nil {
		return &emptypb.Empty{}, nil
	}
	if err := kind.Delete(call, request.GetId(), plain(state)); err != nil {
		return nil, status.Error(codes.Unknown, err.Error())
	}
	return &emptypb.Empty{}, nil
}

// previewed is the state as far as it is known before the work: inputs, and of the other properties those that an update leaves alone.
func previewed(object *object, inputs, olds resource.PropertyMap, recomputed []string) resource.PropertyMap {
	state := resource.PropertyMap{}
	for name := range object.Properties {
		key := resource.PropertyKey(name)
		_, isInput := object.InputProperties[name]
		if old, kept := olds[key]; olds != nil && !isInput {
			if kept {
				state[key] = old
			}
			continue
		}
		if olds == nil {
			state[key] = resource.MakeComputed(resource.NewProperty(""))
		}
	}
	for _, name := range recomputed {
		state[resource.PropertyKey(name)] = resource.MakeComputed(resource.NewProperty(""))
	}
	for key, value := range inputs {
		state[key] = value
	}
	return state
}

// keepSecrets returns values, with each one that was secret in known and has not changed as it was there.
func keepSecrets(values, known resource.PropertyMap) resource.PropertyMap {
	kept := resource.PropertyMap{}
	for key, value := range values {
		kept[key] = value
		if old, was := known[key]; was && old.ContainsSecrets() {
			if plainValue(old).DeepEquals(plainValue(value)) {
				kept[key] = old
			} else {
				kept[key] = resource.MakeSecret(plainValue(value))
			}
		}
	}
	return kept
}

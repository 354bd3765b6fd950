package plugin

import (
	"errors"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
)

// state is what goes into the stack's state after work: inputs and outputs together, secrets marked. A failure becomes the error of the
// call; with a PartialError the state goes along and is kept.
func (s *server) state(object *object, inputs, outputs resource.PropertyMap, id string, failure error) (*structpb.Struct, error) {
	var partial *PartialError
	if failure != nil && !errors.As(failure, &partial) {
		return nil, status.Error(codes.Unknown, failure.Error())
	}
	all := resource.PropertyMap{}
	for key, value := range inputs {
		all[key] = value
	}
	for key, value := range outputs {
		all[key] = value
	}
	marshalled, err := marshal(markSecrets(keepSecrets(all, inputs), object.Properties))
	if err != nil || partial == nil {
		return marshalled, err
	}
	kept, err := marshal(inputs)
	if err != nil {
		return nil, err
	}
	detailed, err := status.New(codes.Unknown, partial.Reason).WithDetails(&pulumirpc.ErrorResourceInitFailed{
		Id: id, Properties: marshalled, Reasons: []string{partial.Reason}, Inputs: kept,
	})
	if err != nil {
		return nil, err
	}
	return nil, detailed.Err()
}

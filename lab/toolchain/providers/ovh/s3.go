package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"drlab/toolchain/internal/plugin"
)

// noPolicy is what the deletion of a policy writes: a user always has one.
const noPolicy = `{"Statement":[]}`

type s3Credential struct {
	Access string `json:"access"`
	Secret string `json:"secret"`
	UserID string `json:"userId"`
	Tenant string `json:"tenantId"`
}

type credentials struct{ api *client }

func credential(api *client) *plugin.Resource {
	c := credentials{api}
	return &plugin.Resource{Check: inProject, Create: c.create, Read: c.read, Delete: c.delete}
}

func (c credentials) create(call *plugin.Call, inputs resource.PropertyMap) (string, resource.PropertyMap, error) {
	var made s3Credential
	if err := c.api.post(call, credentialsPath(inputs), nil, &made); err != nil {
		return "", nil, fmt.Errorf("S3 credential of user %s cannot be created: %w", text(inputs, "userId"), err)
	}
	state, err := c.get(call, inputs, made.Access)
	if err != nil {
		return made.Access, credentialState(inputs, made), &plugin.PartialError{Reason: fmt.Sprintf("S3 credential was created and cannot be read: %v", err)}
	}
	return made.Access, state, nil
}

// get reads a credential by the call that shows its secret, which is a POST.
func (c credentials) get(call *plugin.Call, values resource.PropertyMap, access string) (resource.PropertyMap, error) {
	var shown s3Credential
	if err := c.api.post(call, credentialsPath(values)+"/"+url.PathEscape(access)+"/secret", nil, &shown); err != nil {
		return nil, err
	}
	return credentialState(values, shown), nil
}

func credentialState(values resource.PropertyMap, shown s3Credential) resource.PropertyMap {
	return resource.PropertyMap{
		"accessKeyId":     resource.NewProperty(shown.Access),
		"secretAccessKey": resource.NewProperty(shown.Secret),
		"internalUserId":  resource.NewProperty(shown.UserID),
		"userId":          values["userId"],
		"serviceName":     values["serviceName"],
	}
}

// read fails on a credential that is gone, as the published plugin does: the state must be mended by hand.
func (c credentials) read(
	call *plugin.Call, id string, inputs, state resource.PropertyMap,
) (string, resource.PropertyMap, resource.PropertyMap, error) {
	values := state
	if text(values, "userId") == "" { // an import: <project>/<user>/<access key>
		parts := strings.Split(id, "/")
		if len(parts) != 3 {
			return "", nil, nil, fmt.Errorf("S3 credential %q cannot be imported: wanted <project id>/<user id>/<access key>", id)
		}
		values = resource.PropertyMap{"serviceName": resource.NewProperty(parts[0]), "userId": resource.NewProperty(parts[1])}
		id = parts[2]
	}
	shown, err := c.get(call, values, id)
	if err != nil {
		return "", nil, nil, fmt.Errorf("S3 credential of user %s cannot be read: %w", text(values, "userId"), err)
	}
	return id, seen(inputs, shown, "serviceName", "userId"), shown, nil
}

func (c credentials) delete(call *plugin.Call, id string, state resource.PropertyMap) error {
	if err := c.api.delete(call, credentialsPath(state)+"/"+url.PathEscape(id)); err != nil && !gone(err) {
		return fmt.Errorf("S3 credential of user %s cannot be deleted: %w", text(state, "userId"), err)
	}
	return nil
}

func credentialsPath(values resource.PropertyMap) string {
	return userPath(values, text(values, "userId")) + "/s3Credentials"
}

type policies struct{ api *client }

func policy(api *client) *plugin.Resource {
	p := policies{api}
	return &plugin.Resource{Check: inProject, Create: p.create, Read: p.read, Update: p.update, Delete: p.delete}
}

func (p policies) create(call *plugin.Call, inputs resource.PropertyMap) (string, resource.PropertyMap, error) {
	state, err := p.set(call, inputs)
	return text(inputs, "serviceName") + "/" + text(inputs, "userId"), state, err
}

func (p policies) update(call *plugin.Call, _ string, _, inputs resource.PropertyMap) (resource.PropertyMap, error) {
	return p.set(call, inputs)
}

func (p policies) set(call *plugin.Call, inputs resource.PropertyMap) (resource.PropertyMap, error) {
	if err := p.api.post(call, policyPath(inputs), map[string]string{"policy": text(inputs, "policy")}, nil); err != nil {
		return nil, fmt.Errorf("S3 policy of user %s cannot be set: %w", text(inputs, "userId"), err)
	}
	return p.get(call, inputs)
}

func (p policies) get(call *plugin.Call, values resource.PropertyMap) (resource.PropertyMap, error) {
	var shown struct{ Policy string }
	if err := p.api.get(call, policyPath(values), &shown); err != nil {
		return nil, err
	}
	return resource.PropertyMap{
		"policy": resource.NewProperty(shown.Policy), "serviceName": values["serviceName"], "userId": values["userId"],
	}, nil
}

func (p policies) read(
	call *plugin.Call, id string, inputs, state resource.PropertyMap,
) (string, resource.PropertyMap, resource.PropertyMap, error) {
	values := state
	if text(values, "userId") == "" { // an import: the id says it all
		service, number, found := strings.Cut(id, "/")
		if !found {
			return "", nil, nil, fmt.Errorf("S3 policy %q cannot be imported: wanted <project id>/<user id>", id)
		}
		values = resource.PropertyMap{"serviceName": resource.NewProperty(service), "userId": resource.NewProperty(number)}
	}
	shown, err := p.get(call, values)
	if gone(err) {
		return "", nil, nil, nil
	}
	if err != nil {
		return "", nil, nil, err
	}
	return id, seen(inputs, shown, "policy", "serviceName", "userId"), shown, nil
}

func (p policies) delete(call *plugin.Call, _ string, state resource.PropertyMap) error {
	if err := p.api.post(call, policyPath(state), map[string]string{"policy": noPolicy}, nil); err != nil && !gone(err) {
		return fmt.Errorf("S3 policy of user %s cannot be taken away: %w", text(state, "userId"), err)
	}
	return nil
}

func policyPath(values resource.PropertyMap) string {
	return userPath(values, text(values, "userId")) + "/policy"
}

package main

import (
	"net/url"
	"os"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"drlab/toolchain/internal/plugin"
)

func text(values resource.PropertyMap, key resource.PropertyKey) string {
	if value, ok := values[key]; ok && value.IsString() {
		return value.StringValue()
	}
	return ""
}

func texts(values resource.PropertyMap, key resource.PropertyKey) []string {
	var all []string
	if value, ok := values[key]; ok && value.IsArray() {
		for _, element := range value.ArrayValue() {
			all = append(all, element.StringValue())
		}
	}
	return all
}

func flag(values resource.PropertyMap, key resource.PropertyKey) bool {
	value, ok := values[key]
	return ok && value.IsBool() && value.BoolValue()
}

// project is the API's path of a Public Cloud project.
func project(values resource.PropertyMap) string {
	return "/cloud/project/" + url.PathEscape(text(values, "serviceName"))
}

// inProject fills in the project's id from the environment, as the published plugin does.
func inProject(_ *plugin.Call, _, news resource.PropertyMap) (resource.PropertyMap, []string) {
	if _, given := news["serviceName"]; given {
		return nil, nil
	}
	if id := os.Getenv("OVH_CLOUD_PROJECT_SERVICE"); id != "" {
		return resource.PropertyMap{"serviceName": resource.NewProperty(id)}, nil
	}
	return nil, []string{"missing required property \"serviceName\": set it to the Public Cloud project's id, or set OVH_CLOUD_PROJECT_SERVICE"}
}

// seen gives the inputs that would lead to a state: of the known inputs those properties that the state shows, as it shows them. What was never
// an input stays none, so that defaults of the API are no difference. In an import there are no inputs yet, and all of `offered` become some.
func seen(inputs, state resource.PropertyMap, offered ...resource.PropertyKey) resource.PropertyMap {
	if len(inputs) > 0 {
		return seenIn(inputs, state)
	}
	all := resource.PropertyMap{}
	for _, key := range offered {
		if value, there := state[key]; there && !value.IsNull() {
			all[key] = value
		}
	}
	return all
}

func seenIn(inputs, state resource.PropertyMap) resource.PropertyMap {
	kept := resource.PropertyMap{}
	for key, old := range inputs {
		value, there := state[key]
		switch {
		case !there || value.IsNull():
			if old.IsString() && old.StringValue() == "" || strings.HasPrefix(string(key), "__") {
				kept[key] = old
			}
		case old.IsObject() && value.IsObject():
			kept[key] = resource.NewProperty(seenIn(old.ObjectValue(), value.ObjectValue()))
		case old.IsArray() && value.IsArray() && len(old.ArrayValue()) == len(value.ArrayValue()):
			kept[key] = resource.NewProperty(seenElements(old.ArrayValue(), value.ArrayValue()))
		default:
			kept[key] = value
		}
	}
	return kept
}

func seenElements(olds, values []resource.PropertyValue) []resource.PropertyValue {
	elements := make([]resource.PropertyValue, 0, len(values))
	for index, value := range values {
		if olds[index].IsObject() && value.IsObject() {
			value = resource.NewProperty(seenIn(olds[index].ObjectValue(), value.ObjectValue()))
		}
		elements = append(elements, value)
	}
	return elements
}

// withoutNulls drops nulls at every depth: a state has none.
func withoutNulls(value resource.PropertyValue) resource.PropertyValue {
	switch {
	case value.IsObject():
		kept := resource.PropertyMap{}
		for key, element := range value.ObjectValue() {
			if !element.IsNull() {
				kept[key] = withoutNulls(element)
			}
		}
		return resource.NewProperty(kept)
	case value.IsArray():
		kept := make([]resource.PropertyValue, 0, len(value.ArrayValue()))
		for _, element := range value.ArrayValue() {
			kept = append(kept, withoutNulls(element))
		}
		return resource.NewProperty(kept)
	}
	return value
}

package main

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"drlab/toolchain/internal/plugin"
)

// suffixBytes of an automatic name: seven hex digits, as the bridge gives.
const suffixBytes, suffixDigits = 4, 7

// blocks of a container that can be changed in place.
var blocks = []resource.PropertyKey{"encryption", "versioning", "replication", "objectLock", "tags"}

type containers struct{ api *client }

func storage(api *client) *plugin.Resource {
	c := containers{api}
	return &plugin.Resource{
		Check: c.check, Create: c.create, Read: c.read, Update: c.update, Delete: c.delete,
		Recomputed: []string{"objects", "objectsCount", "objectsSize"},
	}
}

func (containers) check(call *plugin.Call, olds, news resource.PropertyMap) (resource.PropertyMap, []string) {
	added, refusals := inProject(call, olds, news)
	if _, given := news["name"]; given {
		return added, refusals
	}
	name := olds["name"]
	if !name.IsString() {
		seed := call.Seed
		if len(seed) < suffixBytes {
			return added, append(refusals, "missing property \"name\": the engine sent no seed for an automatic one; set it")
		}
		name = resource.NewProperty(call.URN.Name() + "-" + hex.EncodeToString(seed[:suffixBytes])[:suffixDigits])
	}
	if added == nil {
		added = resource.PropertyMap{}
	}
	added["name"] = name
	return added, refusals
}

func (c containers) create(call *plugin.Call, inputs resource.PropertyMap) (string, resource.PropertyMap, error) {
	body := wantedBlocks(inputs)
	body["name"] = text(inputs, "name")
	if owner, given := inputs["ownerId"]; given {
		body["ownerId"] = owner.Mappable()
	}
	var made map[string]any
	if err := c.api.post(call, regionPath(inputs), body, &made); err != nil {
		return "", nil, fmt.Errorf("storage container %s cannot be created: %w", text(inputs, "name"), err)
	}
	return text(inputs, "name"), shownContainer(made, inputs), nil
}

// wantedBlocks gives the container's settings as the API takes them. A rule's storage class and tags are null when they are not given.
func wantedBlocks(inputs resource.PropertyMap) map[string]any {
	body := map[string]any{}
	for _, key := range blocks {
		if value, given := inputs[key]; given {
			body[string(key)] = value.Mappable()
		}
	}
	replication, _ := body["replication"].(map[string]any)
	rules, _ := replication["rules"].([]any)
	for _, entry := range rules {
		rule, _ := entry.(map[string]any)
		withNull(rule, "destination", "storageClass")
		withNull(rule, "filter", "tags")
	}
	return body
}

func withNull(rule map[string]any, block, field string) {
	inner, given := rule[block].(map[string]any)
	if !given {
		return
	}
	if _, set := inner[field]; !set {
		inner[field] = nil
	}
}

// shownContainer is the state: the API's answer over the settings that it does not show.
func shownContainer(answer map[string]any, settings resource.PropertyMap) resource.PropertyMap {
	state := resource.PropertyMap{}
	for _, key := range []resource.PropertyKey{"serviceName", "regionName", "hideObjects", "limit", "marker", "prefix"} {
		if value, given := settings[key]; given {
			state[key] = value
		}
	}
	for key, value := range answer {
		if value != nil {
			state[resource.PropertyKey(key)] = withoutNulls(resource.NewPropertyValue(value))
		}
	}
	if flag(settings, "hideObjects") {
		state["objects"] = resource.NewProperty([]resource.PropertyValue{})
	}
	return state
}

func (c containers) get(call *plugin.Call, values resource.PropertyMap) (resource.PropertyMap, error) {
	query := url.Values{}
	for _, key := range []string{"marker", "prefix"} {
		if value := text(values, resource.PropertyKey(key)); value != "" {
			query.Add(key, value)
		}
	}
	if limit, given := values["limit"]; given && limit.IsNumber() {
		query.Add("limit", strconv.FormatFloat(limit.NumberValue(), 'f', -1, 64))
	}
	var answer map[string]any
	// The bare question mark is the published plugin's; it is part of what is signed.
	if err := c.api.get(call, containerPath(values)+"?"+query.Encode(), &answer); err != nil {
		return nil, err
	}
	return shownContainer(answer, values), nil
}

func (c containers) read(
	call *plugin.Call, id string, inputs, state resource.PropertyMap,
) (string, resource.PropertyMap, resource.PropertyMap, error) {
	values := state
	if text(values, "regionName") == "" { // an import: <project>/<region>/<name>
		parts := strings.Split(id, "/")
		if len(parts) != 3 {
			return "", nil, nil, fmt.Errorf("storage container %q cannot be imported: wanted <project id>/<region>/<name>", id)
		}
		values = resource.PropertyMap{
			"serviceName": resource.NewProperty(parts[0]), "regionName": resource.NewProperty(parts[1]), "name": resource.NewProperty(parts[2]),
		}
		id = parts[2]
	}
	shown, err := c.get(call, values)
	if gone(err) {
		return "", nil, nil, nil
	}
	if err != nil {
		return "", nil, nil, err
	}
	if flag(values, "hideObjects") { // shown as none by a run, and not at all by a refresh, as the published plugin has it
		delete(shown, "objects")
	}
	return id, seen(inputs, shown, append([]resource.PropertyKey{"serviceName", "regionName", "name"}, blocks...)...), shown, nil
}

func (c containers) update(call *plugin.Call, _ string, _, inputs resource.PropertyMap) (resource.PropertyMap, error) {
	if err := c.api.put(call, containerPath(inputs), wantedBlocks(inputs), nil); err != nil {
		return nil, fmt.Errorf("storage container %s cannot be changed: %w", text(inputs, "name"), err)
	}
	return c.get(call, inputs)
}

// delete empties the container first, old versions and delete markers included: that is what the published plugin does, so protect what matters.
func (c containers) delete(call *plugin.Call, _ string, state resource.PropertyMap) error {
	path := containerPath(state)
	for last := ""; ; {
		var objects []struct{ Key, VersionID string }
		if err := c.api.get(call, path+"/object?withVersions=true", &objects); gone(err) {
			return nil
		} else if err != nil {
			return fmt.Errorf("objects of storage container %s cannot be listed: %w", text(state, "name"), err)
		}
		if len(objects) == 0 {
			break
		}
		if first := objects[0].Key + " " + objects[0].VersionID; first == last { // a locked object, which no deletion removes
			return fmt.Errorf("storage container %s still has %s after its deletion: it cannot be emptied; unlock its objects first", text(state, "name"), first)
		} else {
			last = first
		}
		doomed := make([]map[string]string, 0, len(objects))
		for _, object := range objects {
			doomed = append(doomed, map[string]string{"key": object.Key, "versionId": object.VersionID})
		}
		if err := c.api.post(call, path+"/bulkDeleteObjects", map[string]any{"objects": doomed}, nil); err != nil {
			return fmt.Errorf("storage container %s cannot be emptied: %w", text(state, "name"), err)
		}
	}
	if err := c.api.delete(call, path); err != nil && !gone(err) {
		return fmt.Errorf("storage container %s cannot be deleted: %w", text(state, "name"), err)
	}
	return nil
}

func regionPath(values resource.PropertyMap) string {
	return project(values) + "/region/" + url.PathEscape(text(values, "regionName")) + "/storage"
}

func containerPath(values resource.PropertyMap) string {
	return regionPath(values) + "/" + url.PathEscape(text(values, "name"))
}

package main

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"drlab/toolchain/internal/plugin"
)

const (
	minimalTTL = 60
	// A record that was just made may be unknown for a while.
	recordPatience, recordPoll = time.Minute, 500 * time.Millisecond
)

// zoneRecord is a record as the API shows and takes it; what is empty is left out, but for target and ttl.
type zoneRecord struct {
	ID        int64  `json:"id,omitempty"`
	Zone      string `json:"zone,omitempty"`
	Target    string `json:"target"`
	TTL       int    `json:"ttl"`
	FieldType string `json:"fieldType,omitempty"`
	SubDomain string `json:"subDomain,omitempty"`
}

type records struct{ api *client }

func record(api *client) *plugin.Resource {
	r := records{api}
	return &plugin.Resource{Check: r.check, Create: r.create, Read: r.read, Update: r.update, Delete: r.delete}
}

func (records) check(_ *plugin.Call, _, news resource.PropertyMap) (resource.PropertyMap, []string) {
	if ttl, given := news["ttl"]; given && ttl.IsNumber() && ttl.NumberValue() != 0 && ttl.NumberValue() < minimalTTL {
		return nil, []string{fmt.Sprintf("property \"ttl\" is %v: wanted 0 (the zone's own) or %d and more", ttl.NumberValue(), minimalTTL)}
	}
	return nil, nil
}

func (r records) create(call *plugin.Call, inputs resource.PropertyMap) (string, resource.PropertyMap, error) {
	zone, wanted := text(inputs, "zone"), wantedRecord(inputs)
	wanted.FieldType = text(inputs, "fieldtype")
	var made zoneRecord
	if err := r.api.post(call, zonePath(zone)+"/record", wanted, &made); err != nil {
		return "", nil, fmt.Errorf("record %s of %s cannot be created: %w", wanted.SubDomain, zone, err)
	}
	if made.ID == 0 {
		found, err := r.find(call, zone, wanted)
		if err != nil {
			return "", nil, err
		}
		made.ID = found
	}
	id := strconv.FormatInt(made.ID, 10)
	r.refresh(call, zone)
	state, err := r.await(call, zone, id)
	if err != nil {
		return id, nil, &plugin.PartialError{Reason: fmt.Sprintf("record %s of %s was created and cannot be read: %v", id, zone, err)}
	}
	return id, state, nil
}

// find looks a record up by what it says, because the API may answer a creation with id 0. The newest one of several is ours.
func (r records) find(call *plugin.Call, zone string, wanted zoneRecord) (int64, error) {
	var ids []int64
	if err := r.api.get(call, zonePath(zone)+"/record", &ids); err != nil {
		return 0, fmt.Errorf("zone %s: a record was created and cannot be looked up: %w; look for an orphan", zone, err)
	}
	var newest int64
	for _, id := range ids {
		var one zoneRecord
		if err := r.api.get(call, fmt.Sprintf("%s/record/%d", zonePath(zone), id), &one); gone(err) {
			continue
		} else if err != nil {
			return 0, err
		}
		if one.Target == wanted.Target && one.SubDomain == wanted.SubDomain && one.FieldType == wanted.FieldType && id > newest {
			newest = id
		}
	}
	if newest == 0 {
		return 0, fmt.Errorf("zone %s: a record was created with id 0 and cannot be found again; look for an orphan", zone)
	}
	return newest, nil
}

func (r records) await(call *plugin.Call, zone, id string) (resource.PropertyMap, error) {
	deadline := time.Now().Add(recordPatience)
	for {
		state, err := r.get(call, zone, id)
		if !gone(err) || time.Now().After(deadline) {
			return state, err
		}
		if err := pause(call, recordPoll); err != nil {
			return nil, err
		}
	}
}

func (r records) get(call *plugin.Call, zone, id string) (resource.PropertyMap, error) {
	var shown zoneRecord
	if err := r.api.get(call, zonePath(zone)+"/record/"+url.PathEscape(id), &shown); err != nil {
		return nil, err
	}
	return resource.PropertyMap{
		"zone":      resource.NewProperty(shown.Zone),
		"fieldtype": resource.NewProperty(shown.FieldType),
		"subdomain": resource.NewProperty(shown.SubDomain),
		"target":    resource.NewProperty(shown.Target),
		"ttl":       resource.NewProperty(float64(shown.TTL)),
	}, nil
}

func (r records) read(
	call *plugin.Call, id string, inputs, state resource.PropertyMap,
) (string, resource.PropertyMap, resource.PropertyMap, error) {
	zone := text(state, "zone")
	if zone == "" { // an import: <id>.<zone>
		number, rest, found := strings.Cut(id, ".")
		if !found {
			return "", nil, nil, fmt.Errorf("record %q cannot be imported: wanted <id>.<zone>", id)
		}
		id, zone = number, rest
	}
	shown, err := r.get(call, zone, id)
	if gone(err) {
		return "", nil, nil, nil
	}
	if err != nil {
		return "", nil, nil, err
	}
	return id, seen(inputs, shown, "zone", "fieldtype", "subdomain", "target", "ttl"), shown, nil
}

func (r records) update(call *plugin.Call, id string, _, inputs resource.PropertyMap) (resource.PropertyMap, error) {
	zone := text(inputs, "zone")
	if err := r.api.put(call, zonePath(zone)+"/record/"+url.PathEscape(id), wantedRecord(inputs), nil); err != nil {
		return nil, fmt.Errorf("record %s of %s cannot be changed: %w", id, zone, err)
	}
	r.refresh(call, zone)
	return r.get(call, zone, id)
}

func (r records) delete(call *plugin.Call, id string, state resource.PropertyMap) error {
	zone := text(state, "zone")
	if err := r.api.delete(call, zonePath(zone)+"/record/"+url.PathEscape(id)); gone(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("record %s of %s cannot be deleted: %w", id, zone, err)
	}
	r.refresh(call, zone)
	return nil
}

// refresh publishes the zone. A failure is a line of the debug log and nothing else, as in the published plugin: whoever needs the record
// served must ask the name servers.
func (r records) refresh(call *plugin.Call, zone string) {
	if err := r.api.post(call, zonePath(zone)+"/refresh", nil, nil); err != nil {
		call.Log(pulumirpc.LogSeverity_DEBUG, fmt.Sprintf("zone %s was not refreshed: %v", zone, err))
	}
}

func wantedRecord(inputs resource.PropertyMap) zoneRecord {
	wanted := zoneRecord{Target: text(inputs, "target"), SubDomain: text(inputs, "subdomain")}
	if ttl, given := inputs["ttl"]; given && ttl.IsNumber() {
		wanted.TTL = int(ttl.NumberValue())
	}
	return wanted
}

func zonePath(zone string) string { return "/domain/zone/" + url.PathEscape(zone) }

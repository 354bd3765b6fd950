package plugin

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// faults lists what is wrong with inputs. Texts name properties and types, never values: they may be secret.
func (s *schema) faults(values resource.PropertyMap, properties map[string]*property, required []string, path string) []string {
	var found []string
	for _, name := range required {
		if _, given := values[resource.PropertyKey(name)]; !given {
			found = append(found, fmt.Sprintf("missing required property %q: set it", path+name))
		}
	}
	for _, key := range values.StableKeys() {
		name := string(key)
		p := properties[name]
		switch {
		case strings.HasPrefix(name, "__"): // the engine's own
		case p == nil:
			found = append(found, fmt.Sprintf("unknown property %q: this type has %s", path+name, strings.Join(names(properties), ", ")))
		default:
			found = append(found, s.valueFaults(values[key], p, path+name)...)
		}
	}
	return found
}

func (s *schema) valueFaults(value resource.PropertyValue, p *property, path string) []string {
	if value.IsSecret() {
		return s.valueFaults(value.SecretValue().Element, p, path)
	}
	if value.IsComputed() || value.IsOutput() || value.IsNull() {
		return nil
	}
	if nested := s.nested(p); nested != nil && nested.Type == "object" {
		if !value.IsObject() {
			return wrong(path, value, "object")
		}
		return s.faults(value.ObjectValue(), nested.Properties, nested.Required, path+".")
	}
	switch {
	case p.Ref != "" && s.nested(p) != nil:
		return enumFaults(value, s.nested(p), path)
	case p.Ref != "" || len(p.OneOf) > 0: // pulumi.json#/Any, Asset, Archive: the SDK and the functions check those
		return nil
	case p.Type == "array":
		return s.arrayFaults(value, p, path)
	case p.Type == "object":
		return s.mapFaults(value, p, path)
	case !fits(value, p.Type):
		return wrong(path, value, p.Type)
	}
	return nil
}

func (s *schema) arrayFaults(value resource.PropertyValue, p *property, path string) []string {
	if !value.IsArray() {
		return wrong(path, value, "array")
	}
	var found []string
	for index, element := range value.ArrayValue() {
		if p.Items != nil {
			found = append(found, s.valueFaults(element, p.Items, fmt.Sprintf("%s[%d]", path, index))...)
		}
	}
	return found
}

func (s *schema) mapFaults(value resource.PropertyValue, p *property, path string) []string {
	if !value.IsObject() {
		return wrong(path, value, "object")
	}
	var found []string
	for _, key := range value.ObjectValue().StableKeys() {
		if p.AdditionalProperties != nil {
			found = append(found, s.valueFaults(value.ObjectValue()[key], p.AdditionalProperties, path+"."+string(key))...)
		}
	}
	return found
}

func enumFaults(value resource.PropertyValue, enum *object, path string) []string {
	var allowed []string
	for _, option := range enum.Enum {
		allowed = append(allowed, fmt.Sprint(option.Value))
	}
	if !value.IsString() || !slices.Contains(allowed, value.StringValue()) {
		return []string{fmt.Sprintf("property %q must be one of %s", path, strings.Join(allowed, ", "))}
	}
	return nil
}

func fits(value resource.PropertyValue, kind string) bool {
	switch kind {
	case "string":
		return value.IsString()
	case "boolean":
		return value.IsBool()
	case "number":
		return value.IsNumber()
	case "integer":
		return value.IsNumber() && value.NumberValue() == math.Trunc(value.NumberValue())
	}
	return true
}

func wrong(path string, value resource.PropertyValue, wanted string) []string {
	return []string{fmt.Sprintf("property %q is a %s, must be a %s", path, value.TypeString(), wanted)}
}

func names(properties map[string]*property) []string {
	var all []string
	for name := range properties {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// decodeConfig turns a provider's settings into the types of the schema: SDKs send all but strings as JSON text.
func decodeConfig(values resource.PropertyMap, properties map[string]*property) resource.PropertyMap {
	decoded := resource.PropertyMap{}
	for key, value := range values {
		decoded[key] = value
		p := properties[string(key)]
		if p == nil || p.Type == "string" {
			continue
		}
		secret := value.IsSecret()
		if secret {
			value = value.SecretValue().Element
		}
		var parsed any
		if !value.IsString() || json.Unmarshal([]byte(value.StringValue()), &parsed) != nil {
			continue // not JSON: left as it is, so that the check names the property
		}
		decoded[key] = resource.NewPropertyValue(parsed)
		if secret {
			decoded[key] = resource.MakeSecret(decoded[key])
		}
	}
	return decoded
}

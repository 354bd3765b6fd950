package plugin

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// property is what the schema says of one property or of an element of it.
type property struct {
	Type                 string      `json:"type"`
	Ref                  string      `json:"$ref"`
	Items                *property   `json:"items"`
	AdditionalProperties *property   `json:"additionalProperties"`
	Secret               bool        `json:"secret"`
	ReplaceOnChanges     bool        `json:"replaceOnChanges"`
	WillReplaceOnChanges bool        `json:"willReplaceOnChanges"`
	Default              any         `json:"default"`
	OneOf                []*property `json:"oneOf"`
}

// object is a resource, the provider's settings or a nested type.
type object struct {
	Type            string               `json:"type"`
	InputProperties map[string]*property `json:"inputProperties"`
	Properties      map[string]*property `json:"properties"`
	Required        []string             `json:"required"`
	RequiredInputs  []string             `json:"requiredInputs"`
	Enum            []struct {
		Value any `json:"value"`
	} `json:"enum"`
}

type schema struct {
	Name      string             `json:"name"`
	Provider  object             `json:"provider"`
	Resources map[string]*object `json:"resources"`
	Types     map[string]*object `json:"types"`
}

func parseSchema(text []byte) (*schema, error) {
	parsed := &schema{}
	if err := json.Unmarshal(text, parsed); err != nil {
		return nil, fmt.Errorf("schema cut: %w", err)
	}
	return parsed, nil
}

// nested returns the type that a property refers to, nil for anything else.
func (s *schema) nested(p *property) *object {
	return s.Types[strings.TrimPrefix(p.Ref, "#/types/")]
}

// withDefaults fills in the schema's defaults, in nested objects too, whether or not they are secret.
func (s *schema) withDefaults(values resource.PropertyMap, properties map[string]*property) resource.PropertyMap {
	filled := resource.PropertyMap{}
	for key, value := range values {
		filled[key] = value
		if p := properties[string(key)]; p != nil {
			filled[key] = s.valueWithDefaults(value, p)
		}
	}
	for name, p := range properties {
		if _, given := values[resource.PropertyKey(name)]; !given && p.Default != nil {
			filled[resource.PropertyKey(name)] = resource.NewPropertyValue(p.Default)
		}
	}
	return filled
}

func (s *schema) valueWithDefaults(value resource.PropertyValue, p *property) resource.PropertyValue {
	switch {
	case value.IsSecret():
		return resource.MakeSecret(s.valueWithDefaults(value.SecretValue().Element, p))
	case value.IsObject() && s.nested(p) != nil:
		return resource.NewProperty(s.withDefaults(value.ObjectValue(), s.nested(p).Properties))
	case value.IsObject() && p.AdditionalProperties != nil:
		filled := resource.PropertyMap{}
		for key, element := range value.ObjectValue() {
			filled[key] = s.valueWithDefaults(element, p.AdditionalProperties)
		}
		return resource.NewProperty(filled)
	case value.IsArray() && p.Items != nil:
		filled := make([]resource.PropertyValue, 0, len(value.ArrayValue()))
		for _, element := range value.ArrayValue() {
			filled = append(filled, s.valueWithDefaults(element, p.Items))
		}
		return resource.NewProperty(filled)
	}
	return value
}

// markSecrets wraps what the schema calls secret.
func markSecrets(values resource.PropertyMap, properties map[string]*property) resource.PropertyMap {
	marked := resource.PropertyMap{}
	for key, value := range values {
		if p := properties[string(key)]; p != nil && p.Secret && !value.IsSecret() && !value.IsComputed() && !value.IsNull() {
			value = resource.MakeSecret(value)
		}
		marked[key] = value
	}
	return marked
}

// plain takes all secret wrappers off.
func plain(values resource.PropertyMap) resource.PropertyMap {
	bare := resource.PropertyMap{}
	for key, value := range values {
		bare[key] = plainValue(value)
	}
	return bare
}

func plainValue(value resource.PropertyValue) resource.PropertyValue {
	switch {
	case value.IsSecret():
		return plainValue(value.SecretValue().Element)
	case value.IsObject():
		return resource.NewProperty(plain(value.ObjectValue()))
	case value.IsArray():
		bare := make([]resource.PropertyValue, 0, len(value.ArrayValue()))
		for _, element := range value.ArrayValue() {
			bare = append(bare, plainValue(element))
		}
		return resource.NewProperty(bare)
	}
	return value
}

package plugin

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	urn = "urn:pulumi:s::p::lab:a/thing:Thing::it"
	cut = `{"name": "lab",
	"provider": {"inputProperties": {"limit": {"type": "integer"}, "key": {"type": "string", "secret": true}}, "requiredInputs": ["key"]},
	"resources": {"lab:a/thing:Thing": {
		"inputProperties": {"name": {"type": "string"}, "size": {"type": "integer", "default": 3}, "zone": {"type": "string", "willReplaceOnChanges": true},
			"rules": {"type": "array", "items": {"$ref": "#/types/lab:a/rule:rule"}}, "tags": {"type": "object", "additionalProperties": {"type": "string"}},
			"password": {"type": "string", "secret": true}},
		"properties": {"name": {"type": "string"}, "size": {"type": "integer"}, "zone": {"type": "string"}, "rules": {"type": "array"}, "tags": {"type": "object"},
			"password": {"type": "string", "secret": true}, "token": {"type": "string", "secret": true}, "status": {"type": "string"}},
		"requiredInputs": ["zone"]}},
	"types": {"lab:a/rule:rule": {"type": "object", "properties": {"port": {"type": "integer", "default": 22}, "kind": {"$ref": "#/types/lab:a/kind:kind"}}, "required": ["kind"]},
		"lab:a/kind:kind": {"type": "string", "enum": [{"value": "in"}, {"value": "out"}]}}}`
)

type values = map[string]any

// unknown is how the engine writes a string that it does not know yet; secretOf how it writes a secret.
const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

func secretOf(value any) values {
	return values{"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": value}
}

func fields(t *testing.T, given values) *structpb.Struct {
	t.Helper()
	built, err := structpb.NewStruct(given)
	if err != nil {
		t.Fatal(err)
	}
	return built
}

func serving(t *testing.T, kind *Resource) *server {
	t.Helper()
	made, err := newServer(&Provider{Name: "lab", Schema: []byte(cut), Resources: map[string]*Resource{"lab:a/thing:Thing": kind}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func reasons(t *testing.T, given values) []string {
	t.Helper()
	answer, err := serving(t, &Resource{}).Check(context.Background(), &pulumirpc.CheckRequest{Urn: urn, News: fields(t, given)})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, failure := range answer.GetFailures() {
		if failure.GetProperty() != "" {
			t.Errorf("a property is named, so the engine prints its value: %v", failure)
		}
		found = append(found, failure.GetReason())
	}
	return found
}

func TestCheckRefuses(t *testing.T) {
	for given, wanted := range map[string]string{
		`no zone`:        `missing required property "zone"`,
		`unknown`:        `unknown property "colour"`,
		`wrong type`:     `property "size" is a string, must be a integer`,
		`fraction`:       `property "size" is a number, must be a integer`,
		`nested type`:    `property "rules[0].port" is a string`,
		`nested unknown`: `unknown property "rules[0].x"`,
		`nested missing`: `missing required property "rules[0].kind"`,
		`enum`:           `property "rules[0].kind" must be one of in, out`,
		`map`:            `property "tags.a" is a bool`,
		`secret`:         `property "password" is a number`,
	} {
		inputs := map[string]values{
			`no zone`:        {},
			`unknown`:        {"zone": "z", "colour": "red"},
			`wrong type`:     {"zone": "z", "size": "big"},
			`fraction`:       {"zone": "z", "size": 1.5},
			`nested type`:    {"zone": "z", "rules": []any{values{"kind": "in", "port": "x"}}},
			`nested unknown`: {"zone": "z", "rules": []any{values{"kind": "in", "x": 1}}},
			`nested missing`: {"zone": "z", "rules": []any{values{}}},
			`enum`:           {"zone": "z", "rules": []any{values{"kind": "sideways"}}},
			`map`:            {"zone": "z", "tags": values{"a": true}},
			`secret`:         {"zone": "z", "password": secretOf(12345)},
		}[given]
		found := reasons(t, inputs)
		if len(found) != 1 || !strings.HasPrefix(found[0], wanted) {
			t.Errorf("%s: %q, wanted one that begins with %q", given, found, wanted)
		}
		if strings.Contains(strings.Join(found, ""), "12345") {
			t.Errorf("%s: the value is in the text: %q", given, found)
		}
	}
	if found := reasons(t, values{"zone": unknown, "size": unknown, "rules": unknown}); found != nil {
		t.Errorf("unknown values are refused: %q", found)
	}
}

func TestCheckFillsInDefaultsAndMarksSecrets(t *testing.T) {
	kind := &Resource{Check: func(call *Call, olds, news resource.PropertyMap) (resource.PropertyMap, []string) {
		if news["password"].StringValue() != "p" || string(call.Seed) != "seed" {
			return nil, []string{"the function sees other values"}
		}
		return resource.PropertyMap{"name": resource.NewProperty("auto-" + olds["name"].StringValue())}, nil
	}}
	answer, err := serving(t, kind).Check(context.Background(), &pulumirpc.CheckRequest{
		Urn: urn, RandomSeed: []byte("seed"), Olds: fields(t, values{"name": "was"}),
		News: fields(t, values{"zone": "z", "password": "p", "rules": []any{values{"kind": "in"}}}),
	})
	if err != nil || len(answer.GetFailures()) != 0 {
		t.Fatal(err, answer.GetFailures())
	}
	wanted := values{"zone": "z", "size": 3, "name": "auto-was", "password": secretOf("p"), "rules": []any{values{"kind": "in", "port": 22}}}
	same(t, answer.GetInputs(), wanted)
}

func same(t *testing.T, found *structpb.Struct, wanted values) {
	t.Helper()
	if got, want := found.AsMap(), fields(t, wanted).AsMap(); !resource.NewPropertyMapFromMap(got).DeepEquals(resource.NewPropertyMapFromMap(want)) {
		t.Errorf("found  %v\nwanted %v", got, want)
	}
}

func TestDiff(t *testing.T) {
	updates := func(*Call, string, resource.PropertyMap, resource.PropertyMap) (resource.PropertyMap, error) {
		return nil, nil
	}
	for name, row := range map[string]struct {
		olds, news      values
		ignored         []string
		kind            *Resource
		diffs, replaces []string
	}{
		"nothing":            {olds: values{"zone": "z"}, news: values{"zone": "z"}},
		"secrecy alone":      {olds: values{"password": "p"}, news: values{"password": secretOf("p")}},
		"update":             {olds: values{"size": 1}, news: values{"size": 2}, diffs: []string{"size"}},
		"added":              {olds: values{}, news: values{"size": 2}, diffs: []string{"size"}},
		"removed":            {olds: values{"size": 2}, news: values{}, diffs: []string{"size"}},
		"replace":            {olds: values{"zone": "a"}, news: values{"zone": "b"}, diffs: []string{"zone"}, replaces: []string{"zone"}},
		"replace by unknown": {olds: values{"zone": "a"}, news: values{"zone": unknown}, diffs: []string{"zone"}, replaces: []string{"zone"}},
		"ignored":            {olds: values{"zone": "a"}, news: values{"zone": "b"}, ignored: []string{"zone"}},
		"no update":          {olds: values{"size": 1}, news: values{"size": 2}, kind: &Resource{}, diffs: []string{"size"}, replaces: []string{"size"}},
	} {
		kind := row.kind
		if kind == nil {
			kind = &Resource{Update: updates}
		}
		answer, err := serving(t, kind).Diff(context.Background(), &pulumirpc.DiffRequest{
			Urn: urn, Olds: fields(t, values{"status": "computed"}), OldInputs: fields(t, row.olds), News: fields(t, row.news), IgnoreChanges: row.ignored,
		})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(answer.GetDiffs(), row.diffs) || !slices.Equal(answer.GetReplaces(), row.replaces) {
			t.Errorf("%s: diffs %v, replaces %v; wanted %v, %v", name, answer.GetDiffs(), answer.GetReplaces(), row.diffs, row.replaces)
		}
		if (answer.GetChanges() == pulumirpc.DiffResponse_DIFF_SOME) != (len(row.diffs) > 0) {
			t.Errorf("%s: changes is %v", name, answer.GetChanges())
		}
	}
}

func TestPreviewOfCreateKnowsInputsOnly(t *testing.T) {
	answer, err := serving(t, &Resource{}).Create(context.Background(), &pulumirpc.CreateRequest{Urn: urn, Preview: true, Properties: fields(t, values{"zone": "z"})})
	if err != nil {
		t.Fatal(err)
	}
	found := answer.GetProperties().AsMap()
	if found["zone"] != "z" || found["status"] != unknown {
		t.Errorf("found %v", found)
	}
}

func TestPreviewOfUpdateKeepsWhatItDoesNotRecompute(t *testing.T) {
	olds := fields(t, values{"zone": "z", "size": 1, "status": "up", "token": secretOf("t")})
	answer, err := serving(t, &Resource{Recomputed: []string{"status"}}).Update(context.Background(), &pulumirpc.UpdateRequest{
		Urn: urn, Preview: true, Olds: olds, News: fields(t, values{"zone": "z"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, answer.GetProperties(), values{"zone": "z", "status": unknown, "token": secretOf("t")})
}

func TestSecretsComeBackOut(t *testing.T) {
	kind := &Resource{Create: func(_ *Call, inputs resource.PropertyMap) (string, resource.PropertyMap, error) {
		if inputs.ContainsSecrets() {
			return "", nil, errors.New("the function sees a wrapper")
		}
		return "id", resource.PropertyMap{"token": resource.NewProperty("t"), "status": resource.NewProperty("up"), "name": resource.NewProperty("other")}, nil
	}}
	answer, err := serving(t, kind).Create(context.Background(), &pulumirpc.CreateRequest{
		Urn: urn, Properties: fields(t, values{"zone": secretOf("z"), "name": secretOf("n")}),
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, answer.GetProperties(), values{"zone": secretOf("z"), "name": secretOf("other"), "token": secretOf("t"), "status": "up"})
}

func TestAPartialFailureKeepsTheState(t *testing.T) {
	kind := &Resource{Create: func(*Call, resource.PropertyMap) (string, resource.PropertyMap, error) {
		return "id", resource.PropertyMap{"status": resource.NewProperty("error")}, &PartialError{Reason: "it ended in error"}
	}}
	_, err := serving(t, kind).Create(context.Background(), &pulumirpc.CreateRequest{Urn: urn, Properties: fields(t, values{"zone": "z"})})
	details := status.Convert(err).Details()
	if len(details) != 1 {
		t.Fatal(err)
	}
	kept := details[0].(*pulumirpc.ErrorResourceInitFailed)
	if kept.GetId() != "id" || kept.GetReasons()[0] != "it ended in error" {
		t.Errorf("kept %v", kept)
	}
	same(t, kept.GetProperties(), values{"zone": "z", "status": "error"})
	same(t, kept.GetInputs(), values{"zone": "z"})
}

func TestReadOfWhatIsGone(t *testing.T) {
	kind := &Resource{Read: func(*Call, string, resource.PropertyMap, resource.PropertyMap) (string, resource.PropertyMap, resource.PropertyMap, error) {
		return "", nil, nil, nil
	}}
	answer, err := serving(t, kind).Read(context.Background(), &pulumirpc.ReadRequest{Urn: urn, Id: "id", Properties: fields(t, values{"zone": "z"})})
	if err != nil || answer.GetId() != "" || answer.GetProperties() != nil {
		t.Error(answer, err)
	}
}

func TestSettingsArriveInTheirTypes(t *testing.T) {
	made := serving(t, &Resource{})
	var seen resource.PropertyMap
	made.provider.Configure = func(_ context.Context, config resource.PropertyMap) error {
		seen = config
		return nil
	}
	given := fields(t, values{"limit": "7", "key": secretOf("k"), "version": "1"})
	if _, err := made.Configure(context.Background(), &pulumirpc.ConfigureRequest{Args: given}); err != nil {
		t.Fatal(err)
	}
	if wanted := (resource.PropertyMap{"limit": resource.NewProperty(7.0), "key": resource.NewProperty("k")}); !seen.DeepEquals(wanted) {
		t.Errorf("found %v", seen)
	}
	answer, err := made.CheckConfig(context.Background(), &pulumirpc.CheckRequest{News: fields(t, values{"limit": "many"})})
	if err != nil || len(answer.GetFailures()) != 2 {
		t.Error(answer, err)
	}
}

func TestACancelledRunEndsItsCalls(t *testing.T) {
	waiting := make(chan struct{})
	kind := &Resource{Delete: func(call *Call, _ string, _ resource.PropertyMap) error {
		close(waiting)
		<-call.Done()
		return call.Err()
	}}
	made := serving(t, kind)
	ended := make(chan error)
	go func() {
		_, err := made.Delete(context.Background(), &pulumirpc.DeleteRequest{Urn: urn, Id: "id"})
		ended <- err
	}()
	<-waiting
	if _, err := made.Cancel(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Error(err)
	}
}

func TestWhatLastsEndsWithThePluginAlone(t *testing.T) {
	waiting, cancelled := make(chan struct{}), make(chan error, 1)
	kind := &Resource{Delete: func(call *Call, _ string, _ resource.PropertyMap) error {
		close(waiting)
		<-call.Done()
		cancelled <- call.Lasting.Err()
		<-call.Lasting.Done()
		return call.Lasting.Err()
	}}
	made := serving(t, kind)
	ended := make(chan error)
	go func() {
		_, err := made.Delete(context.Background(), &pulumirpc.DeleteRequest{Urn: urn, Id: "id"})
		ended <- err
	}()
	<-waiting
	if _, err := made.Cancel(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if err := <-cancelled; err != nil {
		t.Error("a cancelled run ends what it has to wait for:", err)
	}
	made.end()
	if err := <-ended; err == nil {
		t.Error("the plugin ends and leaves it")
	}
}

func TestATypeThatIsNotThereIsNamed(t *testing.T) {
	_, err := serving(t, &Resource{}).Check(context.Background(), &pulumirpc.CheckRequest{Urn: "urn:pulumi:s::p::lab:a/other:Other::it"})
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "lab:a/other:Other") {
		t.Error(err)
	}
	_, err = newServer(&Provider{Schema: []byte(cut), Resources: map[string]*Resource{"lab:a/other:Other": {}}}, nil)
	if err == nil || !strings.Contains(err.Error(), "lab:a/other:Other") {
		t.Error(err)
	}
}

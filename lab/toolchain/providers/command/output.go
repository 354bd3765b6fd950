package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"drlab/toolchain/internal/plugin"
)

// recorder keeps a command's two outputs and shows their lines while the command runs.
type recorder struct {
	mutex          sync.Mutex
	call           *plugin.Call
	stdout, stderr bytes.Buffer
}

// stream is one of the two outputs.
type stream struct {
	recorder *recorder
	own      *bytes.Buffer
	shown    bool
	line     bytes.Buffer
}

// newRecorder returns the recorder and what to write each output to. logging is the input of that name.
func newRecorder(call *plugin.Call, logging string) (*recorder, *stream, *stream) {
	r := &recorder{call: call}
	all := logging == "" || logging == "stdoutAndStderr"
	return r, &stream{recorder: r, own: &r.stdout, shown: all || logging == "stdout"},
		&stream{recorder: r, own: &r.stderr, shown: all || logging == "stderr"}
}

var _ io.Writer = (*stream)(nil)

func (s *stream) Write(data []byte) (int, error) {
	s.recorder.mutex.Lock()
	defer s.recorder.mutex.Unlock()
	s.own.Write(data)
	s.line.Write(data)
	for {
		end := bytes.IndexByte(s.line.Bytes(), '\n')
		if end < 0 {
			return len(data), nil
		}
		text := string(s.line.Next(end + 1)[:end])
		if s.shown {
			s.recorder.call.Info(text)
		}
	}
}

// close shows what came without an end of line.
func (s *stream) close() {
	if s.shown && s.line.Len() > 0 {
		s.recorder.call.Info(s.line.String())
	}
}

// outputs are the properties that a command sets.
func (r *recorder) outputs() resource.PropertyMap {
	return resource.PropertyMap{
		"stdout": resource.NewProperty(strings.TrimSuffix(r.stdout.String(), "\n")),
		"stderr": resource.NewProperty(strings.TrimSuffix(r.stderr.String(), "\n")),
	}
}

// failure is the published plugin's text: what happened, the whole command, all it printed.
func (r *recorder) failure(err error, command string) error {
	return fmt.Errorf("%w: running %q:\n%s%s", err, command, r.stdout.String(), r.stderr.String())
}

// text returns a string property, "" when it is absent.
func text(values resource.PropertyMap, key resource.PropertyKey) string {
	if value, ok := values[key]; ok && value.IsString() {
		return value.StringValue()
	}
	return ""
}

func newID(call *plugin.Call) (string, error) {
	return resource.NewUniqueHex(call.URN.Name(), 8, 0)
}

// nothing are the outputs when there was no command to run.
func nothing() resource.PropertyMap {
	return resource.PropertyMap{"stdout": resource.NewProperty(""), "stderr": resource.NewProperty("")}
}

// environment lists NAME=value: the given variables, and before them the outputs of the run before this one unless the program says no.
func environment(inputs, state resource.PropertyMap) (given, previous map[string]string) {
	given, previous = map[string]string{}, map[string]string{}
	if value, ok := inputs["environment"]; ok && value.IsObject() {
		for name, variable := range value.ObjectValue() {
			given[string(name)] = variable.StringValue()
		}
	}
	if wanted, ok := inputs["addPreviousOutputInEnv"]; ok && wanted.IsBool() && !wanted.BoolValue() {
		return given, previous
	}
	for name, key := range map[string]resource.PropertyKey{"PULUMI_COMMAND_STDOUT": "stdout", "PULUMI_COMMAND_STDERR": "stderr"} {
		if text(state, key) != "" {
			previous[name] = text(state, key)
		}
	}
	return given, previous
}

// onUpdate is the command that an update runs: `update`, or `create` again.
func onUpdate(inputs resource.PropertyMap) string {
	if _, ok := inputs["update"]; ok {
		return text(inputs, "update")
	}
	return text(inputs, "create")
}

package main

import (
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"drlab/toolchain/internal/plugin"
)

// killGrace: how long after a cancelled run's kill the outputs are read, where what the command left behind holds them open: the published
// plugin looks for its engine every five minutes.
const killGrace = 5 * time.Minute

func checkLocal(_ *plugin.Call, _, news resource.PropertyMap) (resource.PropertyMap, []string) {
	var refusals []string
	for _, key := range []resource.PropertyKey{"assetPaths", "archivePaths"} {
		if _, ok := news[key]; ok {
			refusals = append(refusals, "property \""+string(key)+"\": the lab's plugin does not collect files; read them in the program")
		}
	}
	return nil, refusals
}

func createLocal(call *plugin.Call, inputs resource.PropertyMap) (string, resource.PropertyMap, error) {
	id, err := newID(call)
	if err != nil {
		return "", nil, err
	}
	outputs, err := runLocal(call, text(inputs, "create"), inputs, nil)
	return id, outputs, err
}

func updateLocal(call *plugin.Call, _ string, state, inputs resource.PropertyMap) (resource.PropertyMap, error) {
	return runLocal(call, onUpdate(inputs), inputs, state)
}

func deleteLocal(call *plugin.Call, _ string, state resource.PropertyMap) error {
	_, err := runLocal(call, text(state, "delete"), state, state)
	return err
}

func runLocal(call *plugin.Call, command string, inputs, state resource.PropertyMap) (resource.PropertyMap, error) {
	if command == "" {
		return nothing(), nil
	}
	argv := append(interpreter(inputs), command)
	process := exec.CommandContext(call, argv[0], argv[1:]...)
	process.Dir = text(inputs, "dir")
	process.Env = os.Environ()
	given, previous := environment(inputs, state)
	for _, variables := range []map[string]string{previous, given} {
		for name, value := range variables {
			process.Env = append(process.Env, name+"="+value)
		}
	}
	if stdin := text(inputs, "stdin"); stdin != "" {
		process.Stdin = strings.NewReader(stdin)
	}
	record, stdout, stderr := newRecorder(call, text(inputs, "logging"))
	process.Stdout, process.Stderr = stdout, stderr
	// A cancelled run, and an engine that is gone, end the command alone: what it has started runs on, as under the published plugin.
	process.WaitDelay = killGrace
	err := process.Run()
	stdout.close()
	stderr.close()
	if err != nil {
		return nil, record.failure(err, command)
	}
	return record.outputs(), nil
}

func interpreter(inputs resource.PropertyMap) []string {
	value, ok := inputs["interpreter"]
	if !ok || !value.IsArray() || len(value.ArrayValue()) == 0 {
		return []string{"/bin/sh", "-c"}
	}
	var argv []string
	for _, word := range value.ArrayValue() {
		argv = append(argv, word.StringValue())
	}
	return argv
}

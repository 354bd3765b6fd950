package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"golang.org/x/crypto/ssh"

	"drlab/toolchain/internal/plugin"
)

const environmentRefused = "Unable to set '%s'. This only works if your SSH server is configured to accept these variables via AcceptEnv." +
	" Set add_previous_output_in_env to False if the command does not need them."

func createRemote(call *plugin.Call, inputs resource.PropertyMap) (string, resource.PropertyMap, error) {
	id, err := newID(call)
	if err != nil {
		return "", nil, err
	}
	outputs, err := runRemote(call, text(inputs, "create"), inputs, nil)
	return id, outputs, err
}

func updateRemote(call *plugin.Call, _ string, state, inputs resource.PropertyMap) (resource.PropertyMap, error) {
	return runRemote(call, onUpdate(inputs), inputs, state)
}

func deleteRemote(call *plugin.Call, _ string, state resource.PropertyMap) error {
	_, err := runRemote(call, text(state, "delete"), state, state)
	return err
}

func runRemote(call *plugin.Call, command string, inputs, state resource.PropertyMap) (resource.PropertyMap, error) {
	if command == "" {
		return nothing(), nil
	}
	// The published plugin hears of no cancellation: the engine waits for the command, and keeps what it has said.
	client, err := connect(call, call.Lasting, inputs["connection"].ObjectValue())
	if err != nil {
		return nil, err
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return nil, fmt.Errorf("cannot open a session: %w", err)
	}
	defer session.Close()
	if err := setEnvironment(call, session, inputs, state); err != nil {
		return nil, err
	}
	if stdin := text(inputs, "stdin"); stdin != "" {
		session.Stdin = strings.NewReader(stdin)
	}
	record, stdout, stderr := newRecorder(call, text(inputs, "logging"))
	session.Stdout, session.Stderr = stdout, stderr
	err = session.Run(command)
	stdout.close()
	stderr.close()
	if call.Lasting.Err() != nil {
		err = fmt.Errorf("the engine is gone, the command may still run on the host (%w)", call.Lasting.Err())
	}
	if err != nil {
		return nil, record.failure(err, command)
	}
	return record.outputs(), nil
}

// setEnvironment asks the server to set variables. A server takes only those that it was told to accept: refusing one that the program gave
// is an error, refusing the previous run's outputs a warning.
func setEnvironment(call *plugin.Call, session *ssh.Session, inputs, state resource.PropertyMap) error {
	given, previous := environment(inputs, state)
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if err := session.Setenv(name, given[name]); err != nil {
			return fmt.Errorf("could not set environment variable %q: %w", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(previous)) {
		if err := session.Setenv(name, previous[name]); err != nil {
			call.Warn(fmt.Sprintf(environmentRefused, name))
		}
	}
	return nil
}

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/pkg/sftp"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"drlab/toolchain/internal/plugin"
)

// checkCopy refuses a source that is not known yet, as version 1.2.1 does: a program must not pass here what would fail there.
func checkCopy(_ *plugin.Call, _, news resource.PropertyMap) (resource.PropertyMap, []string) {
	source, ok := news["source"]
	if !ok {
		return nil, nil // the schema says that it is missing
	}
	if source.IsComputed() || source.IsOutput() {
		return nil, []string{"property \"source\": either asset or archive must be set"}
	}
	if _, err := localPath(source); err != nil {
		return nil, []string{err.Error()}
	}
	return nil, nil
}

func localPath(source resource.PropertyValue) (string, error) {
	switch {
	case source.IsAsset() && source.AssetValue().IsPath():
		return source.AssetValue().Path, nil
	case source.IsArchive() && source.ArchiveValue().IsPath():
		return source.ArchiveValue().Path, nil
	}
	return "", errors.New("property \"source\": only a FileAsset or a FileArchive can be copied")
}

func createCopy(call *plugin.Call, inputs resource.PropertyMap) (string, resource.PropertyMap, error) {
	id, err := newID(call)
	if err != nil {
		return "", nil, err
	}
	return id, nil, copySource(call, inputs)
}

// updateCopy copies again when the source's content or the place has changed, not for another connection.
func updateCopy(call *plugin.Call, _ string, state, inputs resource.PropertyMap) (resource.PropertyMap, error) {
	if state["source"].DeepEquals(inputs["source"]) && state["remotePath"].DeepEquals(inputs["remotePath"]) {
		return nil, nil
	}
	return nil, copySource(call, inputs)
}

func copySource(call *plugin.Call, inputs resource.PropertyMap) error {
	from, err := localPath(inputs["source"])
	if err != nil {
		return err
	}
	return copyTo(call, inputs, from)
}

func createFileCopy(call *plugin.Call, inputs resource.PropertyMap) (string, resource.PropertyMap, error) {
	id, err := newID(call)
	if err != nil {
		return "", nil, err
	}
	return id, nil, copyTo(call, inputs, text(inputs, "localPath"))
}

func updateFileCopy(call *plugin.Call, _ string, _, inputs resource.PropertyMap) (resource.PropertyMap, error) {
	return nil, copyTo(call, inputs, text(inputs, "localPath"))
}

// copyTo copies a file or a folder over SFTP. Into a folder that exists it goes under its own name.
func copyTo(call *plugin.Call, inputs resource.PropertyMap, from string) error {
	client, err := connect(call, call, inputs["connection"].ObjectValue())
	if err != nil {
		return err
	}
	defer client.Close()
	remote, err := sftp.NewClient(client)
	if err != nil {
		return fmt.Errorf("cannot start SFTP: %w", err)
	}
	defer remote.Close()
	to := text(inputs, "remotePath")
	if found, err := remote.Stat(to); err == nil && found.IsDir() {
		to = path.Join(to, filepath.Base(from))
	}
	err = filepath.WalkDir(from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		place := path.Join(to, filepath.ToSlash(below))
		if entry.IsDir() {
			return remote.MkdirAll(place)
		}
		return copyOne(remote, name, place)
	})
	if err != nil {
		return fmt.Errorf("copying %s to %s: %w", from, to, err)
	}
	return nil
}

func copyOne(remote *sftp.Client, from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := remote.Create(to)
	if err != nil {
		return fmt.Errorf("%s: %w", to, err)
	}
	if _, err := io.Copy(target, source); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", to, err), target.Close())
	}
	return target.Close()
}

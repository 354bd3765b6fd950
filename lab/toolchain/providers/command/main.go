// Command pulumi-resource-command stands in for the published `command` plugin: local and remote commands, and copies to hosts.
//
// It behaves as the published version 1.2.1 does, to the texts of its errors, because what is rehearsed against it must hold against the
// other; where it is kinder (it ends a local command when the run is cancelled, closes its connections, reads lines of any length) no program can
// come to depend on that.
package main

import (
	_ "embed"

	"drlab/toolchain/internal/plugin"
)

//go:embed schema.json
var schema []byte

func main() {
	outputs := []string{"stdout", "stderr"}
	plugin.Main(&plugin.Provider{
		Name: "command", Version: "1.2.1", Schema: schema,
		Resources: map[string]*plugin.Resource{
			"command:local:Command":       {Create: createLocal, Update: updateLocal, Delete: deleteLocal, Check: checkLocal, Recomputed: outputs},
			"command:remote:Command":      {Create: createRemote, Update: updateRemote, Delete: deleteRemote, Recomputed: outputs},
			"command:remote:CopyToRemote": {Create: createCopy, Update: updateCopy, Check: checkCopy},
			"command:remote:CopyFile":     {Create: createFileCopy, Update: updateFileCopy},
		},
	})
}

package node

import (
	"path/filepath"

	"cardea/mesh/member"
	"cardea/node/config"
)

// meshDir is where the mesh keeps identity and keys.
func meshDir(cfg *config.Config) string { return filepath.Join(cfg.Node.DataDir, "mesh") }

// IsMember tells whether the node of a configuration is a member of a cluster from an earlier run, and needs no invitation.
func IsMember(cfg *config.Config) bool { return member.IsMember(meshDir(cfg)) }

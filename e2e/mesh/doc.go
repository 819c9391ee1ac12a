// Package mesh tests what the mesh is for: node processes in three regions with oceans between them, and clients beside
// each, who must not be able to tell.
//
// The oceans are those of package wan: real packets, delayed, lost and cut on their way between network namespaces. Where
// that cannot run the tests skip and say what is missing.
//
// All nine nodes are started once; what may happen to them, happens in turn, see [TestMesh]. With MESH_SOAK=1 there are more
// subscribers, the partition lasts longer and all nodes are restarted under a call. MESH_LOG=debug has nodes log more, and
// "go test -artifacts -outputdir DIR" keeps their logs and data.
package mesh

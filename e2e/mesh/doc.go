// Package mesh tests what the mesh is for: node processes in three regions with oceans between them, and clients beside
// each, who must not be able to tell.
//
// The oceans are those of package wan: real packets, delayed, lost and cut on their way between network namespaces. Where
// that cannot run the tests skip and say what is missing.
package mesh

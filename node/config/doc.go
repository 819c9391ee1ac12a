// Package config holds the one typed configuration of a node and reads it from a YAML file, the environment and flags.
//
// [Config] is plain data with [Default] values. [Sources] gathers what was said and where; later sources win: defaults,
// file, environment, flags. Every option is a field below Config with a yaml tag, and from that one field everything
// else is derived by reflection:
//
//	field                  YAML             environment             flag
//	Janus.WSPort           janus.ws_port    CARDEA_JANUS_WS_PORT    --janus-ws-port
//	Node.Bind              node.bind        CARDEA_NODE_BIND        --bind          (the node section has no prefix)
//	Janus.APISecret        janus.api_secret CARDEA_JANUS_API_SECRET (none: command lines are public)
//	the same from a file   ...api_secret_file  ..._API_SECRET_FILE  --janus-api-secret-file
//
// A field's comment is its documentation in the help text and in the sample file: the sources of this package are
// embedded in the program for that purpose, so the three cannot disagree.
//
// Decoding is strict: an unknown key, a repeated key or a value without its unit is an error that names file, line and
// path. All faults are reported at once ([Faults]). A [Secret] never shows itself when printed, logged or marshalled.
package config

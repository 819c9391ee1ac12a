// Package deploy holds what nodes are installed, run and watched with: systemd, container image, compose file, chart, Terraform,
// dashboards, alert rules and the runbook. It has no code of its own, only tests that keep those files true to the program.
//
// Tests whose tools are not installed skip and say which; "make deploycheck" installs them.
package deploy

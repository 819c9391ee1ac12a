# What a new machine needs to become a Cardea node, as cloud-init user data, for any provider that takes it. Nothing here talks to a
# cloud: a machine is made by the configuration that calls this module (examples/hcloud is one).

terraform {
  required_version = ">= 1.5"
}

locals {
  # The settings given win over those that follow from the other variables, section by section.
  derived = {
    node = merge(
      { name = var.name, region = var.region, drain_timeout = var.drain_timeout },
      var.public_address == "" ? {} : { advertise = [var.public_address] },
    )
    mesh = merge(
      { join_file = "/etc/cardea/invitation" },
      var.private_address == "" ? {} : { advertise = [var.private_address] },
    )
    console = { token_file = "/etc/cardea/console-token" }
  }
  settings = {
    for section in setunion(keys(local.derived), keys(var.settings)) :
    section => merge(lookup(local.derived, section, {}), lookup(var.settings, section, {}))
  }

  join = join(" ", concat(
    ["/usr/local/bin/cardea", "join", "--config", "/etc/cardea/cardea.yaml"],
    # A first node without a peer asks itself: nobody answers, and it begins the cluster.
    ["--url", "http://${var.peer == "" ? "127.0.0.1" : var.peer}:9600"],
    var.authority ? ["--authority"] : [],
    var.first ? ["--first", var.name] : ["--wait", "15m"],
    ["--output", "/etc/cardea/invitation"],
  ))
}

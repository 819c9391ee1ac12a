# Three nodes in three places at one provider, who meet in its private network. Another provider differs in what makes machines,
# network and firewall alone.

terraform {
  required_version = ">= 1.5"
  required_providers {
    hcloud = {
      source  = "hetznercloud/hcloud"
      version = "~> 1.50"
    }
    random = {
      source  = "hashicorp/random"
      version = "~> 3.6"
    }
  }
}

variable "archive_url" {
  type = string
}

variable "archive_sha256" {
  type = string
}

variable "operators" {
  description = "Networks that may reach the consoles."
  type        = list(string)
}

locals {
  nodes = {
    fsn-1 = { location = "fsn1", address = "10.9.0.11", peer = "10.9.0.12", first = true }
    nbg-1 = { location = "nbg1", address = "10.9.0.12", peer = "10.9.0.11", first = false }
    hel-1 = { location = "hel1", address = "10.9.0.13", peer = "10.9.0.11", first = false }
  }
}

resource "random_password" "console" {
  length  = 40
  special = false
}

module "node" {
  source          = "../.."
  for_each        = local.nodes
  name            = each.key
  region          = each.value.location
  first           = each.value.first
  peer            = each.value.peer
  private_address = each.value.address
  console_token   = random_password.console.result
  archive_url     = var.archive_url
  archive_sha256  = var.archive_sha256
}

resource "hcloud_network" "mesh" {
  name     = "cardea"
  ip_range = "10.9.0.0/16"
}

resource "hcloud_network_subnet" "mesh" {
  network_id   = hcloud_network.mesh.id
  type         = "cloud"
  network_zone = "eu-central"
  ip_range     = "10.9.0.0/24"
}

locals {
  firewall = module.node["fsn-1"].firewall
  # What is between nodes goes through the private network, which the firewall does not see.
  rules = concat(
    [for r in local.firewall.everybody : merge(r, { from = ["0.0.0.0/0", "::/0"] })],
    [for r in local.firewall.operators : merge(r, { from = var.operators })],
  )
}

resource "hcloud_firewall" "node" {
  name = "cardea"
  dynamic "rule" {
    for_each = local.rules
    content {
      direction   = "in"
      protocol    = rule.value.protocol
      port        = rule.value.port
      source_ips  = rule.value.from
      description = rule.value.what
    }
  }
}

resource "hcloud_server" "node" {
  for_each     = local.nodes
  name         = each.key
  server_type  = "cpx31"
  image        = "debian-12"
  location     = each.value.location
  user_data    = module.node[each.key].user_data
  firewall_ids = [hcloud_firewall.node.id]
  network {
    network_id = hcloud_network.mesh.id
    ip         = each.value.address
  }
  depends_on = [hcloud_network_subnet.mesh]
}

output "nodes" {
  value = { for name, server in hcloud_server.node : name => server.ipv4_address }
}

output "console_token" {
  value     = random_password.console.result
  sensitive = true
}

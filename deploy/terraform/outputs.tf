output "user_data" {
  description = "The cloud-init document."
  sensitive   = true
  precondition {
    condition     = var.first || var.peer != ""
    error_message = "A node that is not the first needs a peer to ask for an invitation."
  }
  value = templatefile("${path.module}/cloud-init.yaml.tftpl", {
    configuration  = yamlencode(local.settings)
    console_token  = var.console_token
    archive_url    = var.archive_url
    archive_sha256 = var.archive_sha256
    join           = local.join
  })
}

output "firewall" {
  description = "What must reach the machine: from everybody, from the other nodes, and from operators."
  value = {
    everybody = [
      { protocol = "tcp", port = "8188", what = "Janus API over WebSocket" },
      { protocol = "tcp", port = "8989", what = "the same with TLS" },
      { protocol = "tcp", port = "8088", what = "Janus API over HTTP" },
      { protocol = "tcp", port = "8089", what = "the same with TLS" },
      { protocol = "udp", port = "3478", what = "media, STUN and TURN" },
      { protocol = "tcp", port = "3478", what = "the same for networks that block UDP" },
      { protocol = "tcp", port = "5349", what = "TURN over TLS" },
      { protocol = "udp", port = "5349", what = "TURN over DTLS" },
      { protocol = "udp", port = "49152-65535", what = "addresses that TURN hands out" },
    ]
    nodes = [
      { protocol = "udp", port = "7946-7947", what = "gossip and links" },
      { protocol = "tcp", port = "7946-7947", what = "gossip and admission" },
      { protocol = "tcp", port = "9600", what = "console, for invitations" },
    ]
    operators = [
      { protocol = "tcp", port = "9600", what = "console, metrics" },
      { protocol = "tcp", port = "9643", what = "the same with TLS" },
    ]
  }
}

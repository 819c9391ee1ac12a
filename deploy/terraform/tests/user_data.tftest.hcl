# terraform test: what comes out for the first node, for others, and for what is wrong.

variables {
  name           = "fra-1"
  console_token  = "0123456789abcdefghijklmn"
  archive_url    = "https://downloads.example.org/cardea-1.0-linux-amd64.tar.gz"
  archive_sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
}

run "first" {
  command = plan
  variables {
    first    = true
    region   = "fra"
    settings = { node = { stop_timeout = "5s" }, log = { format = "json" }, janus = { allowed_origins = ["https://app.example.org"] } }
  }
  assert {
    condition     = startswith(output.user_data, "#cloud-config\n") && can(yamldecode(output.user_data))
    error_message = "The user data is no cloud-config."
  }
  assert {
    condition = yamldecode(yamldecode(output.user_data).write_files[0].content) == {
      console = { token_file = "/etc/cardea/console-token" }
      janus   = { allowed_origins = ["https://app.example.org"] }
      log     = { format = "json" }
      mesh    = { join_file = "/etc/cardea/invitation" }
      node    = { name = "fra-1", region = "fra", drain_timeout = "2m", stop_timeout = "5s" }
    }
    error_message = "The configuration is not what was asked for."
  }
  assert {
    condition     = strcontains(output.user_data, "--url http://127.0.0.1:9600 --authority --first fra-1 --output /etc/cardea/invitation")
    error_message = "The first node does not begin a cluster."
  }
}

run "second" {
  command = plan
  variables {
    name           = "fra-2"
    peer           = "10.0.0.2"
    authority      = false
    public_address = "192.0.2.7"
  }
  assert {
    condition     = strcontains(output.user_data, "--url http://10.0.0.2:9600 --wait 15m --output /etc/cardea/invitation")
    error_message = "The second node does not ask the first."
  }
  assert {
    condition     = yamldecode(yamldecode(output.user_data).write_files[0].content).node.advertise == ["192.0.2.7"]
    error_message = "The public address is not advertised."
  }
}

run "alone_and_not_first" {
  command         = plan
  expect_failures = [output.user_data]
}

run "short_token" {
  command = plan
  variables {
    first         = true
    console_token = "short"
  }
  expect_failures = [var.console_token]
}

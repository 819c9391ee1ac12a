variable "name" {
  description = "The node's name, in logs, metrics and the console. Unique in the mesh."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{0,62}$", var.name))
    error_message = "Lower-case letters, digits, dots and dashes, as in a host name."
  }
}

variable "region" {
  description = "A free label of where the node stands, such as eu-west. Nodes of one region share what comes across an ocean."
  type        = string
  default     = ""
}

variable "first" {
  description = "Whether this node begins the cluster when nobody is there yet. True for one node at most."
  type        = bool
  default     = false
}

variable "peer" {
  description = "An address or name of a member, or a name that leads to several, that this machine reaches. For the first node: of any other, in case this machine is made anew. The console's token goes there in the clear, so it must be a private network or a tunnel."
  type        = string
  default     = ""
  validation {
    condition     = var.peer == "" || can(regex("^[0-9A-Za-z.:\\[\\]-]+$", var.peer))
    error_message = "An address or a host name, without a port."
  }
}

variable "authority" {
  description = "Whether the node gets the key of the cluster's authority, to let others in. At least two nodes should have it."
  type        = bool
  default     = true
}

variable "console_token" {
  description = "The token of all consoles: by it nodes ask one another in, and Prometheus reads metrics. It stands in the user data, which whoever may read the machine's metadata can read too."
  type        = string
  sensitive   = true
  validation {
    condition     = length(var.console_token) >= 24 && can(regex("^[0-9A-Za-z_-]+$", var.console_token))
    error_message = "At least 24 letters, digits, dashes and underscores."
  }
}

variable "archive_url" {
  description = "Where the machine fetches cardea-VERSION-linux-ARCH.tar.gz from, as made by \"make dist\"."
  type        = string
  validation {
    condition     = can(regex("^https://[^ '\"]+\\.tar\\.gz$", var.archive_url))
    error_message = "An https URL of a .tar.gz."
  }
}

variable "archive_sha256" {
  description = "The checksum of that archive, from SHA256SUMS beside it."
  type        = string
  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.archive_sha256))
    error_message = "64 hexadecimal digits."
  }
}

variable "public_address" {
  description = "The address under which clients reach the machine, when it is not the machine's own (one-to-one NAT)."
  type        = string
  default     = ""
}

variable "private_address" {
  description = "The address under which other nodes are to reach it, when that is not the public one."
  type        = string
  default     = ""
}

variable "drain_timeout" {
  description = "How long calls have to move when the machine is stopped."
  type        = string
  default     = "2m"
}

variable "settings" {
  description = "More of the configuration file, by section: { janus = { allowed_origins = [...] } }."
  type        = any
  default     = {}
}

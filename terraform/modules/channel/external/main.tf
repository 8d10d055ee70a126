# The image of a channel, from the ledger on this machine: imgctl answers the protocol of the `external` provider. It
# reads, needs no credentials and writes nothing, so a plan stays a plan.

data "external" "this" {
  program     = concat([var.imgctl], var.config == null ? [] : ["--config", var.config], ["terraform", "external"])
  working_dir = var.working_dir

  query = { for word, text in {
    channel      = var.channel
    region       = var.region
    architecture = var.architecture
    repository   = var.repository
    target       = var.target
    slot         = var.slot
  } : word => text if text != null }
}

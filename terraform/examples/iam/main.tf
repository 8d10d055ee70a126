# Who may do what with one group, one service and their pointer: a CI job promotes, people and dashboards read, a nightly
# job audits.

module "iam" {
  source           = "../../modules/iam"
  prefix           = "${var.name}-imgctl-"
  groups           = [var.name]
  launch_templates = ["lt-0123456789abcdef0"]
  services         = ["main/api"]
  pass_roles       = ["arn:aws:iam::123456789012:role/api-task"]
  parameters       = ["/imgctl/${var.name}/prod"]

  anchor_parameters = ["/imgctl/ledger"]
  anchor_buckets    = ["acme-audit"]
  stacks            = [var.name]
  states            = ["acme-terraform/${var.name}/terraform.tfstate"]
}

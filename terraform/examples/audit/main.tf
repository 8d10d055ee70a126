# Every hour: does what runs agree with the ledger and the code? Somebody is told where it does not.

resource "aws_ecs_cluster" "this" {
  name = "${var.name}-audit"
}

resource "aws_vpc" "this" {
  cidr_block = "10.1.0.0/16"
}

resource "aws_subnet" "this" {
  vpc_id            = aws_vpc.this.id
  cidr_block        = "10.1.1.0/24"
  availability_zone = "eu-west-1a"
}

resource "aws_sns_topic" "this" {
  name = "${var.name}-drift"
}

module "iam" {
  source   = "../../modules/iam"
  create   = []
  services = ["main/api"]
}

module "audit" {
  source          = "../../modules/audit"
  name            = "${var.name}-drift"
  region          = "eu-west-1"
  image           = var.image
  policy          = module.iam.policies.auditor
  cluster_arn     = aws_ecs_cluster.this.arn
  subnet_ids      = [aws_subnet.this.id]
  file_system_id  = var.file_system_id
  access_point_id = var.access_point_id
  secrets         = var.secrets
  topic_arns      = [aws_sns_topic.this.arn]
}

# Groups with their templates, as many as are asked for: what `imgctl drift` and `terraform plan` are measured on.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "groups" { type = number }
variable "ami_id" { type = string }
variable "endpoint" { type = string }

provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
  endpoints {
    autoscaling = var.endpoint
    ec2         = var.endpoint
    sts         = var.endpoint
    iam         = var.endpoint
  }
}

resource "aws_vpc" "this" {
  cidr_block = "10.0.0.0/16"
}

resource "aws_subnet" "this" {
  vpc_id            = aws_vpc.this.id
  cidr_block        = "10.0.0.0/20"
  availability_zone = "eu-west-1a"
}

resource "aws_launch_template" "web" {
  count         = var.groups
  name          = "web-${count.index}"
  image_id      = var.ami_id
  instance_type = "t3.micro"
}

resource "aws_autoscaling_group" "web" {
  count               = var.groups
  name                = "web-${count.index}"
  min_size            = 1
  max_size            = 2
  desired_capacity    = 1
  vpc_zone_identifier = [aws_subnet.this.id]

  launch_template {
    id      = aws_launch_template.web[count.index].id
    version = aws_launch_template.web[count.index].latest_version
  }
}

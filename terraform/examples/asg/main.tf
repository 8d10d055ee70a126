locals {
  own_network = length(var.subnet_ids) == 0
  subnet_ids  = local.own_network ? aws_subnet.this[*].id : var.subnet_ids
}

resource "aws_vpc" "this" {
  count      = local.own_network ? 1 : 0
  cidr_block = "10.0.0.0/16"
}

resource "aws_subnet" "this" {
  count             = local.own_network ? 1 : 0
  vpc_id            = aws_vpc.this[0].id
  cidr_block        = "10.0.1.0/24"
  availability_zone = "${var.region}a"
}

resource "aws_launch_template" "this" {
  name          = var.name
  image_id      = var.ami_id
  instance_type = var.instance_type
}

resource "aws_autoscaling_group" "this" {
  name                = var.name
  min_size            = 1
  max_size            = var.size * 2
  desired_capacity    = var.size
  vpc_zone_identifier = local.subnet_ids

  # A number, not "$Latest": AWS refuses to roll back an instance refresh of a group at $Latest or $Default, and only a
  # number shows in the plan when somebody moves the group.
  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  # There is no instance_refresh block: imgctl replaces the instances, waits for them, and can go back. (The provider
  # would move the group first, and the refresh could then only roll back to the version it is already at.)

  tag {
    key                 = "app"
    value               = var.name
    propagate_at_launch = true
  }
}

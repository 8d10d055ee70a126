# A launch template and a group of it, as the other examples share it; only where the image comes from differs.

resource "aws_vpc" "this" {
  cidr_block = "10.0.0.0/16"
}

resource "aws_subnet" "this" {
  vpc_id            = aws_vpc.this.id
  cidr_block        = "10.0.1.0/24"
  availability_zone = "${var.region}a"
}

resource "aws_launch_template" "this" {
  name          = var.name
  image_id      = var.image
  instance_type = var.instance_type
}

resource "aws_autoscaling_group" "this" {
  name                = var.name
  min_size            = 0
  max_size            = max(var.size * 2, 2)
  desired_capacity    = var.size
  vpc_zone_identifier = [aws_subnet.this.id]

  # A number, and no instance_refresh block: ../asg says why.
  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }
}

# Who is told: a task that ended with anything but 0 found drift (2) or could not look (1): the log says which. One that
# never started (its image or its volume could not be had) has no exit code.

resource "aws_cloudwatch_event_rule" "this" {
  count       = length(var.topic_arns) == 0 ? 0 : 1
  name        = var.name
  description = "imgctl drift found something, or could not look"

  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail = {
      clusterArn = [var.cluster_arn]
      group      = ["family:${var.name}"]
      lastStatus = ["STOPPED"]
      "$or" = [
        { containers = { exitCode = [{ anything-but = 0 }] } },
        { containers = { exitCode = [{ exists = false }] } },
      ]
    }
  })
}

resource "aws_cloudwatch_event_target" "this" {
  count = length(var.topic_arns)
  rule  = aws_cloudwatch_event_rule.this[0].name
  arn   = var.topic_arns[count.index]
}

"""CloudTrail's event history."""

import json
import unittest

from labtest import LabTest, client, ctl


class TrailTest(LabTest):
    def test_who_called_what_is_looked_up_newest_first(self) -> None:
        """CloudTrail API Reference, LookupEvents."""
        ctl("group", "web", "--ami", ctl("ami", "web-1"))
        groups = client("autoscaling")
        for size in (1, 2):
            groups.update_auto_scaling_group(AutoScalingGroupName="web", MaxSize=size)
        self.refused("ValidationError", groups.update_auto_scaling_group, AutoScalingGroupName="none", MaxSize=1)
        named = [{"AttributeKey": "EventName", "AttributeValue": "UpdateAutoScalingGroup"}]
        # Newest first: what other tests called before is behind these.
        events = client("cloudtrail").lookup_events(LookupAttributes=named)["Events"][:3]
        records = [json.loads(event["CloudTrailEvent"]) for event in events]
        told = [(each["requestParameters"]["maxSize"], each.get("errorCode")) for each in records]
        self.assertEqual(told, [("1", "ValidationError"), ("2", None), ("1", None)])
        self.assertTrue(records[0]["userIdentity"]["arn"].startswith("arn:aws:"))
        self.assertEqual({event["ReadOnly"] for event in events}, {"false"})


if __name__ == "__main__":
    unittest.main()

"""S3 as an anchor of the ledger relies on it: conditional writes, locked buckets, and buckets that live in one region."""

import unittest
from typing import Any

from labtest import LabTest, client, control, ctl, fetch, lab


class BucketsTest(LabTest):
    def setUp(self) -> None:
        super().setUp()
        self.s3 = client("s3")

    def put(self, key: str, **more: Any) -> Any:
        return self.s3.put_object(Bucket="audit", Key=key, Body=b"x", **more)

    def test_nothing_is_overwritten_under_a_condition(self) -> None:
        """S3 User Guide "How to prevent object overwrites with conditional writes"."""
        ctl("bucket", "audit")
        self.put("a", IfNoneMatch="*")
        self.refused("PreconditionFailed", self.put, key="a", IfNoneMatch="*")
        self.s3.delete_object(Bucket="audit", Key="a")
        self.put("a", IfNoneMatch="*")

    def test_a_locked_bucket_keeps_what_was_written(self) -> None:
        """S3 User Guide "Locking objects with Object Lock": a version in compliance mode cannot be deleted. Deleting
        without a version adds a delete marker, over which a conditional write may create the key again."""
        ctl("bucket", "audit", "--locked")
        version = self.put("a", IfNoneMatch="*")["VersionId"]
        self.refused("PreconditionFailed", self.put, key="a", IfNoneMatch="*")
        self.refused("AccessDenied", self.s3.delete_object, Bucket="audit", Key="a", VersionId=version)
        self.s3.delete_object(Bucket="audit", Key="a")
        self.assertNotEqual(self.put("a", IfNoneMatch="*")["VersionId"], version)

    def test_keys_are_listed_in_their_order(self) -> None:
        """S3 API ListObjectsV2: "List results are always returned in lexicographical order" (general purpose buckets)."""
        ctl("bucket", "audit")
        for key in ("b", "a/2", "a/10", "c"):
            self.put(key)
        listed = [item["Key"] for item in self.s3.list_objects_v2(Bucket="audit")["Contents"]]
        self.assertEqual(listed, ["a/10", "a/2", "b", "c"])

    def test_a_bucket_of_another_region_says_where_it_is(self) -> None:
        """S3 API "Error responses", PermanentRedirect. boto3 would follow by itself, so the request is plain."""
        ctl("bucket", "audit", "--region", "us-west-2")
        scope = "AWS4-HMAC-SHA256 Credential=testing/20260101/{}/s3/aws4_request, SignedHeaders=host, Signature=0"
        url = f"{lab()['AWS_ENDPOINT_URL']}/audit?list-type=2"
        status, headers, body = fetch("GET", url, headers={"Authorization": scope.format("eu-west-1")})
        self.assertEqual((status, headers["x-amz-bucket-region"]), (301, "us-west-2"))
        self.assertIn(b"<Code>PermanentRedirect</Code>", body)
        status, _, _ = fetch("GET", url, headers={"Authorization": scope.format("us-west-2")})
        self.assertEqual(status, 200)

    def test_calls_have_the_names_of_their_operations(self) -> None:
        ctl("bucket", "audit")
        control("POST", "calls/mark", {})
        self.put("heads/a")
        self.s3.list_objects_v2(Bucket="audit", Prefix="heads/")
        self.s3.get_object(Bucket="audit", Key="heads/a")
        calls = [(c["action"], c["params"]) for c in control("GET", "calls")["calls"] if c["service"] == "s3"]
        named = {"Bucket": "audit", "Key": "heads/a"}
        self.assertEqual(
            calls,
            [("PutObject", named), ("ListObjectsV2", {"Bucket": "audit", "prefix": "heads/"}), ("GetObject", named)],
        )


if __name__ == "__main__":
    unittest.main()

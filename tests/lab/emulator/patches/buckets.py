"""S3 buckets live in one region, and say so to whoever asks in another.

AWS: S3 API reference, "Error responses" (PermanentRedirect, 301: "The bucket you are attempting to access must be
addressed using the specified endpoint") and "Request routing"; HeadBucket's `x-amz-bucket-region` is sent with it.
Stock moto: answers for every bucket in every region.
"""

from typing import Any
from xml.sax.saxutils import escape

from moto.s3.responses import S3Response


def install() -> None:
    for name in ("_bucket_response", "_key_response"):
        setattr(S3Response, name, _in_its_region(getattr(S3Response, name)))


def _in_its_region(stock: Any) -> Any:
    def response(self: Any, request: Any, full_url: str) -> Any:
        bucket = self.backend.buckets.get(self.bucket_name)
        creates = request.method == "PUT" and stock.__name__ == "_bucket_response"
        if bucket is None or creates or self.region == bucket.region_name:
            return stock(self, request, full_url)
        message = (
            "The bucket you are attempting to access must be addressed using the specified endpoint. "
            "Please send all future requests to this endpoint."
        )
        name, region = escape(bucket.name), bucket.region_name
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>PermanentRedirect</Code><Message>{message}</Message>'
            f"<Endpoint>{name}.s3.{region}.amazonaws.com</Endpoint><Bucket>{name}</Bucket></Error>"
        )
        headers = {"x-amz-bucket-region": region, "content-type": "application/xml"}
        return 301, headers, "" if request.method == "HEAD" else body

    return response

"""One call of each kind against moto, before serving: the first of each loads models for up to a second."""

import io
from typing import Any

REGION = "eu-west-1"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
QUERIES = (
    ("sts", "Action=GetCallerIdentity&Version=2011-06-15"),
    ("ec2", "Action=DescribeImages&Version=2016-11-15&Owner.1=self"),
    ("autoscaling", "Action=DescribeAutoScalingGroups&Version=2011-01-01"),
)


def first_calls(moto: Any) -> None:
    for service, body in QUERIES:
        raw = body.encode()
        environ = {
            "REQUEST_METHOD": "POST", "PATH_INFO": "/", "SCRIPT_NAME": "", "QUERY_STRING": "",
            "CONTENT_TYPE": FORM, "CONTENT_LENGTH": str(len(raw)), "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80",
            "HTTP_HOST": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(raw), "wsgi.errors": io.StringIO(), "wsgi.version": (1, 0),
            "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential=testing/20200101/{REGION}/{service}/aws4_request, "
            "SignedHeaders=host, Signature=0",
        }
        list(moto(environ, lambda *_: None))

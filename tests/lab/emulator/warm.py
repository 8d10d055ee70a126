"""Imports and first calls that are slow in moto, done before the lab says it is ready."""

import os

os.environ.setdefault("AWS_ACCESS_KEY_ID", "testing")
os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "testing")
os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")
# AMIs of Amazon's own would cost 0.5 s and 900 rows per region; tests make the ones they need.
os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: E402

from emulator import refresh, rollout  # noqa: E402
from emulator.patches import install_all  # noqa: E402

install_all()
refresh.install()
rollout.install()


def make_moto() -> DomainDispatcherApplication:
    app = DomainDispatcherApplication(create_backend_app)
    app.debug = False
    return app

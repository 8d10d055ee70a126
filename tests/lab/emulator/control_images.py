"""Control requests about AMIs."""

from typing import Any

from moto.ec2.models import ec2_backends

from emulator.control_input import ACCOUNT, Body, ControlError, ec2_of, image_of, region_of, required
from emulator.patches.images import make_image

STATES = ("pending", "available", "invalid", "deregistered", "transient", "failed", "error", "disabled")


def make_ami(body: Body) -> Body:
    """POST /_lab/ami"""
    source = body.get("source_ami")
    extra: Body = {}
    if source:
        extra = {"source_image_id": source, "source_image_region": body.get("source_region") or region_of(body)}
    kms_key = body.get("kms_key")
    image = make_image(
        ec2_of(body), str(required(body, "name")), architecture=body.get("architecture") or "x86_64",
        description=body.get("description") or "", owner_id=body.get("owner"), kms_key=kms_key,
        size=body.get("size") or 8, root_device_name=body.get("device"), tags=body.get("tags"), **extra,
    )
    _change(image, body)
    for index, size in enumerate(body.get("extra_sizes") or []):
        _add_device(image, index, int(size), kms_key)
    return {"image_id": image.id, "snapshot_id": image.ebs_snapshot.id, "region": region_of(body)}


def _add_device(image: Any, index: int, size: int, kms_key: str | None) -> None:
    backend = image.ec2_backend
    volume = backend.create_volume(size=size, zone_name=f"{backend.region_name}a")
    snapshot = backend.create_snapshot(volume.id, f"Auto-created snapshot for AMI {image.id}", from_ami=image.id)
    snapshot.encrypted, snapshot.kms_key_id = kms_key is not None, kms_key
    ebs = {"SnapshotId": snapshot.id, "VolumeSize": size, "VolumeType": "gp3", "Encrypted": kms_key is not None}
    if kms_key:
        ebs["KmsKeyId"] = kms_key
    image.lab_devices.append({"DeviceName": f"/dev/sd{chr(ord('f') + index)}", "Ebs": ebs})


def _change(image: Any, body: Body) -> None:
    state = body.get("state")
    if state:
        if state not in STATES:
            raise ControlError(f"state must be one of {', '.join(STATES)}")
        image.state = state
        reason = {"Code": "Client.Lab", "Message": body.get("reason") or f"set to {state} by the lab"}
        image.state_reason = reason if state in ("failed", "invalid", "error") else None
    if "deprecate_at" in body:
        image.deprecation_time = body["deprecate_at"]
    for account in body.get("shared_with") or []:
        image.launch_permissions.append({"Group": "all"} if account == "all" else {"UserId": str(account)})
        if account != "all":
            # moto keeps every account's AMIs apart: a shared one has to be in both places.
            ec2_backends[str(account)][image.ec2_backend.region_name].amis[image.id] = image


def change_image(body: Body) -> Body:
    """POST /_lab/image"""
    image = image_of(body)
    if body.get("deregister"):
        for permission in image.launch_permissions:
            ec2_backends[permission.get("UserId") or ACCOUNT][image.ec2_backend.region_name].amis.pop(image.id, None)
        image.ec2_backend.deregister_image(image.id)
        return {"image_id": image.id, "state": "deregistered"}
    _change(image, body)
    for key, value in (body.get("tags") or {}).items():
        if value is None:
            image.ec2_backend.tags[image.id].pop(key, None)
        else:
            image.add_tags({key: value})
    return view(image)


def show_image(body: Body) -> Body:
    """GET /_lab/ami?image_id=..."""
    return view(image_of(body))


def view(image: Any) -> Body:
    return {
        "image_id": image.id, "name": image.name, "state": image.state, "owner": image.owner_id,
        "architecture": image.architecture, "tags": {tag["key"]: tag["value"] for tag in image.get_tags()},
        "snapshot_id": image.ebs_snapshot.id, "deprecation_time": getattr(image, "deprecation_time", None),
        "launch_permissions": image.launch_permissions,
    }

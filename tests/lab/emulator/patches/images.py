"""AMIs: what they are made of, and how CreateImage, CopyImage and RegisterImage make them."""

import copy
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.amis import Ami, AmiBackend
from moto.ec2.models.instances import Instance
from moto.ec2.responses.amis import AmisResponse
from moto.ec2.utils import random_ami_id

DEFAULT_SIZE = 8
_stock_defaults = Instance.setup_defaults


def make_image(backend: Any, name: str, **fields: Any) -> Any:
    """An AMI with one root device backed by its own snapshot."""
    tags = fields.pop("tags", None) or {}
    size = int(fields.pop("size", DEFAULT_SIZE))
    kms_key = fields.pop("kms_key", None)
    device = fields.pop("root_device_name", None) or "/dev/xvda"
    extra = {key: fields.pop(key) for key in list(fields) if key not in _CONSTRUCTOR}
    image = Ami(
        backend, random_ami_id(), name=name, root_device_name=device, root_device_type="ebs", hypervisor="xen", **fields
    )
    image.virtualization_type = fields.get("virtualization_type") or "hvm"
    image.architecture = fields.get("architecture") or "x86_64"
    image.image_location = f"{image.owner_id}/{name}"
    image.ena_support = True
    image.ebs_snapshot.volume.size = size
    image.ebs_snapshot.encrypted = kms_key is not None
    image.ebs_snapshot.kms_key_id = kms_key
    image.lab_devices = [root_device(image, size, kms_key)]
    for key, value in extra.items():
        setattr(image, key, value)
    image.add_tags(tags)
    backend.amis[image.id] = image
    return image


_CONSTRUCTOR = ("description", "owner_id", "virtualization_type", "architecture", "state", "platform", "boot_mode")


def root_device(image: Any, size: int, kms_key: str | None) -> dict[str, Any]:
    ebs = {
        "SnapshotId": image.ebs_snapshot.id, "VolumeSize": size, "DeleteOnTermination": True, "VolumeType": "gp3",
        "Encrypted": kms_key is not None, "KmsKeyId": kms_key,
    }
    return {"DeviceName": image.root_device_name, "Ebs": {key: value for key, value in ebs.items() if value is not None}}


def _block_device_mappings(self: Any) -> list[dict[str, Any]]:
    """AWS: EbsBlockDevice (Encrypted, KmsKeyId). Stock: one fixed 15 GiB device, never encrypted."""
    if getattr(self, "lab_devices", None):
        return [copy.deepcopy(device) for device in self.lab_devices]
    return [root_device(self, self.ebs_snapshot.volume_size, self.ebs_snapshot.kms_key_id)]


def _image_tags(self: Any) -> dict[str, str]:
    specs = self._get_param("TagSpecifications", []) or []
    return {tag["Key"]: tag["Value"] for spec in specs if spec["ResourceType"] == "image" for tag in spec["Tags"]}


def _check_name(self: Any, name: str | None) -> str:
    """AWS: error code InvalidAMIName.Duplicate. Stock: takes the same name twice."""
    if not name:
        raise EC2ClientError("MissingParameter", "The request must contain the parameter name")
    for image in self.ec2_backend.amis.values():
        if image.name == name and image.owner_id == self.current_account:
            raise EC2ClientError("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {image.id}")
    return name


def register_image(self: Any) -> ActionResult:
    """AWS: RegisterImage. Stock: keeps only name and description, so Terraform replaces aws_ami on every plan."""
    self.error_on_dryrun()
    get = self._get_param
    image = make_image(
        self.ec2_backend, _check_name(self, get("Name")), description=get("Description") or "",
        architecture=get("Architecture") or "i386", virtualization_type=get("VirtualizationType") or "paravirtual",
        root_device_name=get("RootDeviceName") or "/dev/sda1", tags=_image_tags(self),
    )
    image.boot_mode = get("BootMode")
    image.ena_support = str(get("EnaSupport") or "").lower() == "true"
    image.sriov_net_support = get("SriovNetSupport") or "simple"
    image.imds_support, image.tpm_support = get("ImdsSupport"), get("TpmSupport")
    devices = get("BlockDeviceMappings", []) or []
    if devices:
        defaults = {"DeleteOnTermination": True, "VolumeType": "standard", "Encrypted": False}
        image.lab_devices = [{**device, "Ebs": {**defaults, **device.get("Ebs", {})}} for device in devices]
        root = next((d for d in image.lab_devices if d["DeviceName"] == image.root_device_name), None)
        if root is not None:
            root["Ebs"].setdefault("SnapshotId", image.ebs_snapshot.id)
    return ActionResult({"ImageId": image.id})


def create_image(self: Any) -> ActionResult:
    """AWS: CreateImage; DescribeImages `sourceImageId`: the AMI of the instance. Stock: loses architecture and source,
    and has no code for tags on snapshots."""
    self.error_on_dryrun()
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    source = self.ec2_backend.amis.get(instance.image_id)
    image = make_image(
        self.ec2_backend, _check_name(self, self._get_param("Name")),
        description=self._get_param("Description") or "",
        architecture=source.architecture if source else "x86_64",
        root_device_name=source.root_device_name if source else "/dev/xvda",
        tags=_image_tags(self), instance_id=instance.id, source_image_id=instance.image_id,
        source_image_region=self.region, kms_key=source.ebs_snapshot.kms_key_id if source else None,
    )
    return ActionResult({"ImageId": image.id})


def copy_image(self: Any) -> ActionResult:
    """AWS: CopyImage: "launch permissions, user-defined tags" are not copied unless CopyImageTags; the copy is
    encrypted when asked, or when the source is; `sourceImageId` and `sourceImageRegion` name the source.
    Stock: loses the source, the devices, the encryption and the client token.
    """
    from moto.ec2.models import ec2_backends

    self.error_on_dryrun()
    get = self._get_param
    tokens: dict[str, str] = self.ec2_backend.__dict__.setdefault("lab_copy_tokens", {})
    token = get("ClientToken")
    if token in tokens:
        return ActionResult({"ImageId": tokens[token]})
    source_region = get("SourceRegion")
    source_backend = ec2_backends[self.current_account][source_region]
    source = source_backend.describe_images(ami_ids=[get("SourceImageId")])[0]
    encrypted = str(get("Encrypted") or "").lower() == "true" or source.ebs_snapshot.encrypted
    default_key = f"arn:aws:kms:{self.region}:{self.current_account}:key/00000000-0000-0000-0000-00000000ab1e"
    copy_tags = str(get("CopyImageTags") or "").lower() == "true"
    source_tags = {tag["key"]: tag["value"] for tag in source.get_tags()} if copy_tags else {}
    image = make_image(
        self.ec2_backend, _check_name(self, get("Name")), description=get("Description") or source.description or "",
        architecture=source.architecture, root_device_name=source.root_device_name,
        kms_key=(get("KmsKeyId") or default_key) if encrypted else None, size=source.ebs_snapshot.volume_size,
        source_image_id=source.id, source_image_region=source_region, tags={**source_tags, **_image_tags(self)},
    )
    if token:
        tokens[token] = image.id
    return ActionResult({"ImageId": image.id})


def modify_image_attribute(self: Any) -> Any:
    """AWS: ModifyImageAttribute(description). Stock: ignores the description (aws_ami_copy then never settles)."""
    value = self._get_param("Description", None)
    if isinstance(value, dict):
        value = value.get("Value")
    if value is None and self._get_param("Attribute") == "description":
        value = self._get_param("Value")
    if value is not None or "Description.Value" in self.querystring:
        self.ec2_backend.describe_images(ami_ids=[self._get_param("ImageId")])[0].description = value or ""
        return EmptyResult()
    return _stock_modify(self)


_stock_modify = AmisResponse.modify_image_attribute


def _setup_defaults(self: Any) -> None:
    """AWS: EBS User Guide "EBS encryption": a volume made from an encrypted snapshot has its key. Stock: it has none."""
    _stock_defaults(self)
    image = self.ec2_backend.amis.get(self.image_id)
    for device in self.block_device_mapping.values() if image else ():
        volume = self.ec2_backend.volumes[device.volume_id]
        volume.encrypted, volume.kms_key_id = image.ebs_snapshot.encrypted, image.ebs_snapshot.kms_key_id


def install() -> None:
    Instance.setup_defaults = _setup_defaults
    Ami.block_device_mappings = property(_block_device_mappings)
    for action in (register_image, create_image, copy_image, modify_image_attribute):
        setattr(AmisResponse, action.__name__, action)

    def backend_register(self: Any, name: str | None = None, description: str | None = None) -> Any:
        return make_image(self, name or f"image-{utcnow().timestamp()}", description=description or "")

    AmiBackend.register_image = backend_register

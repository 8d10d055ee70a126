"""Same answers, found faster: with hundreds of groups stock moto is the bottleneck of every test."""

from typing import Any

from moto.ec2.models.amis import AmiBackend
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.models.elastic_block_store import EBSBackend
from moto.ec2.models.instances import InstanceBackend
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix


def _get_tags(self: Any) -> list[dict[str, str]]:
    """Stock: one resource's tags are found by matching a pattern against every tag of every resource."""
    tags = self.ec2_backend.tags.get(self.id) if self.id else None
    if not tags:
        return []
    kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(self.id), "")
    return [{"resource_id": self.id, "key": key, "value": value, "resource_type": kind} for key, value in tags.items()]


def install() -> None:
    TaggedEC2Resource.get_tags = _get_tags

    stock_describe_images = AmiBackend.describe_images

    def describe_images(self: Any, ami_ids: Any = None, filters: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Stock: every instance start filters all AMIs by image-id."""
        if not ami_ids and isinstance(filters, dict) and set(filters) == {"image-id"} and not args and not kwargs:
            wanted = filters["image-id"]
            names = [wanted] if isinstance(wanted, str) else wanted
            if not any("*" in name or "?" in name for name in names):
                return [self.amis[name] for name in names if name in self.amis]
        return stock_describe_images(self, ami_ids, filters, *args, **kwargs)

    AmiBackend.describe_images = describe_images

    stock_describe_volumes = EBSBackend.describe_volumes

    def describe_volumes(self: Any, volume_ids: Any = None, filters: Any = None) -> Any:
        """Stock: walks all volumes for each instance's root volume."""
        if volume_ids and not filters and all(name in self.volumes for name in volume_ids):
            return [self.volumes[name] for name in volume_ids]
        return stock_describe_volumes(self, volume_ids, filters)

    EBSBackend.describe_volumes = describe_volumes

    stock_get_instance = InstanceBackend.get_instance

    def get_instance(self: Any, instance_id: str) -> Any:
        """Stock: walks all reservations for each lookup by id (twice per started instance)."""
        index: dict[str, Any] = self.__dict__.setdefault("_lab_instances", {})
        found = index.get(instance_id)
        if found is None:
            found = index[instance_id] = stock_get_instance(self, instance_id)
        return found

    InstanceBackend.get_instance = get_instance

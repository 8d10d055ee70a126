"""Amazon ECR: what an image's digest is, and what a moved tag leaves behind."""

import hashlib
from typing import Any

from moto.ecr.models import ECRBackend, Image


def install() -> None:
    def create_digest(self: Any) -> None:
        """AWS: ECR API reference, `imageDigest` is "the sha256 digest of the image manifest".
        Stock: a hash over the layer digests, and one of 101 random values for an index."""
        self._image_digest = "sha256:" + hashlib.sha256(self.image_manifest.encode()).hexdigest()

    Image._create_digest = create_digest

    stock_put_image = ECRBackend.put_image

    def put_image(self: Any, repository_name: str, image_manifest: str, image_tag: str, *args: Any, **kwargs: Any) -> Any:
        """AWS: ECR User Guide "Image tag mutability": the tag moves, the previous image stays, untagged.
        Stock: deletes the previous image, which is the one to roll back to."""
        repository = self.repositories.get(repository_name)
        before = list(repository.images) if repository else []
        result = stock_put_image(self, repository_name, image_manifest, image_tag, *args, **kwargs)
        for image in before:
            if image not in repository.images:
                image.image_tags = [tag for tag in image.image_tags if tag != image_tag]
                image.image_tag = None
                repository.images.append(image)
        return result

    ECRBackend.put_image = put_image

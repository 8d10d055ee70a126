"""What stock moto 5.2.1 gets wrong and imgctl depends on, put back as AWS documents it.

Every module has `install()`, which replaces methods of moto's classes; nothing in site-packages is changed.
"""

from emulator.patches import (
    autoscaling, buckets, ecr, images, image_lifecycle, launch_templates, launches, serializing, speed, stacks,
    templates_api, trail,
)


def install_all() -> None:
    for module in (
        speed, serializing, launch_templates, templates_api, images, image_lifecycle, launches, autoscaling, ecr, buckets,
        stacks, trail,
    ):
        module.install()

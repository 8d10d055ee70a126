"""ECR digests and tags, and ECS services."""

import hashlib
import json
import unittest

from labtest import LabTest, client


class ContainersTest(LabTest):
    def test_ecr_digests_and_moved_tags(self) -> None:
        ecr = client("ecr")
        ecr.create_repository(repositoryName="web")
        digests = []
        for number in (1, 2):
            layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": f"sha256:{number:064}", "size": 1}
            manifest = json.dumps(
                {
                    "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": {**layer, "mediaType": "application/vnd.oci.image.config.v1+json"}, "layers": [layer],
                }
            )
            ecr.put_image(repositoryName="web", imageManifest=manifest, imageTag="prod")
            digests.append("sha256:" + hashlib.sha256(manifest.encode()).hexdigest())
        seen = {
            image["imageDigest"]: image.get("imageTags")
            for image in ecr.describe_images(repositoryName="web")["imageDetails"]
        }
        self.assertEqual(seen, {digests[0]: None, digests[1]: ["prod"]})

    def test_ecs_services_name_their_revision_by_arn(self) -> None:
        ecs = client("ecs")
        ecs.create_cluster(clusterName="main")
        for image in ("a", "b"):
            ecs.register_task_definition(
                family="api", containerDefinitions=[{"name": "api", "image": image, "memory": 64}]
            )
        ecs.create_service(cluster="main", serviceName="api", taskDefinition="api:1", desiredCount=1)
        service = ecs.update_service(cluster="main", service="api", taskDefinition="api:2")["service"]
        self.assertTrue(service["taskDefinition"].endswith("task-definition/api:2"))
        self.assertEqual(service["deployments"][0]["taskDefinition"], service["taskDefinition"])
        self.assertNotIn("networkConfiguration", service)


if __name__ == "__main__":
    unittest.main()

//! Amazon ECR: images that were moved to the archive are there, and cannot be pulled until they are restored.

use super::Availability;
use crate::model::{Digest, Region, Repository};
use crate::provider::aws::Aws;
use aws_sdk_ecr::types::{ImageDetail, ImageIdentifier, ImageStatus};

/// Account and region of a private ECR registry: `ACCOUNT.dkr.ecr.REGION.amazonaws.com`, `ACCOUNT.dkr-ecr.REGION.on.aws`,
/// their FIPS and China forms (ECR User Guide, "Private registry authentication"; "dual-stack endpoints").
pub(super) fn registry(host: &str) -> Option<(String, Region)> {
    let (account, rest) = host.split_once('.')?;
    let region = ["dkr.ecr.", "dkr.ecr-fips.", "dkr-ecr.", "dkr-ecr-fips."].iter().find_map(|kind| {
        let (region, domain) = rest.strip_prefix(kind)?.split_once('.')?;
        ["amazonaws.com", "amazonaws.com.cn", "on.aws", "on.amazonwebservices.com.cn"]
            .contains(&domain)
            .then_some(region)
    })?;
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    Some((account.to_owned(), region.parse().ok()?)).filter(|_| is_account)
}

/// Why an image of an ECR repository cannot be pulled though it is there (DescribeImages, imageStatus). That this cannot
/// be asked is no reason against it: its manifest and every blob have just answered.
pub(super) async fn archived(aws: &Aws, repository: &Repository, digest: &Digest) -> Option<Availability> {
    let (account, region) = registry(repository.registry())?;
    let id = ImageIdentifier::builder().image_digest(digest.to_string()).build();
    let call = aws.ecr(&region).describe_images().registry_id(account).repository_name(repository.path());
    let answer = call.image_ids(id).send().await.ok()?;
    answer.image_details().iter().find_map(|image| kept_away(repository, image))
}

fn kept_away(repository: &Repository, image: &ImageDetail) -> Option<Availability> {
    let (name, digest) = (repository.path(), image.image_digest().unwrap_or_default());
    let state = match image.image_status()? {
        ImageStatus::Archived => "is archived",
        ImageStatus::Activating => "is being restored from the archive",
        _ => return None,
    };
    let restore = format!(
        "aws ecr update-image-storage-class --repository-name {name} --image-id imageDigest={digest} \
         --target-storage-class STANDARD"
    );
    Some(Availability::Unusable { why: format!("{name}@{digest} {state} in ECR and cannot be pulled ({restore})") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecr_is_known_by_its_host() {
        let place = |host: &str| registry(host).map(|(account, region)| format!("{account} {region}"));
        assert_eq!(place("123456789012.dkr.ecr.eu-west-1.amazonaws.com").as_deref(), Some("123456789012 eu-west-1"));
        assert_eq!(
            place("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn").as_deref(),
            Some("123456789012 cn-north-1")
        );
        assert_eq!(place("123456789012.dkr-ecr.us-east-1.on.aws").as_deref(), Some("123456789012 us-east-1"));
        for host in ["public.ecr.aws", "registry.example.com", "team.dkr.ecr.eu-west-1.amazonaws.com", "localhost:5000"]
        {
            assert_eq!(place(host), None, "{host}");
        }
    }

    #[test]
    fn only_what_is_in_the_archive_is_kept_away() {
        let repository = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/web".parse().unwrap();
        let image =
            |status: Option<ImageStatus>| ImageDetail::builder().image_digest("sha256:1").set_image_status(status);
        let said = |status| kept_away(&repository, &image(status).build());
        assert_eq!((said(None), said(Some(ImageStatus::Active))), (None, None));
        for status in [ImageStatus::Archived, ImageStatus::Activating] {
            let Some(Availability::Unusable { why }) = said(Some(status)) else { panic!("pulled from the archive") };
            assert!(why.contains("team/web@sha256:1") && why.contains("--target-storage-class STANDARD"), "{why}");
        }
    }
}

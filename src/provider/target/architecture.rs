//! Which architecture a slot takes: that of its instance types, and where they do not say, that of the image it holds.

use super::template_facts::TemplateFacts;
use crate::model::{Arch, Region};
use crate::provider::aws::{Aws, AwsError, Service, classify};
use aws_sdk_ec2::types::{Filter, InstanceType};
use std::collections::BTreeSet;

/// DescribeInstanceTypes takes this many types.
const TYPES_A_CALL: usize = 100;
/// DescribeImages takes this many values in one filter.
const IMAGES_A_FILTER: usize = 200;

/// What a slot launches on, and with.
pub(super) struct Launches<'a> {
    pub(super) types: BTreeSet<&'a str>,
    /// The AMI that it holds now.
    pub(super) image: Option<&'a str>,
}

/// Reads what `decide` needs for these, once ever.
pub(super) async fn read(
    aws: &Aws,
    facts: &TemplateFacts,
    region: &Region,
    slots: &[Launches<'_>],
) -> Result<(), AwsError> {
    let types: BTreeSet<&str> = slots.iter().flat_map(|slot| slot.types.iter().copied()).collect();
    let unknown: Vec<&str> = types.into_iter().filter(|kind| !facts.knows_type(region, kind)).collect();
    for chunk in unknown.chunks(TYPES_A_CALL) {
        read_types(aws, facts, region, chunk).await?;
    }
    let undecided = slots.iter().filter(|slot| of_types(facts, &slot.types).is_none()).filter_map(|slot| slot.image);
    let images: BTreeSet<&str> = undecided.filter(|image| !facts.knows_image(region, image)).collect();
    for chunk in images.into_iter().collect::<Vec<_>>().chunks(IMAGES_A_FILTER) {
        read_images(aws, facts, region, chunk).await?;
    }
    Ok(())
}

async fn read_types(aws: &Aws, facts: &TemplateFacts, region: &Region, types: &[&str]) -> Result<(), AwsError> {
    let types = types.iter().map(|kind| InstanceType::from(*kind)).collect();
    let call = aws.ec2(region).describe_instance_types().set_instance_types(Some(types));
    let answer = aws.patiently(Service::Ec2, region, || call.clone().send()).await;
    let answer = answer.map_err(|error| classify("ec2:DescribeInstanceTypes", &aws.place(region), error))?;
    for info in answer.instance_types() {
        let architectures = info.processor_info().map(|processor| processor.supported_architectures());
        let architectures = architectures.unwrap_or_default().iter().map(|arch| arch.as_str().to_owned()).collect();
        if let Some(kind) = info.instance_type() {
            facts.keep_architectures(region, kind.as_str(), architectures);
        }
    }
    Ok(())
}

/// By a filter: an id that is no longer there is then no error.
async fn read_images(aws: &Aws, facts: &TemplateFacts, region: &Region, images: &[&str]) -> Result<(), AwsError> {
    let ids = images.iter().map(|image| (*image).to_owned()).collect();
    let filter = Filter::builder().name("image-id").set_values(Some(ids)).build();
    let call = aws.ec2(region).describe_images().filters(filter).include_deprecated(true).include_disabled(true);
    let answer = aws.patiently(Service::Ec2, region, || call.clone().send()).await;
    let answer = answer.map_err(|error| {
        classify("ec2:DescribeImages", &format!("{} in {}", images.join(", "), aws.place(region)), error)
    })?;
    for image in answer.images() {
        let arch = image.architecture().and_then(|arch| arch.as_str().parse::<Arch>().ok());
        if let (Some(id), Some(arch)) = (image.image_id(), arch) {
            facts.keep_image_architecture(region, id, arch);
        }
    }
    Ok(())
}

/// The architecture of a slot; `None` where neither its types nor its image tell.
pub(super) fn decide(facts: &TemplateFacts, slot: &Launches<'_>) -> Option<Arch> {
    of_types(facts, &slot.types).or_else(|| facts.image_architecture(slot.image?))
}

/// The one architecture that all these types have.
fn of_types(facts: &TemplateFacts, types: &BTreeSet<&str>) -> Option<Arch> {
    let mut common: Option<BTreeSet<String>> = None;
    for kind in types {
        let known: BTreeSet<String> = facts.architectures(kind)?.into_iter().collect();
        common = Some(common.map_or(known.clone(), |common| common.intersection(&known).cloned().collect()));
    }
    let common = common?;
    // t2 and m1 run i386 and x86_64 images; 64-bit is what a new image is.
    common.iter().find(|arch| common.len() == 1 || arch.as_str() == "x86_64")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(types: &[&str], image: Option<&str>) -> Option<String> {
        let (facts, region) = (TemplateFacts::default(), "eu-west-1".parse().unwrap());
        for (kind, architectures) in
            [("t3", &["x86_64"][..]), ("m5", &["x86_64"]), ("t4g", &["arm64"]), ("t2", &["i386", "x86_64"])]
        {
            facts.keep_architectures(&region, kind, architectures.iter().map(|arch| (*arch).to_owned()).collect());
        }
        facts.keep_image_architecture(&region, "ami-arm", "arm64".parse().unwrap());
        let slot = Launches { types: types.iter().copied().collect(), image };
        decide(&facts, &slot).map(|arch| arch.to_string())
    }

    #[test]
    fn the_instance_types_decide() {
        assert_eq!(decided(&["t3", "m5"], Some("ami-arm")).as_deref(), Some("x86_64"));
        assert_eq!(decided(&["t2"], None).as_deref(), Some("x86_64"));
        assert_eq!(decided(&["t4g"], None).as_deref(), Some("arm64"));
    }

    #[test]
    fn where_they_do_not_the_image_does() {
        assert_eq!(decided(&[], Some("ami-arm")).as_deref(), Some("arm64"), "requirements name no type");
        assert_eq!(decided(&["t3", "t4g"], Some("ami-arm")).as_deref(), Some("arm64"), "only one of them can launch");
        assert_eq!(decided(&[], Some("ami-gone")), None);
    }
}

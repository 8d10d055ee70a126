//! The rules of the config, and every malformed sample with the words it earns.

use super::*;
use crate::provider::state::StateAddress;
use std::time::Duration;

fn around(directory: &str) -> Surroundings {
    Surroundings {
        working_directory: directory.into(),
        variables: BTreeMap::from([("HOME".to_owned(), "/home/ana".to_owned())]),
        ..Surroundings::default()
    }
}

fn read(text: &str) -> Config {
    match parse(text, Path::new("/infra/imgctl.toml"), &around("/infra")) {
        Ok(config) => config,
        Err(error) => panic!("{}", said(&error)),
    }
}

fn said(error: &ConfigError) -> String {
    match error {
        ConfigError::Invalid { path, text, faults } => render(path, text, faults, false, 100),
        other => other.to_string(),
    }
}

#[test]
fn every_malformed_sample_is_told_where_and_what_and_how() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&samples).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    assert!(files.len() >= 12, "the samples are gone");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let error = parse(&text, Path::new("imgctl.toml"), &around("/infra")).expect_err(&file.display().to_string());
        let actual = said(&error) + "\n";
        let golden = file.with_extension("txt");
        if std::env::var_os("SNAPSHOTS").is_some_and(|mode| mode == "overwrite") {
            std::fs::write(&golden, &actual).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(actual, expected, "{}", golden.display());
    }
}

#[test]
fn everything_has_a_default_but_the_targets() {
    let config = read("[[channels.web.prod.targets]]\nid = \"a\"\nkind = \"asg\"\nname = \"web\"\n");
    let channel = &config.channels[&"web/prod".parse().unwrap()];
    assert_eq!((channel.on_failure, channel.require_reason), (OnFailure::Rollback, false));
    let crate::provider::target::spec::TargetSettings::Asg(group) = &channel.targets[0].settings else {
        panic!("not a group")
    };
    assert_eq!((group.min_healthy_percentage, group.max_healthy_percentage), (100, 110));
    assert_eq!(group.time_limit, Duration::from_secs(3600));
    assert_eq!(read(""), Config { file: Some("/infra/imgctl.toml".into()), ..Config::default() });
}

#[test]
fn the_settings_of_a_group_are_read_as_aws_names_them() {
    let text = r#"
        [aws]
        region = "eu-west-1"
        [[channels.web.prod.targets]]
        id = "web-asg"
        kind = "asg"
        name = "web-prod"
        region = "us-east-1"
        time_limit = "1h 30m"
        [channels.web.prod.targets.refresh]
        min_healthy_percentage = 90
        max_healthy_percentage = 150
        checkpoints = [20, 50, 100]
        checkpoint_delay = "10m"
        bake_time = "5m"
        alarms = ["web-5xx"]
        standby_instances = "Terminate"
        [[channels.web.prod.iac]]
        kind = "terraform-state"
        source = "state/terraform.tfstate"
    "#;
    let config = read(text);
    let channel = &config.channels[&"web/prod".parse().unwrap()];
    let target = &channel.targets[0];
    assert_eq!(target.region.as_ref().unwrap().as_str(), "us-east-1", "a target's own region counts first");
    let crate::provider::target::spec::TargetSettings::Asg(group) = &target.settings else { panic!("not a group") };
    assert_eq!(group.checkpoints, [20, 50, 100]);
    assert_eq!(group.checkpoint_delay, Some(Duration::from_secs(600)));
    assert_eq!(group.time_limit, Duration::from_secs(5400));
    let address = StateAddress::File("/infra/state/terraform.tfstate".into());
    assert_eq!(channel.iac[0].spec.address, address, "relative to the config file");
}

#[test]
fn code_may_be_in_s3_or_behind_a_url() {
    let text = r#"
        [[channels.web.prod.targets]]
        id = "web-asg"
        kind = "asg"
        name = "web-prod"
        region = "us-east-1"
        [[channels.web.prod.iac]]
        kind = "terraform-state"
        source = "s3://states/web/prod.tfstate"
        region = "us-east-1"
        assume_role = "arn:aws:iam::123456789012:role/states"
        [[channels.web.prod.iac]]
        kind = "terraform-state"
        source = "https://ci:CANARY@git.example.com/state/web"
    "#;
    let config = read(text);
    let [object, url] = &config.channels[&"web/prod".parse().unwrap()].iac[..] else { panic!("not two") };
    let (bucket, key) = ("states".to_owned(), "web/prod.tfstate".to_owned());
    assert_eq!(object.spec.address, StateAddress::S3 { bucket, key });
    assert_eq!(object.spec.region.as_ref().map(|region| region.as_str()), Some("us-east-1"));
    assert!(object.spec.access.role.is_some());
    assert_eq!(url.spec.name, "https://git.example.com/state/web");
    assert!(!format!("{url:?}").contains("CANARY"));
}

#[test]
fn a_target_says_with_which_credentials_it_is_reached() {
    let text = r#"
        [[channels.web.prod.targets]]
        id = "web-us"
        kind = "asg"
        name = "web-prod"
        region = "us-east-1"
        profile = "ops"
        assume_role = "arn:aws:iam::222222222222:role/imgctl"
        external_id = "agreed"
    "#;
    let access = read(text).channels[&"web/prod".parse().unwrap()].targets[0].access.clone();
    let role = access.role.unwrap();
    assert_eq!((access.profile.as_deref(), role.external_id.as_deref()), (Some("ops"), Some("agreed")));
    assert_eq!(
        (role.arn.to_string().as_str(), role.session_name.as_str()),
        ("arn:aws:iam::222222222222:role/imgctl", "imgctl")
    );
    let faults = |keys: &str| {
        let text = format!("[[channels.web.prod.targets]]\nid = \"a\"\nkind = \"asg\"\nname = \"a\"\n{keys}\n");
        match parse(&text, Path::new("c.toml"), &around("/")) {
            Err(ConfigError::Invalid { faults, .. }) => faults.into_iter().map(|fault| fault.title).collect(),
            other => vec![format!("{other:?}")],
        }
    };
    assert_eq!(faults("external_id = \"agreed\""), ["this belongs to a role"]);
    assert_eq!(faults("assume_role = \"imgctl\""), ["`assume_role` is not valid"]);
}

#[test]
fn an_anchor_is_called_what_it_is_unless_it_has_a_name() {
    use crate::provider::anchor::{AnchorSettings, S3Settings};
    let text = r#"
        [ledger]
        path = "l"
        [[ledger.anchors]]
        kind = "s3"
        bucket = "audit"
        prefix = "web"
        region = "us-east-1"
        assume_role = "arn:aws:iam::222222222222:role/audit"
        [[ledger.anchors]]
        id = "registry"
        kind = "oci"
        repository = "registry.example.com/team/ledger"
    "#;
    let anchors = read(text).anchors;
    assert_eq!((anchors[0].id.as_str(), anchors[1].id.as_str()), ("s3", "registry"));
    assert!(anchors[0].access.role.is_some() && anchors[1].access.is_default());
    let settings = S3Settings {
        bucket: "audit".to_owned(),
        prefix: "web/".to_owned(),
        region: Some("us-east-1".parse().unwrap()),
    };
    assert_eq!(anchors[0].settings, AnchorSettings::S3(settings));
    let AnchorSettings::Oci(registry) = &anchors[1].settings else { panic!("{anchors:?}") };
    assert_eq!(registry.tag, "ledger-head");
}

#[test]
fn what_the_page_on_the_ledger_shows_can_be_written() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ledger.md")).unwrap();
    let blocks = |language: &str| -> Vec<String> {
        let opens = format!("```{language}\n");
        page.split(&opens).skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
    };
    let config = blocks("toml");
    let anchors = read(&config[0]).anchors;
    let kinds: BTreeSet<&str> = anchors.iter().map(|anchor| anchor.settings.kind()).collect();
    assert_eq!((config.len(), kinds), (1, BTreeSet::from(["oci", "s3", "ssm"])));
    let policies = blocks("json");
    assert_eq!(policies.len(), 2);
    for policy in policies {
        let policy: serde_json::Value = serde_json::from_str(&policy).unwrap();
        assert!(policy["Statement"].as_array().is_some_and(|statements| !statements.is_empty()));
    }
}

#[test]
fn a_launch_template_is_named_by_its_id_and_an_instance_is_no_target() {
    let titles = |keys: &str| {
        let text = format!("[[channels.web.prod.targets]]\nid = \"a\"\n{keys}\n");
        match parse(&text, Path::new("c.toml"), &around("/")) {
            Err(ConfigError::Invalid { faults, .. }) => faults.into_iter().map(|fault| fault.title).collect(),
            Err(other) => vec![other.to_string()],
            Ok(_) => Vec::new(),
        }
    };
    assert!(titles("kind = \"launch-template\"\ntemplate = \"lt-0123456789abcdef0\"").is_empty());
    assert_eq!(titles("kind = \"launch-template\"\ntemplate = \"web\""), ["a launch template is named by its id"]);
    assert_eq!(titles("kind = \"ec2\"\nname = \"web\""), ["an EC2 instance alone is no target"]);
}

#[test]
fn a_flag_counts_before_the_environment_before_the_file_before_the_default() {
    let directory = tempfile::tempdir().unwrap();
    let deep = directory.path().join("a/b");
    std::fs::create_dir_all(&deep).unwrap();
    let mut here = around(deep.to_str().unwrap());
    assert_eq!(load(&here).unwrap().ledger, Path::new("/home/ana/.local/share/imgctl"));
    here.variables.insert("XDG_DATA_HOME".into(), "/data".into());
    assert_eq!(load(&here).unwrap().ledger, Path::new("/data/imgctl"));

    let file = directory.path().join(FILE_NAME);
    std::fs::write(&file, "[ledger]\npath = \".imgctl\"\n[aws]\nregion = \"eu-west-1\"\n").unwrap();
    let found = load(&here).unwrap();
    assert_eq!((found.ledger, found.file), (directory.path().join(".imgctl"), Some(file)), "found upwards");
    assert_eq!(found.aws.region.unwrap().as_str(), "eu-west-1");

    here.variables.insert("AWS_REGION".into(), "us-west-2".into());
    here.ledger = Some("mine".into());
    let found = load(&here).unwrap();
    assert_eq!((found.ledger, found.aws.region.unwrap().as_str()), (deep.join("mine"), "us-west-2"));
}

#[test]
fn a_config_that_was_asked_for_must_be_there() {
    let here = Surroundings { config: Some("other.toml".into()), ..around("/nowhere") };
    let error = load(&here).unwrap_err();
    assert_eq!(error.to_string(), "the config file /nowhere/other.toml could not be read");
}

#[test]
fn a_place_is_counted_in_characters_from_one() {
    let text = "# é\n[aws]\nregion = \"é\" # moon\n";
    let Err(ConfigError::Invalid { path, text, faults }) = parse(text, Path::new("c.toml"), &around("/")) else {
        panic!("accepted")
    };
    let told = complaints(&path, &text, &faults);
    assert_eq!((told[0].line, told[0].column, told.len()), (3, 10, 1));
}

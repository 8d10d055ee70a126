//! Ten thousand groups behind a server that only puts recorded elements together: what imgctl itself takes, without an
//! emulator's time.

use crate::figures::Figures;
use crate::process::{Watched, imgctl, watched};
use imgctl::model::{Actor, Cause, Event, ImageRef, Outcome, Revision, SlotChange, Step};
use imgctl::store::{self, DiskStore, LedgerStore};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const GOOD: &str = "ami-0000000000000000a";
const BAD: &str = "ami-0000000000000000b";
/// Every so many groups one instance runs another image than its group's template has.
const STRAY: usize = 1000;
/// Targets of one channel.
const A_CHANNEL: usize = 20;
/// DescribeLaunchTemplateVersions' page of `$Latest` and `$Default`, one row each where they are the same version.
const VERSIONS_A_PAGE: usize = 200;

struct Elements {
    group: &'static str,
    version: &'static str,
    instance: &'static str,
    image: &'static str,
}

const ELEMENTS: Elements = Elements {
    group: include_str!("replay/group.xml"),
    version: include_str!("replay/version.xml"),
    instance: include_str!("replay/instance.xml"),
    image: include_str!("replay/image.xml"),
};

/// What every thread of the server knows.
struct Cloud {
    groups: usize,
    calls: AtomicUsize,
}

pub fn replay(figures: &mut Figures) {
    let [one, ten] = [1000, 10_000].map(look);
    let (per_group, name) = (10.0, "a tenth of the groups, times ten");
    figures.add("drift.10k.calls", ten.1, "calls", name, one.1 * per_group);
    figures.add("drift.10k.wall", ten.0.seconds, "s", name, one.0.seconds * per_group);
    figures.add("drift.10k.cpu", ten.0.cpu, "s", name, one.0.cpu * per_group);
    figures.add("drift.10k.peak_rss", ten.0.peak, "MB", "a tenth of the groups", one.0.peak);
}

/// One look at that many groups; how many calls it took.
fn look(groups: usize) -> (Watched, f64) {
    let cloud = Arc::new(Cloud { groups, calls: AtomicUsize::new(0) });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let served = Arc::clone(&cloud);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let cloud = Arc::clone(&served);
            std::thread::spawn(move || serve(&cloud, stream.unwrap()));
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], code: i32| {
        let mut command = imgctl();
        command.current_dir(dir.path()).args(arguments).env("AWS_ENDPOINT_URL", &endpoint);
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test").env("AWS_REGION", "eu-west-1");
        let before = cloud.calls.load(Ordering::Relaxed);
        let ran = watched(&command).expect("GNU time is installed: apt install time");
        assert_eq!(ran.code, code, "imgctl {arguments:?} over {groups} groups: {}{}", ran.out, ran.err);
        (ran, (cloud.calls.load(Ordering::Relaxed) - before) as f64)
    };
    run(&["init", "--ledger", "ledger"], 0);
    let target = |number: usize| {
        let channel = number / A_CHANNEL;
        format!(
            "[[channels.web.part-{channel}.targets]]\nid = \"web-{number}\"\nkind = \"asg\"\nname = \"web-{number}\"\n"
        )
    };
    let targets: String = (0..groups).map(target).collect();
    std::fs::write(dir.path().join("imgctl.toml"), format!("[ledger]\npath = \"ledger\"\n\n{targets}")).unwrap();
    run(&["record", "web@1", GOOD], 0);
    released(&dir.path().join("ledger"), groups);
    let _nothing_is_kept = std::fs::remove_file(dir.path().join("ledger/facts"));
    let looked = run(&["drift"], 2);
    let strays = looked.0.out.matches("mixed (").count();
    assert_eq!(strays, groups.div_ceil(STRAY), "every instance that runs another image is found: {}", looked.0.out);
    looked
}

/// Writes down that all of them were moved to the image, as promotions do: the look is what is measured.
fn released(ledger: &Path, groups: usize) {
    let store = store::open(ledger, Duration::from_secs(5)).unwrap();
    for begin in (0..groups).step_by(A_CHANNEL) {
        release(&store, begin..groups.min(begin + A_CHANNEL));
    }
}

/// The promotion of one channel.
fn release(store: &DiskStore, numbers: Range<usize>) {
    let to = ImageRef::Ami { region: "eu-west-1".parse().unwrap(), id: GOOD.parse().unwrap() };
    let revision = |number: usize| -> Revision { format!("lt-{number:017}:1").parse().unwrap() };
    let step = |(number, at): (u32, usize)| Step {
        number,
        target: format!("web-{at}").parse().unwrap(),
        wave: 1,
        slots: [("template".parse().unwrap(), SlotChange { from: None, to: to.clone() })].into(),
        expect: revision(at),
        exact: None,
        interrupts: None,
        notes: Vec::new(),
    };
    let channel = format!("web/part-{}", numbers.start / A_CHANNEL).parse().unwrap();
    let steps: Vec<Step> = (1..).zip(numbers.clone()).map(step).collect();
    let rollout = store.view().unwrap().head().seq.next();
    let (image, cause) = ("web@1".parse().unwrap(), Cause::Promote);
    let started = Event::RolloutStarted { channel, image, from: None, cause, reason: None, steps: steps.clone() };
    let mut events = vec![started];
    for (at, each) in numbers.zip(&steps) {
        let (step, revision) = (each.number, revision(at));
        events.push(Event::StepStarted { rollout, step });
        events.push(Event::StepDeployed { rollout, step, revision: revision.clone(), deployment: None });
        let (slots, running) = (each.wanted(), [(to.clone(), 1)].into());
        events.push(Event::StepSucceeded { rollout, step, revision, slots, running });
    }
    events.push(Event::RolloutFinished { rollout, outcome: Outcome::Succeeded });
    let by = Actor { who: "bench@machine".into(), ..Actor::default() };
    store.append_all(Timestamp::now(), &by, &events).unwrap();
}

/// Answers one connection's requests for as long as it lasts.
fn serve(cloud: &Cloud, stream: TcpStream) {
    let mut reader = BufReader::new(stream);
    while let Some(form) = request(&mut reader) {
        cloud.calls.fetch_add(1, Ordering::Relaxed);
        let body = cloud.answer(&form);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: {}\r\n\r\n", body.len());
        let stream = reader.get_mut();
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_err() {
            return;
        }
    }
}

/// The form of the next request; `None`: the connection has ended.
fn request(reader: &mut BufReader<TcpStream>) -> Option<BTreeMap<String, String>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).unwrap();
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    Some(pairs.map(|(key, value)| (key.to_owned(), decoded(value))).collect())
}

fn decoded(text: &str) -> String {
    text.replace("%24", "$").replace("%3A", ":").replace("%2F", "/").replace("%2A", "*")
}

impl Cloud {
    fn answer(&self, form: &BTreeMap<String, String>) -> String {
        let action = form["Action"].as_str();
        let named = |prefix: &str| -> Vec<usize> {
            let values = form.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(_, value)| value);
            let number = |value: &String| {
                let digits = value.trim_start_matches("web-").trim_start_matches("lt-").trim_start_matches("i-");
                digits.parse().ok().filter(|number| *number < self.groups)
            };
            values.filter_map(number).collect()
        };
        let all = |element: &str, numbers: Vec<usize>| -> String {
            numbers.into_iter().map(|number| self.put(element, number)).collect()
        };
        match action {
            "DescribeAutoScalingGroups" => {
                result(action, "AutoScalingGroups", &all(ELEMENTS.group, named("AutoScalingGroupNames.")))
            }
            "DescribeInstanceRefreshes" => result(action, "InstanceRefreshes", ""),
            "GetCallerIdentity" => result(action, "Arn", "arn:aws:iam::123456789012:user/bench")
                .replace("</Arn>", "</Arn><UserId>AIDA</UserId><Account>123456789012</Account>"),
            "DescribeLaunchTemplateVersions" => {
                let template = form.get("LaunchTemplateId").map(|id| id.trim_start_matches("lt-").parse().unwrap());
                let begin: usize = form.get("NextToken").map_or(0, |token| token.parse().unwrap());
                let numbers = match template {
                    Some(number) => vec![number],
                    None => (begin..self.groups.min(begin + VERSIONS_A_PAGE)).collect(),
                };
                let next = begin + numbers.len();
                let more = template.is_none() && next < self.groups;
                let token = if more { format!("<nextToken>{next}</nextToken>") } else { String::new() };
                set(action, "launchTemplateVersionSet", &all(ELEMENTS.version, numbers), &token)
            }
            "DescribeInstances" => {
                // What is asked of all groups at once is asked where one page has room for them.
                let pattern = form.get("Filter.1.Value.1").is_some_and(|value| value == "web-*");
                let by_name =
                    || named(if form.contains_key("InstanceId.1") { "InstanceId." } else { "Filter.1.Value." });
                let numbers = if pattern { (0..self.groups).collect() } else { by_name() };
                // EC2 answers a page of as many instances as it was asked for.
                let page: usize = form.get("MaxResults").map_or(usize::MAX, |most| most.parse().unwrap());
                let more = if numbers.len() > page { "<nextToken>more</nextToken>" } else { "" };
                set(action, "reservationSet", &all(ELEMENTS.instance, numbers.into_iter().take(page).collect()), more)
            }
            "DescribeImages" => {
                let asked: Vec<&String> =
                    form.iter().filter(|(key, _)| key.starts_with("ImageId.")).map(|(_, id)| id).collect();
                let known = [GOOD, BAD].into_iter().filter(|id| asked.is_empty() || asked.iter().any(|one| one == id));
                let images: String = known.map(|image| ELEMENTS.image.replace("IMAGE", image)).collect();
                set(action, "imagesSet", &images, "")
            }
            "DescribeImageAttribute" => set(action, "launchPermission", "", ""),
            "DescribeInstanceTypes" => {
                let kind = "<item><instanceType>t3.micro</instanceType><processorInfo><supportedArchitectures><item>x86_64</item></supportedArchitectures></processorInfo></item>";
                set(action, "instanceTypeSet", kind, "")
            }
            other => panic!("{other} is not recorded: {form:?}"),
        }
    }

    fn put(&self, element: &str, number: usize) -> String {
        let is_instance = element.starts_with("<item><reservationId>");
        let is_stray = is_instance && number.is_multiple_of(STRAY);
        let image = if is_stray { BAD } else { GOOD };
        let element = element.trim_end().replace("NUMBER", &number.to_string());
        element.replace("PADDED", &format!("{number:017}")).replace("IMAGE", image)
    }
}

/// As the query protocol of Auto Scaling and STS frames it.
fn result(action: &str, list: &str, inner: &str) -> String {
    let mut text = String::with_capacity(inner.len() + 300);
    write!(text, "<{action}Response><{action}Result><{list}>{inner}</{list}></{action}Result></{action}Response>")
        .unwrap();
    text
}

/// As EC2 frames it.
fn set(action: &str, list: &str, inner: &str, more: &str) -> String {
    format!("<{action}Response><{list}>{inner}</{list}>{more}<requestId>request-id</requestId></{action}Response>")
}

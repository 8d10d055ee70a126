//! The rules of a channel, as `[channels.NAME.ENV]` gives them.

use crate::model::lookup::nearest;
use crate::model::{Channel, EnvName, Window};
use crate::plan::Rules;
use crate::provider::section::Section;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use std::collections::BTreeSet;
use std::time::Duration;
use toml::Spanned;

/// The longest that an image can be asked to stay on the channel before.
const SOAK: Duration = Duration::from_secs(90 * 24 * 3600);
/// More people than that never agree on anything.
const APPROVALS: u64 = 20;

pub(super) fn read(section: &Section<'_>, channel: &Channel) -> Rules {
    let after = section.parsed::<EnvName>("after");
    if let Some(env) = after.as_ref().filter(|env| *env.get_ref() == channel.env) {
        section.fault(env.span(), "a channel does not come after itself", "expected another environment");
    }
    let soak = section.duration("soak", Duration::from_secs(1)..=SOAK);
    if let (None, Some(soak)) = (&after, &soak) {
        let label = "nothing says where";
        let help = Some("name the environment it must be verified in: after = \"staging\"".to_owned());
        section.fault_with_help(soak.span(), "`soak` needs `after`", label, help);
    }
    let soak = soak.and_then(|soak| SignedDuration::try_from(soak.into_inner()).ok()).unwrap_or_default();
    let approvals = section.number("approvals", 1..=APPROVALS).map(Spanned::into_inner).unwrap_or_default();
    let windows = section.texts("windows").into_iter().filter_map(|text| window(section, &text)).collect();
    Rules { after: after.map(Spanned::into_inner), soak, approvals, windows }
}

fn window(section: &Section<'_>, text: &Spanned<String>) -> Option<Window> {
    let read = Window::parse(text.get_ref(), |name| TimeZone::get(name).ok());
    read.map_err(|error| section.fault(text.span(), "a window is not valid", error.to_string())).ok()
}

/// Once all channels are known: an `after` must lead to one of them, and to no circle.
pub(super) fn check(channels: &Section<'_>, known: &BTreeSet<Channel>) {
    for (name, environments) in channels.named() {
        for (_, section) in environments.named() {
            let Some(after) = section.text("after") else { continue };
            let wanted = format!("{}/{}", name.get_ref(), after.get_ref());
            if known.iter().any(|channel| channel.to_string() == wanted) {
                continue;
            }
            let names: Vec<String> = known.iter().map(Channel::to_string).collect();
            let near = nearest(&wanted, &names).map(|near| format!("did you mean {near}?"));
            let title = format!("there is no channel {wanted}");
            section.fault_with_help(after.span(), title, "it must be one of this file", near);
        }
    }
}

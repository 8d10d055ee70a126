//! What anchors say of the ledger, as a person and a program read it.

use super::time;
use crate::cli::failure::causes;
use crate::flow::anchor::{Witness, Word, Wrote};
use crate::model::{Noted, Seq, Standing};
use serde_json::{Value, json};

/// What is wrong, and what to do about it.
pub struct Alarm {
    pub what: String,
    pub hint: Option<String>,
}

/// `1 entry`, `2 entries`.
pub fn entries(count: u64) -> String {
    format!("{count} {}", if count == 1 { "entry" } else { "entries" })
}

/// The line of a witness that speaks for the ledger.
pub fn line(witness: &Witness) -> Option<String> {
    let Witness { id, place, word: Word::Holds { noted, since, wrote } } = witness else { return None };
    let seq = noted.head.seq;
    Some(match wrote {
        Wrote::First => format!("+ {id}: entry {seq} is noted in {place}, the first one there\n"),
        Wrote::Further => format!("+ {id}: entry {seq} is noted in {place}\n"),
        Wrote::Nothing => {
            let since = if *since == 0 { "nothing".to_owned() } else { entries(*since) };
            format!("= {id}: entry {seq} is as it was noted, {since} since ({place}, noted{})\n", signature(noted))
        }
    })
}

/// ` on 2026-11-20 10:00:00Z by ada@laptop`, as far as it is known.
fn signature(noted: &Noted) -> String {
    let at = noted.at.map(|at| format!(" on {}", time::moment(at))).unwrap_or_default();
    let by = noted.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    format!("{at}{by}")
}

/// What a witness that does not speak for the ledger says.
pub fn alarm(witness: &Witness) -> Option<Alarm> {
    let Witness { id, place, word } = witness;
    match word {
        Word::Holds { .. } => None,
        Word::Empty => Some(Alarm {
            what: format!("{id}: nothing is noted in {place}: it proves nothing"),
            hint: Some("if it was never written to: imgctl ledger anchor; else find out who emptied it".to_owned()),
        }),
        Word::Silent(error) => {
            let causes: String = causes(&**error).iter().map(|cause| format!(": {cause}")).collect();
            Some(Alarm { what: format!("{id}: {error}{causes}"), hint: error.hint() })
        }
        Word::Broken { noted, standing, good } => {
            let what = broken(&format!("{place} holds entry {}", noted.head.seq), noted, standing, *good)?;
            Some(Alarm { what: format!("{id}: {what}"), hint: advice(noted, standing) })
        }
    }
}

/// How the ledger does not go on from what was noted. `holds` is where it was noted, as a beginning: "X holds entry 41".
/// `None`: it does go on from there.
pub fn broken(holds: &str, noted: &Noted, standing: &Standing, good: Option<Seq>) -> Option<String> {
    let seq = noted.head.seq;
    let signature = signature(noted);
    let signature = if signature.is_empty() { signature } else { format!(", noted{signature}") };
    Some(match standing {
        Standing::Extends { .. } => return None,
        Standing::Shorter { ours } => {
            let missing = seq.0 - ours.seq.0;
            let verb = if missing == 1 { "was" } else { "were" };
            format!(
                "{holds}{signature}, and this ledger ends at entry {}: {} {verb} lost, or {verb} written in another copy",
                ours.seq,
                entries(missing)
            )
        }
        Standing::Rewritten { ours } => {
            let since = match good {
                Some(good) => format!("after entry {good}, which is as it was noted"),
                None => "at that entry or before it".to_owned(),
            };
            let theirs = &noted.head.hash;
            format!(
                "{holds}{signature}, as {seq}:{theirs}, and here it is {seq}:{ours}: the ledger was rewritten {since}"
            )
        }
        Standing::OtherLedger { ours } => {
            let theirs = noted.ledger.map(|id| id.to_string()).unwrap_or_default();
            format!("{holds}{signature}, of another ledger: of {theirs}, and this one is {ours}")
        }
    })
}

/// What to do when the ledger does not go on from what was noted.
pub fn advice(noted: &Noted, standing: &Standing) -> Option<String> {
    Some(match standing {
        Standing::Extends { .. } => return None,
        Standing::Shorter { ours } => format!(
            "look for the copy that has entry {}; there: imgctl ledger export --since {} FILE, here: imgctl ledger import FILE",
            noted.head.seq, ours.seq
        ),
        Standing::Rewritten { .. } => {
            "keep what is here (imgctl ledger export FILE) and compare it with a backup: imgctl --ledger BACKUP ledger verify --anchored"
                .to_owned()
        }
        Standing::OtherLedger { .. } => {
            "use the ledger that was noted (--ledger DIR), or give this one an anchor of its own".to_owned()
        }
    })
}

/// A witness for a program.
pub fn document(witness: &Witness) -> Value {
    let (result, noted) = match &witness.word {
        Word::Holds { noted, wrote: Wrote::Nothing, .. } => ("holds", Some(noted)),
        Word::Holds { noted, .. } => ("written", Some(noted)),
        Word::Empty => ("empty", None),
        Word::Broken { noted, standing, .. } => (name(standing), Some(noted)),
        Word::Silent(_) => ("silent", None),
    };
    let since = match &witness.word {
        Word::Holds { since, .. } => Some(since),
        _ => None,
    };
    let alarm = alarm(witness);
    let (error, hint) = alarm.map_or((None, None), |alarm| (Some(alarm.what), alarm.hint));
    json!({
        "anchor": witness.id, "place": witness.place, "result": result, "good": witness.is_good(),
        "entry": noted.map(|noted| noted.head.seq), "hash": noted.map(|noted| &noted.head.hash),
        "noted_at": noted.and_then(|noted| noted.at), "noted_by": noted.and_then(|noted| noted.by.as_ref()),
        "since": since, "error": error, "hint": hint,
    })
}

fn name(standing: &Standing) -> &'static str {
    match standing {
        Standing::Extends { .. } => "holds",
        Standing::Shorter { .. } => "shorter",
        Standing::Rewritten { .. } => "rewritten",
        Standing::OtherLedger { .. } => "other-ledger",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, Head};
    use uuid::Uuid;

    fn said(standing: Standing, good: Option<u64>) -> String {
        let head = Head { seq: Seq(41), hash: Digest::of(b"x") };
        let at = Some("2026-11-20T10:00:00Z".parse().unwrap());
        let noted = Noted { head, ledger: Some(Uuid::from_u128(7)), at, by: Some("ada@laptop".to_owned()) };
        let text = broken("the parameter holds entry 41", &noted, &standing, good.map(Seq)).unwrap();
        text.replace(Digest::of(b"x").as_str(), "X").replace(Digest::of(b"y").as_str(), "Y")
    }

    #[test]
    fn an_alarm_says_what_is_wrong_with_whose_word() {
        let signed = "the parameter holds entry 41, noted on 2026-11-20 10:00:00Z by ada@laptop";
        let ours = Head { seq: Seq(38), hash: Digest::of(b"y") };
        assert_eq!(
            said(Standing::Shorter { ours }, None),
            format!("{signed}, and this ledger ends at entry 38: 3 entries were lost, or were written in another copy")
        );
        let rewritten = Standing::Rewritten { ours: Digest::of(b"y") };
        assert_eq!(
            said(rewritten.clone(), None),
            format!("{signed}, as 41:X, and here it is 41:Y: the ledger was rewritten at that entry or before it")
        );
        let since = "the ledger was rewritten after entry 38, which is as it was noted";
        assert!(said(rewritten, Some(38)).ends_with(since));
        assert!(said(Standing::OtherLedger { ours: Uuid::from_u128(8) }, None).ends_with(
            ", of another ledger: of 00000000-0000-0000-0000-000000000007, and this one is 00000000-0000-0000-0000-000000000008"
        ));
    }
}

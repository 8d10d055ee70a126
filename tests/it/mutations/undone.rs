//! What AWS takes back by itself, told from what imgctl began.

use super::found;
use crate::support::desk::Desk;
use crate::support::lab::lab;
use serde_json::json;

#[test]
fn a_refresh_that_aws_took_back_is_news_where_imgctl_did_not_begin_it() {
    let groups = ["back-theirs", "back-ours", "back-left"];
    let bad = json!({"tags": {"imgtest:health": "fail"}});
    let [good, better, failing] =
        [("back-1", &json!({})), ("back-2", &json!({})), ("back-3", &bad)].map(|(name, more)| lab().ami(name, more));
    let desk = Desk::new("back/prod", &groups[..1], "");
    let other = |group: &str, channel: &str| {
        format!(
            "\n[[channels.{channel}.prod.targets]]\nid = \"{group}\"\nkind = \"asg\"\nname = \"{group}\"\n\
             region = \"eu-west-1\"\npoll_interval = \"100ms\"\n"
        )
    };
    let config = std::fs::read_to_string(desk.path("imgctl.toml")).unwrap();
    let others = other(groups[1], "failed") + &other(groups[2], "left");
    std::fs::write(desk.path("imgctl.toml"), config + &others).unwrap();
    for group in groups {
        desk.lab.group(group, &good, &json!({"size": 1}));
    }
    for name in ["back", "failed", "left"] {
        desk.done(&["record", &format!("{name}@1"), &good]);
        desk.done(&["promote", &format!("{name}@1"), "prod", "--yes"]);
    }
    // A release of ours that AWS takes back, and one that we take back.
    desk.done(&["record", "failed@2", &failing]);
    assert_eq!(desk.run(&["promote", "failed@2", "prod", "--yes"]).exit, 4);
    desk.done(&["record", "left@2", &better]);
    desk.done(&["promote", "left@2", "prod", "--yes"]);
    desk.done(&["rollback", "left/prod", "--reason", "5xx", "--yes"]);
    // And one that somebody else began, who believes that it is done.
    desk.lab.post("drift", &json!({"group": groups[0], "kind": "refresh", "ami": failing}));
    let told = (0..300).map(|_| desk.run(&["drift"])).find(|ran| ran.out.contains("undone"));
    let told = told.unwrap_or_else(|| panic!("{}", desk.run(&["drift"]).out));
    assert_eq!(told.exit, 2);
    let line = told.out.lines().find(|line| line.contains("back-theirs")).unwrap();
    assert!(
        line.contains("which imgctl did not begin, was rolled back by the platform") && line.contains("may believe"),
        "{line}"
    );
    let kinds = found(&desk, &[]);
    assert_eq!(kinds[groups[0]], ["undone".to_owned()].into());
    for ours in &groups[1..] {
        assert_eq!(kinds[*ours], ["in-sync".to_owned()].into(), "{ours}: {}", desk.run(&["drift"]).out);
    }
    // A schedule alarms once, and whoever knows of it says so.
    assert_eq!(desk.run(&["drift", "--record", "--new"]).exit, 2);
    assert_eq!(desk.run(&["drift", "--record", "--new"]).exit, 0);
    let id = told.out.split("(d-").nth(1).unwrap().split(')').next().unwrap();
    desk.done(&["drift", "ack", &format!("d-{id}"), "--until", "3d", "--reason", "CHG-7 was theirs"]);
    assert_eq!(desk.run(&["drift"]).exit, 0);
    // The next one is another.
    desk.lab.post("drift", &json!({"group": groups[0], "kind": "refresh", "ami": failing}));
    assert!((0..300).any(|_| desk.run(&["drift", "--record", "--new"]).exit == 2));
}

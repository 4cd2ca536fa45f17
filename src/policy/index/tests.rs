use std::sync::Arc;

use super::super::{Link, ParsedPolicies, PolicySet, Schema, TextLimits};

mod broken;

const SCHEMA: &str = "
entity Team in [Team];
entity User, Bot in [Team];
entity Folder in [Folder];
entity Doc, Note in [Folder];
action any;
action view, edit in [any] appliesTo { principal: [User, Bot], resource: [Doc, Note] };
";

fn policies(text: &str, links: &[Link]) -> (PolicySet, Schema) {
    let file: Arc<str> = "all.cedar".into();
    let schema = Schema::parse(&"schema".into(), SCHEMA, "").unwrap();
    let mut faults = Vec::new();
    let mut parsed = ParsedPolicies::parse([(&file, text)], TextLimits::default(), &mut faults);
    parsed.link(links, &mut faults);
    assert!(faults.is_empty(), "{faults:?}");
    let set = parsed.validate(|_| Some(text), &schema, 3).unwrap();
    (set, schema)
}

#[track_caller]
fn check(text: &str, view: usize, edit: usize) {
    let (set, schema) = policies(text, &[]);
    let most = ["view", "edit"].map(|name| {
        let action = schema.action(name).unwrap();
        set.most_candidates(&action.uid)
    });
    assert_eq!(most, [view, edit], "{text}");
}

#[test]
fn what_every_request_meets_is_counted_together_and_of_what_few_meet_the_most() {
    let any = "permit(principal, action, resource);";
    check(&any.repeat(3), 3, 3);
    check(
        "permit(principal, action == Action::\"view\", resource);",
        1,
        0,
    );
    check(
        "permit(principal, action in Action::\"any\", resource);",
        1,
        1,
    );
    let alice = "permit(principal == User::\"alice\", action, resource);";
    let bob = "permit(principal == User::\"bob\", action, resource);";
    check(&[alice, alice, bob].concat(), 2, 2);
    let team = "permit(principal in Team::\"a\", action, resource);";
    check(&[alice, team, team, bob].concat(), 3, 3);
    let folder = "permit(principal in Team::\"a\", action, resource in Folder::\"f\");";
    check(&[any, team, folder, folder].concat(), 4, 4);
    let (users, bots) = (
        "permit(principal is User, action, resource);",
        "permit(principal is Bot, action, resource);",
    );
    check(&[users, users, bots].concat(), 2, 2);
}

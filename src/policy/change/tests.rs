use super::*;

fn spot(path: &[&str]) -> Spot {
    Spot {
        root: Root::Context,
        path: path.iter().map(|name| SmolStr::from(*name)).collect(),
        named: format!("context.{}", path.join(".")),
    }
}

fn change(path: &[&str], edit: Edit) -> Change {
    Change {
        spot: spot(path),
        edit,
        literal: true,
    }
}

fn set(values: &[&str]) -> CedarValue {
    core::set(values.iter().map(|text| core::string(text)).collect())
}

fn token(scopes: &[&str]) -> CedarValue {
    core::record([("scopes".into(), set(scopes))].into())
}

fn insert(text: &str) -> Edit {
    Edit::Insert(core::string(text))
}

/// What a context of `{ token: { scopes: ["a"] } }` becomes by changes one after the other.
#[track_caller]
fn check(changes: &[Change], facts: Option<usize>, becomes: Option<CedarValue>) {
    let mut all = Some(Vec::new());
    for change in changes {
        all = all.and_then(|all| add(&all, change));
    }
    assert_eq!(all.as_ref().map(Vec::len), facts);
    let start: Members = [("token".into(), token(&["a"]))].into();
    let end = all.and_then(|all| {
        all.iter().try_fold(start, |members, it| {
            edited(members, &it.spot.path, &it.edit)
        })
    });
    assert_eq!(end.and_then(|mut members| members.remove("token")), becomes);
}

#[test]
fn changes_of_one_value_are_one_fact() {
    let scopes = ["token", "scopes"];
    check(
        &[change(&scopes, insert("b"))],
        Some(1),
        Some(token(&["a", "b"])),
    );
    check(
        &[change(&scopes, insert("b")), change(&scopes, insert("c"))],
        Some(2),
        Some(token(&["a", "b", "c"])),
    );
    check(
        &[
            change(&["token"], Edit::Set(token(&[]))),
            change(&scopes, insert("b")),
        ],
        Some(1),
        Some(token(&["b"])),
    );
    check(
        &[
            change(&scopes, Edit::Set(set(&[]))),
            change(&scopes, insert("b")),
        ],
        Some(1),
        Some(token(&["b"])),
    );
    check(
        &[
            change(&scopes, Edit::Set(set(&[]))),
            change(&scopes, Edit::Set(set(&["x"]))),
        ],
        Some(1),
        Some(token(&["x"])),
    );
    check(&[change(&["token"], Edit::Unset)], Some(1), None);
}

#[test]
fn changes_that_contradict_each_other_or_change_nothing_are_none() {
    let scopes = ["token", "scopes"];
    let b = core::string("b");
    check(
        &[
            change(&scopes, insert("b")),
            change(&scopes, Edit::Remove(b)),
        ],
        None,
        None,
    );
    check(
        &[
            change(&["token"], Edit::Unset),
            change(&scopes, insert("b")),
        ],
        None,
        None,
    );
    check(&[change(&scopes, insert("a"))], Some(1), None);
    check(
        &[change(&["token", "nothing", "deeper"], insert("a"))],
        Some(1),
        None,
    );
}

#[test]
fn moments_and_durations_are_written_as_people_do() {
    let moment = core::datetime("2030-01-01T08:55:00.5Z".parse().unwrap()).unwrap();
    assert_eq!(
        core::notation(&moment),
        "datetime(\"2030-01-01T08:55:00.5Z\")"
    );
    for (text, told) in [
        ("5m", "5m"),
        ("90061001ms", "1d1h1m1s1ms"),
        ("0h", "0ms"),
        ("-2h", "-2h"),
    ] {
        let length = core::duration(text).unwrap();
        assert_eq!(core::notation(&length), format!("duration(\"{told}\")"));
    }
    assert_eq!(core::notation(&core::long(3)), "3");
    assert_eq!(core::notation(&core::string("a")), "\"a\"");
}

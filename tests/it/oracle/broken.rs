//! The test of the test: an engine that reads one form of head amiss is found out.
//!
//! What a broken index would do to policies of one form is done to their text instead, in our
//! bundle alone: policies are lost, or match what they must not.

use super::{
    Seen, first_difference,
    policies::{Actions, Doing, Filled, Policy, Scope},
    scene,
    shape::Shape,
};

/// Bundles in which a fault must show, and questions about each.
const BUNDLES: u64 = 150;
const REQUESTS: usize = 60;

/// Does its fault to a policy of the form; `false` for one of another form.
type Fault = fn(&mut Policy, &Shape) -> bool;

/// Does `wrong` to the principal's part of a head and to the resource's.
fn scopes(policy: &mut Policy, wrong: impl Fn(&Scope) -> Option<Scope>) -> bool {
    let mut any = false;
    for scope in [&mut policy.principal, &mut policy.resource] {
        if let Some(wrong) = wrong(scope) {
            *scope = wrong;
            any = true;
        }
    }
    any
}

fn lose(policy: &mut Policy, of_form: impl Fn(&Scope) -> bool) -> bool {
    let lost = of_form(&policy.principal) || of_form(&policy.resource);
    if lost {
        // A policy that never holds is never found.
        policy.clauses.push_str(" when { false }");
    }
    lost
}

fn actions(policy: &mut Policy, wrong: impl Fn(&Actions) -> Option<Actions>) -> bool {
    match wrong(&policy.actions) {
        Some(wrong) => policy.actions = wrong,
        None => return false,
    }
    true
}

fn is_group(doing: &Doing) -> bool {
    matches!(doing, Doing::Group(_))
}

fn lose_actions(policy: &mut Policy, of_form: impl Fn(&Actions) -> bool) -> bool {
    let lost = of_form(&policy.actions);
    if lost {
        policy.clauses.push_str(" when { false }");
    }
    lost
}

#[track_caller]
fn check(what: &str, fault: Fault) {
    let mut done = 0;
    for seed in 0..BUNDLES {
        let (world, asks) = scene(seed, REQUESTS);
        let mut broken = world.clone();
        let broke = broken.policies.iter_mut().map(|it| fault(it, &world.shape));
        if !broke.fold(false, |any, one| any | one) {
            continue;
        }
        done += 1;
        let mut snapshot = broken.compile();
        if first_difference(&world, &mut snapshot, &asks, &Seen::default()).is_some() {
            return;
        }
    }
    panic!("an index that {what} is not found out by {done} bundles");
}

#[test]
fn an_index_that_reads_heads_of_equality_amiss_is_found_out() {
    check("loses `==`", |it, _| {
        lose(it, |scope| matches!(scope, Scope::Is(Filled::Written(_))))
    });
    check("takes `==` for `in`", |it, _| {
        scopes(it, |scope| match scope {
            Scope::Is(Filled::Written(name)) => Some(Scope::In(Filled::Written(*name))),
            _ => None,
        })
    });
}

#[test]
fn an_index_that_reads_heads_of_groups_amiss_is_found_out() {
    check("loses `in`", |it, _| {
        lose(it, |scope| matches!(scope, Scope::In(Filled::Written(_))))
    });
    check("overlooks what a principal is in", |it, shape| {
        match &it.principal {
            Scope::In(Filled::Written(of)) => {
                let itself = format!(" when {{ principal == {} }}", of.text(shape));
                it.clauses.push_str(&itself);
                true
            }
            _ => false,
        }
    });
    check("overlooks what a resource is in", |it, shape| {
        match &it.resource {
            Scope::In(Filled::Written(of)) => {
                let itself = format!(" when {{ resource == {} }}", of.text(shape));
                it.clauses.push_str(&itself);
                true
            }
            _ => false,
        }
    });
}

#[test]
fn an_index_that_reads_heads_of_types_amiss_is_found_out() {
    check("loses `is`", |it, _| {
        lose(it, |scope| matches!(scope, Scope::OfType(_)))
    });
    check("takes `is` for anything", |it, _| {
        scopes(it, |scope| match scope {
            Scope::OfType(_) => Some(Scope::Any),
            _ => None,
        })
    });
    check("loses `is … in`", |it, _| {
        lose(it, |scope| {
            matches!(scope, Scope::OfTypeIn(_, Filled::Written(_)))
        })
    });
    check("overlooks the type of `is … in`", |it, _| {
        scopes(it, |scope| match scope {
            Scope::OfTypeIn(_, filled) => Some(Scope::In(filled.clone())),
            _ => None,
        })
    });
    check("overlooks the group of `is … in`", |it, _| {
        scopes(it, |scope| match scope {
            Scope::OfTypeIn(of, Filled::Written(_)) => Some(Scope::OfType(*of)),
            _ => None,
        })
    });
}

#[test]
fn an_index_that_reads_heads_of_anything_amiss_is_found_out() {
    check("loses heads without a principal or resource", |it, _| {
        lose(it, |scope| *scope == Scope::Any)
    });
    check("loses heads without an action", |it, _| {
        lose_actions(it, |actions| *actions == Actions::Any)
    });
}

#[test]
fn an_index_that_reads_heads_of_actions_amiss_is_found_out() {
    check("loses `action ==`", |it, _| {
        lose_actions(it, |actions| matches!(actions, Actions::Is(_)))
    });
    check("takes `action ==` for any", |it, _| {
        actions(it, |actions| {
            matches!(actions, Actions::Is(_)).then_some(Actions::Any)
        })
    });
    check("loses `action in` of an action", |it, _| {
        lose_actions(it, |actions| {
            matches!(actions, Actions::In(Doing::Action(_)))
        })
    });
    check("loses `action in` of a group", |it, _| {
        lose_actions(it, |actions| {
            matches!(actions, Actions::In(Doing::Group(_)))
        })
    });
    check("takes `action in` of a group for any", |it, _| {
        actions(it, |actions| {
            matches!(actions, Actions::In(Doing::Group(_))).then_some(Actions::Any)
        })
    });
    check("loses sets of actions", |it, _| {
        lose_actions(it, |actions| matches!(actions, Actions::InSet(_)))
    });
    check("reads only the first of a set of actions", |it, _| {
        actions(it, |actions| match actions {
            Actions::InSet(all) if all.len() > 1 => Some(Actions::InSet(vec![all[0]])),
            _ => None,
        })
    });
    check("loses the groups in a set of actions", |it, _| {
        actions(it, |actions| match actions {
            Actions::InSet(all) if all.iter().any(is_group) && !all.iter().all(is_group) => {
                let left = all.iter().copied().filter(|it| !is_group(it));
                Some(Actions::InSet(left.collect()))
            }
            _ => None,
        })
    });
}

#[test]
fn an_index_that_reads_links_of_templates_amiss_is_found_out() {
    check("loses links", |it, _| lose(it, Scope::has_slot));
    check("loses all but the first link", |it, _| {
        let several = it.links.len() > 1;
        it.links.truncate(1);
        several
    });
    check("takes `== ?slot` for `in ?slot`", |it, _| {
        scopes(it, |scope| match scope {
            Scope::Is(Filled::Slot) => Some(Scope::In(Filled::Slot)),
            _ => None,
        })
    });
}

//! The answer equals that of Cedar's own `Authorizer` on all policies and the whole store.
//!
//! Schemas, policies with every form of head, stores and requests are random; what every other bundle
//! would have of entities, a directory has. The oracle gets its
//! policies, entities and context by Cedar's own parsers, so that a mistake of ours in typing,
//! ownership, slicing, indexing or evaluation shows as a difference.
//!
//! `ORACLE_BUNDLES`, `ORACLE_REQUESTS` and `ORACLE_SEED` say how many of each, and where to begin.

mod broken;
mod conditions;
mod dice;
mod policies;
mod shape;
mod store;
mod world;
pub(crate) mod worlds;

use std::{
    env, iter,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use dice::Dice;
use doorward::bundle::Snapshot;
use world::{Ask, Found, Oracle, World};

const BUNDLES: u64 = 1_000;
const REQUESTS: usize = 100;
const SEED: u64 = 1;

fn setting(name: &str, default: u64) -> u64 {
    let text = env::var(name).ok();
    text.map_or(default, |text| text.parse().unwrap())
}

/// What was seen, so that a run of nothing but denies is not taken for a proof.
#[derive(Debug, Default)]
struct Seen {
    allows: AtomicU64,
    denies: AtomicU64,
    errors: AtomicU64,
    /// A strict server said no where Cedar says yes.
    stricter: AtomicU64,
}

/// A world and questions about it.
fn scene(seed: u64, requests: usize) -> (World, Vec<Ask>) {
    let mut dice = Dice::new(seed);
    let world = World::random(&mut dice);
    let world = match seed.is_multiple_of(2) {
        true => world.in_directory(),
        false => world,
    };
    let asks = iter::repeat_with(|| world.ask(&mut dice)).take(requests * 4);
    let asks = asks.flatten().take(requests).collect();
    (world, asks)
}

/// The first question that is not answered as Cedar would, with both answers.
fn first_difference<'a>(
    world: &World,
    snapshot: &mut Snapshot,
    asks: &'a [Ask],
    seen: &Seen,
) -> Option<(&'a Ask, Found, Found)> {
    let add = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
    let mut oracle = Oracle::new(world);
    let stated = world.given();
    for ask in asks {
        let expected = oracle.answer(ask);
        let found = world.ours(snapshot, &stated, ask);
        if found != expected {
            return Some((ask, found, expected));
        }
        add(if found.allows {
            &seen.allows
        } else {
            &seen.denies
        });
        if !found.errors.is_empty() {
            add(&seen.errors);
            snapshot.strict_errors = true;
            let strictly = world.ours(snapshot, &stated, ask);
            snapshot.strict_errors = false;
            assert!(
                found.allows || !strictly.allows,
                "strict errors permit more: {ask:?}\n{world}"
            );
            if strictly.allows != found.allows {
                add(&seen.stricter);
            }
        }
    }
    None
}

fn check(seed: u64, requests: usize, seen: &Seen) {
    let (world, asks) = scene(seed, requests);
    let differs = first_difference(&world, &mut world.compile(), &asks, seen);
    let Some((ask, found, expected)) = differs else {
        return;
    };
    let (ask, world) = (ask.clone(), smallest(world, ask));
    panic!(
        "ORACLE_SEED={seed} ORACLE_BUNDLES=1: {ask:?}\nfound {found:?}\nexpected {expected:?}\n{world}"
    );
}

/// The world with only those policies without which the difference is gone.
fn smallest(world: World, ask: &Ask) -> World {
    let mut left = world;
    for n in (0..left.policies.len()).rev() {
        let mut fewer = left.clone();
        fewer.policies.remove(n);
        if fewer.policies.is_empty() {
            break;
        }
        let asks = std::slice::from_ref(ask);
        if first_difference(&fewer, &mut fewer.compile(), asks, &Seen::default()).is_some() {
            left = fewer;
        }
    }
    left
}

#[test]
fn the_answer_is_cedars_own_and_strict_errors_never_permit_more() {
    let bundles = setting("ORACLE_BUNDLES", BUNDLES);
    let requests = usize::try_from(setting("ORACLE_REQUESTS", REQUESTS as u64)).unwrap();
    let first = setting("ORACLE_SEED", SEED);
    let (seen, next) = (Seen::default(), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= bundles {
                        break;
                    }
                    check(first + n, requests, &seen);
                }
            });
        }
    });
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let total = count(&seen.allows) + count(&seen.denies);
    eprintln!("{bundles} bundles, {total} requests: {seen:?}");
    if bundles < 100 {
        return;
    }
    assert!(
        total > bundles * requests as u64 / 2,
        "too few could be asked: {seen:?}"
    );
    assert!(count(&seen.allows) * 4 >= total, "{seen:?}");
    assert!(count(&seen.denies) * 4 >= total, "{seen:?}");
    assert!(count(&seen.errors) * 50 >= total, "{seen:?}");
    assert!(count(&seen.stricter) > 0, "no forbid ever failed");
}

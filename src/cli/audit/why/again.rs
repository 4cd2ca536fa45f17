//! A recorded decision, decided and explained again by what was kept of its rules and facts.

use serde_json::{Value as Json, json};

use super::{Exit, WhyArgs, output};
use crate::{
    audit::{Recorded, RecordedOutcome, Told},
    cli::explain::{as_json, as_text},
    model::Decision,
    pap::{PastWorld, PastWorlds},
    pdp::{NotReplayed, Telling, explain_again, replay},
    pep::grpc::to_explanation,
    proto::v1::Explanation,
};

const AGAIN: &str = "decided again";
const EXPLAINED: &str = "explained";
/// Why nothing is known of a deny that was counted with others.
const REPEATED: &str = "of denies of one subject above `audit.denies_per_second` only the ids are kept; those before them are kept whole, and `doorward audit query --subject` finds them";

/// What is said besides what the log says.
pub(super) struct Again {
    /// To people; it may be coloured, and nothing that others sent may steer it.
    pub(super) text: String,
    /// To programs.
    pub(super) members: Vec<(&'static str, Json)>,
    pub(super) exit: Exit,
}

impl Again {
    /// What `args` ask for of an entry of the log.
    pub(super) fn of(entry: &Told, args: &WhyArgs) -> Self {
        let mut again = Self {
            text: String::new(),
            members: Vec::new(),
            exit: Exit::Ok,
        };
        if !args.explain && !args.replay {
            return again;
        }
        match entry {
            Told::Record(record) => {
                let world = PastWorlds::new(&args.place.data).of(record);
                let world = world.map_err(|why| why.to_string());
                if args.replay {
                    again.decide(record, world.as_ref());
                }
                if args.explain {
                    again.explain(record, world.as_ref());
                }
            }
            Told::Refused(classes) => {
                let sampled = classes.iter().find(|class| {
                    let mut samples = class.samples.iter();
                    samples.any(|(sample, ..)| *sample == args.id)
                });
                let class = sampled.and_then(|it| it.class.as_ref());
                again.refused(class.map_or("", |(_, refusal, _)| refusal));
            }
            // Nothing but these has an id.
            _ => {
                for (asked, doing) in [(args.replay, AGAIN), (args.explain, EXPLAINED)] {
                    if asked {
                        again.fails(doing, REPEATED);
                    }
                }
            }
        }
        again
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(&format!("  {}\n", output::shown(text)));
    }

    fn fails(&mut self, doing: &'static str, why: &str) {
        self.line(&format!("cannot be {doing}: {why}"));
        let member = match doing {
            EXPLAINED => "not_explained",
            _ => "not_replayed",
        };
        self.members.push((member, why.into()));
        self.exit = Exit::Failed;
    }

    fn decide(&mut self, record: &Recorded, world: Result<&PastWorld, &String>) {
        let decided = match world {
            Ok(world) => replay(world.known(), record),
            Err(why) => return self.fails(AGAIN, why),
        };
        let (same, text) = match (&record.outcome, decided) {
            (RecordedOutcome::Decision { .. }, Ok(decided)) => {
                let decision = decided.decision;
                match is_same(record, &decision) {
                    true => (
                        true,
                        "decided again: the same, by the same policies".to_owned(),
                    ),
                    false => (
                        false,
                        format!(
                            "decided again: {}, which is NOT what was recorded",
                            words(&decision)
                        ),
                    ),
                }
            }
            (
                RecordedOutcome::Refusal {
                    refusal, reason, ..
                },
                Err(NotReplayed::Refused(again)),
            ) if *refusal == again.code() && *reason == again.reason() => {
                (true, "refused again: for the same reason".to_owned())
            }
            // What was not about its facts does not happen again.
            (RecordedOutcome::Refusal { reason, .. }, Ok(decided)) => (
                true,
                format!(
                    "decided again: {}; that it was refused ({reason}) was no matter of its facts",
                    words(&decided.decision)
                ),
            ),
            (_, Err(why)) => return self.fails(AGAIN, &why.to_string()),
        };
        self.line(&text);
        self.members
            .push(("replayed", json!({ "same": same, "text": text })));
        if !same {
            self.exit = Exit::Failed;
        }
    }

    fn explain(&mut self, record: &Recorded, world: Result<&PastWorld, &String>) {
        if let RecordedOutcome::Refusal { refusal, .. } = &record.outcome {
            return self.refused(refusal);
        }
        let explained = match world {
            Ok(world) => explain_again(world.known(), record, Telling::ALL),
            Err(why) => return self.fails(EXPLAINED, why),
        };
        let explanation = match explained {
            Ok(explanation) if is_same(record, &explanation.decision) => explanation,
            Ok(other) => {
                let words = words(&other.decision);
                let why = format!("decided again it is {words}, which is NOT what was recorded");
                return self.fails(EXPLAINED, &why);
            }
            Err(why) => return self.fails(EXPLAINED, &why.to_string()),
        };
        // People have been told what was decided by which rules.
        let told = to_explanation(&explanation);
        self.text.push('\n');
        self.text
            .push_str(&as_text(&told, output::Style::of_stdout()));
        let named = Explanation {
            decision_id: record.decision_id.to_string(),
            bundle: record.bundle.clone().unwrap_or_default(),
            bundle_digest: record.digest.map(|it| it.to_string()).unwrap_or_default(),
            revision: record.revision.clone(),
            ..told
        };
        self.members.push(("explanation", as_json(&named)));
    }

    /// Of a refusal the log has all there is to say; this is whose business it is.
    fn refused(&mut self, refusal: &str) {
        let whose = whose(refusal);
        self.line(&format!("no policy was asked: {whose}"));
        self.members.push(("refused_because", whose.into()));
    }
}

/// What a refusal means, and who can do something about it.
fn whose(refusal: &str) -> &'static str {
    match refusal {
        "malformed" => {
            "the question does not fit the bundle's schema, so whoever asks must ask otherwise"
        }
        "too_large" => "it was over a limit of `[limits]`",
        "unknown_bundle" => "no bundle has the name or the host that was asked for",
        "no_route" => {
            "no route of the bundle matches the request: try it with `doorward route METHOD URL`"
        }
        "caller_unknown" => "the service or gateway that asked is none of the `[[caller]]`s",
        "caller_lacks_right" => {
            "the service or gateway that asked lacks a right: see `may` of its `[[caller]]`"
        }
        "unauthenticated" => {
            "the subject's credential was not accepted: `doorward token inspect` goes through it check by check"
        }
        "resource_mismatch" => "what was said of the resource is not what is stored of it",
        "stale" => "the revision of stored data that was asked for had not come yet",
        "deadline_exceeded" => "there was no time left to decide it",
        "overloaded" => "there was too much to do, or its record could not be kept",
        "conflict" => "what the change expected to find stored was not there",
        "rate_limited" => "the service or gateway that asked did so more often than it may",
        _ => "the server could not decide then; its own log says more",
    }
}

fn words(decision: &Decision) -> String {
    format!("{} ({})", decision.outcome, decision.cause.as_str())
}

fn is_same(record: &Recorded, decision: &Decision) -> bool {
    let RecordedOutcome::Decision {
        outcome,
        cause,
        reasons,
        errors,
        ..
    } = &record.outcome
    else {
        return false;
    };
    let reasons = reasons.iter().map(|it| it.policy_id.as_str());
    let errors = errors.iter().map(|(policy, ..)| policy.as_str());
    (*outcome, *cause) == (decision.outcome, decision.cause)
        && reasons.eq(decision.reasons.iter().map(|it| &*it.policy_id))
        && errors.eq(decision.errors.iter().map(|it| &*it.policy_id))
}

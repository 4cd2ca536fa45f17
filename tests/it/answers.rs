//! What an answer says beyond allow and deny.

use doorward::{
    model::{Challenge, Decision, Outcome, Question, Refusal, SignedDuration, Subject, Timestamp},
    pdp::Pdp,
};
use serde_json::{Value as Json, json};

use crate::kit::{Ask, Issuer, Served, entity, now, pdp};

const SCHEMA: &str = r#"
entity User = { level?: Long };
entity Thing;
action Use, Pay, Look, Nap appliesTo {
  principal: [User], resource: [Thing],
  context: {
    now: datetime, token?: Doorward::Token, actor?: Doorward::Actor, caller?: Doorward::Caller, http?: Doorward::Http,
    headers?: { "x-source"?: String, "x-more"?: String }, amount?: Long,
  },
};
action Plain appliesTo { principal: [User], resource: [Thing] };
"#;

const POLICIES: &str = r#"
@id("b-permit") @reason("Members may.") @advice("Enjoy.") @obligation("log it")
permit(principal, action in [Action::"Use", Action::"Plain"], resource);
@id("a-permit") @obligation("tell them")
permit(principal, action == Action::"Use", resource);
@id("too-much") @reason("Too much.") @step_up("acr=mfa max_age=300")
forbid(principal, action == Action::"Use", resource) when { context has amount && context.amount > 100 };
@id("overflows")
forbid(principal, action == Action::"Use", resource) when { context has amount && context.amount + 9223372036854775800 < 0 };
@id("payers") @challenge_scope("pay")
permit(principal, action == Action::"Pay", resource) when { context has token && context.token.scopes.contains("pay") };
@id("errs")
permit(principal, action == Action::"Pay", resource) when { context has amount && context.amount * 9223372036854775807 > 0 };
@id("curious")
permit(principal, action == Action::"Look", resource) when {
  context has actor && context.actor.subject == "robot" && context has caller && context.caller.name == "anonymous"
  && context has http && context.http.path == "/t" && context has headers && context.headers has "x-source"
  && context.headers["x-source"] == "web" && !(context.headers has "x-more")
};
@id("by-day")
permit(principal, action == Action::"Nap", resource) when { context.now > datetime("2029-01-01") };
"#;

const BUNDLE: &str = r#"
cacheable_for = "10m"
[[principal]]
type = "User"
id = "{sub}"
[[route]]
path = "/{thing}"
action = "Look"
resource = { type = "Thing", id = "{thing}" }
"#;

struct Setup {
    issuer: Issuer,
    pdp: Pdp,
}

impl Setup {
    fn new() -> Self {
        let issuer = Issuer::new("corp");
        let files = [
            ("schema.cedarschema", SCHEMA),
            ("all.cedar", POLICIES),
            ("bundle.toml", BUNDLE),
        ];
        let pdp = pdp(&[Served::new("b", &files)], &[&issuer], &[]).unwrap();
        Self { issuer, pdp }
    }

    fn ask(&self, claims: Json, action: &str) -> Ask {
        Ask::named(
            self.issuer.token("a", claims),
            action,
            entity("Thing::\"t\"", json!({})),
        )
    }

    #[track_caller]
    fn decide(&self, ask: Ask) -> Decision {
        ask.of(&self.pdp).unwrap().decision().clone()
    }

    #[track_caller]
    fn check(&self, ask: Ask, expected: &str) {
        let decision = self.decide(ask);
        let reasons: Vec<_> = decision
            .reasons
            .iter()
            .map(|it| it.policy_id.to_string())
            .collect();
        let errors: Vec<_> = decision
            .errors
            .iter()
            .map(|it| format!("{}:{}", it.policy_id, it.code))
            .collect();
        let found = format!(
            "{} {} {reasons:?} {errors:?}",
            decision.outcome,
            decision.cause.as_str()
        );
        assert_eq!(found.replace('"', ""), expected);
    }
}

#[test]
fn causes_reasons_and_errors_are_told_in_their_order() {
    let all = Setup::new();
    let with = |amount: i64| all.ask(json!({}), "Use").context("amount", json!(amount));
    all.check(
        all.ask(json!({}), "Use"),
        "allow permitted [a-permit, b-permit] []",
    );
    all.check(with(1), "allow permitted [a-permit, b-permit] []");
    all.check(with(101), "deny forbidden [too-much] [overflows:overflow]");
    all.check(with(50), "deny forbid_errored [] [overflows:overflow]");
    all.check(all.ask(json!({}), "Pay"), "deny nothing_permits [] []");
    all.check(
        all.ask(json!({}), "Pay").context("amount", json!(2)),
        "deny nothing_permits [] [errs:overflow]",
    );
    all.check(
        all.ask(json!({"scope": "pay"}), "Pay")
            .context("amount", json!(2)),
        "allow permitted [payers] [errs:overflow]",
    );
}

#[test]
fn reasons_obligations_and_challenges_are_the_authors_words() {
    let all = Setup::new();
    let allowed = all.decide(all.ask(json!({}), "Use"));
    let texts: Vec<_> = allowed
        .obligations
        .iter()
        .map(|it| it.text.to_string())
        .collect();
    assert_eq!(texts, ["tell them", "log it"]);
    assert_eq!(allowed.reasons[1].reason.as_deref(), Some("Members may."));
    assert_eq!(allowed.reasons[1].advice.as_deref(), Some("Enjoy."));
    assert_eq!(&*allowed.reasons[1].place, "all.cedar:2");
    assert_eq!(allowed.challenge, None);

    let forbidden = all.decide(all.ask(json!({}), "Use").context("amount", json!(101)));
    assert!(forbidden.obligations.is_empty());
    let step_up = Challenge::StepUp {
        acr_values: Some("mfa".into()),
        max_age_seconds: Some(300),
    };
    assert_eq!(forbidden.challenge, Some(step_up));
    let unpermitted = all.decide(all.ask(json!({}), "Pay"));
    assert_eq!(unpermitted.challenge, Some(Challenge::Scope("pay".into())));
}

#[test]
fn answers_may_be_reused_as_the_bundle_says_never_past_the_token_and_never_with_the_time() {
    let all = Setup::new();
    let secs = |ask| all.decide(ask).cacheable_for.as_secs();
    assert_eq!(
        secs(all.ask(json!({}), "Plain")),
        300,
        "the token lasts five minutes"
    );
    assert_eq!(
        secs(all.ask(json!({"exp": 1_893_493_200_u64}), "Plain")),
        600
    );
    assert_eq!(
        all.decide(all.ask(json!({}), "Nap")).cacheable_for,
        SignedDuration::ZERO
    );
    let vouched = Ask::named(
        Subject::Entity(entity("User::\"a\"", json!({}))),
        "Plain",
        entity("Thing::\"t\"", json!({})),
    );
    assert_eq!(secs(vouched), 600);
}

#[test]
fn the_standard_context_tells_actor_caller_request_and_declared_headers() {
    let all = Setup::new();
    let ask = |headers: &[(&str, &str)], claims: Json| {
        let mut ask = Ask::http(all.issuer.token("a", claims), "GET", "/t");
        if let Question::Http(http) = &mut ask.0.question {
            http.headers = headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
        }
        ask
    };
    let acted = || json!({"act": {"sub": "robot", "act": {"sub": "other"}}});
    all.check(
        ask(&[("x-source", "web"), ("x-else", "1")], acted()),
        "allow permitted [curious] []",
    );
    all.check(
        ask(&[("x-source", "web"), ("x-more", "1")], acted()),
        "deny nothing_permits [] []",
    );
    all.check(
        ask(&[("x-source", "app")], acted()),
        "deny nothing_permits [] []",
    );
    all.check(ask(&[], acted()), "deny nothing_permits [] []");
    all.check(
        ask(&[("x-source", "web")], json!({})),
        "deny nothing_permits [] []",
    );
}

#[test]
fn a_question_whose_policies_take_longer_than_its_deadline_is_refused_and_nothing_else() {
    // Two policies more than are evaluated between two looks at the clock.
    let permits = "permit(principal, action == Action::\"Use\", resource);".repeat(18);
    let issuer = Issuer::new("corp");
    let files = [
        ("schema.cedarschema", SCHEMA),
        ("all.cedar", &permits),
        ("bundle.toml", BUNDLE),
    ];
    let check = |clock: fn() -> Timestamp, action: &str, expected: Result<Outcome, Refusal>| {
        let pdp = pdp(&[Served::new("b", &files)], &[&issuer], &[]).unwrap();
        let pdp = pdp.with_deadline(SignedDuration::from_secs(1), clock);
        let thing = entity("Thing::\"t\"", json!({}));
        let asked = Ask::named(issuer.token("a", json!({})), action, thing);
        let answered = asked.of(&pdp).map(|answer| answer.decision().outcome);
        assert_eq!(answered, expected);
    };
    let late = || now() + SignedDuration::from_secs(2);
    check(now, "Use", Ok(Outcome::Allow));
    check(late, "Use", Err(Refusal::DeadlineExceeded));
    // None of the policies is about it, so that there was nothing to take long.
    check(late, "Pay", Ok(Outcome::Deny));
}

//! `doorward explain`.

mod json;
mod render;
mod source;

use std::path::{Path, PathBuf};

use super::{
    Exit, Failure,
    check::{self, Flags, Stated, Whom, pair, read_json, secret},
    output,
    output::Style,
    told::{Form, Loaded},
};
use crate::{
    authn::unverified,
    bundle::{Case, Snapshot, SubjectSpec},
    client::{Client, ClientError},
    model::{AccessToken, Members, Timestamp, Value},
    pdp::{Rehearsal, Telling, explain_rehearsal},
    pep::grpc::to_explanation,
    proto::v1::{Explanation, Outcome},
    server,
};

pub(super) use self::{json::value as as_json, render::explanation as as_text};

const EXAMPLES: &str = "\
Examples:
  doorward explain policies --sub dave --claim tenant='\"acme\"' --action ReadOrder \\
      --resource 'Order::\"o-1\"' --attr tenant='\"acme\"'
  doorward explain policies --case 'a manager with a password alone must log in again'
  doorward explain --addr http://127.0.0.1:9191 --token @token.jwt \\
      --method GET --path /tenants/acme/orders/o-1

Exit codes: 0 allowed, 2 denied, 1 refused or unreachable, 3 the bundle is not valid, 64 bad usage";

/// Say why a question is allowed or denied, and what would have to be otherwise
///
/// Asks the bundle in DIR as a server would, with supposed claims or a token that is not verified; or,
/// with --addr, a running server, by its rules and with the rights it gives you.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The bundle's directory
    #[arg(
        value_name = "DIR",
        default_value = "policies",
        conflicts_with = "addr"
    )]
    directory: PathBuf,
    #[command(flatten)]
    flags: Flags,
    /// Suppose a token of this subject (claim `sub`)
    #[arg(long, value_name = "SUBJECT", group = "who", conflicts_with = "addr")]
    sub: Option<String>,
    /// What it is good for, separated by spaces (claim `scope`)
    #[arg(long, value_name = "SCOPES", conflicts_with_all = ["token", "subject", "anonymous", "addr"])]
    scope: Option<String>,
    /// A claim of it, its value as JSON (text in quotes); repeatable
    #[arg(
        long = "claim",
        value_name = "NAME=JSON",
        value_parser = pair,
        conflicts_with_all = ["token", "subject", "anonymous", "addr"]
    )]
    claims: Vec<(String, String)>,
    /// Who issued it, by the name that the bundle's principal rules use
    #[arg(long, value_name = "NAME", conflicts_with_all = ["subject", "anonymous", "addr"])]
    issuer: Option<String>,
    /// When it is asked [default: now]
    #[arg(long, value_name = "TIME", conflicts_with = "addr")]
    now: Option<Timestamp>,
    /// Explain a case of the bundle's tests, by its name
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with_all = ["who", "what", "scope", "claims", "context", "now", "addr"]
    )]
    case: Option<String>,
    /// Print the explanation as JSON
    #[arg(long)]
    json: bool,
    /// Ask this server, in place of a directory
    #[arg(long, value_name = "URL")]
    addr: Option<String>,
    /// Your own secret, for a server that knows its callers: the secret or @FILE
    #[arg(long, value_name = "SECRET|@FILE", requires = "addr")]
    caller_token: Option<String>,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let style = Style::of_stdout();
    if args.case.is_none() && args.flags.lacks_question() {
        return Err(Failure::usage(
            "what is asked? give `--action` and `--resource`, `--method` and `--path`, or `--case`",
        ));
    }
    let supposed = args.sub.is_some() || args.scope.is_some() || !args.claims.is_empty();
    if args.case.is_none() && !supposed && args.flags.lacks_subject() {
        return Err(Failure::usage(
            "whom is it about? give `--sub` with `--claim`, `--token`, `--subject` or `--anonymous`",
        ));
    }
    match &args.addr {
        Some(addr) => {
            let addr = addr.clone();
            remote(args, &addr, style)
        }
        None => offline(args, style),
    }
}

/// Explains by a directory.
fn offline(args: Args, style: Style) -> Result<Exit, Failure> {
    let loaded = Loaded::read(&args.directory)?;
    let snapshot = match &loaded.compiled {
        Ok(snapshot) => snapshot,
        Err(faults) => {
            let form = match args.json {
                true => Form::Json,
                false => Form::Human,
            };
            output::print(&loaded.teller().invalid(faults, form, style))?;
            return Ok(Exit::Invalid);
        }
    };
    let (directory, as_json) = (args.directory.clone(), args.json);
    if let Some(name) = &args.case {
        let case = find_case(snapshot, name, &directory)?;
        let rehearsal = Rehearsal {
            subject: &case.subject,
            question: &case.question,
            entities: &case.entities,
            context: &case.context,
            now: case.now,
        };
        return explained(snapshot, &rehearsal, as_json, style);
    }
    let now = args.now.unwrap_or_else(server::clock::now);
    let supposed = supposed(&args)?;
    let issuer = args.issuer;
    let Stated {
        subject,
        question,
        context,
        ..
    } = args.flags.stated()?;
    let subject = match (supposed, subject) {
        (Some(claims), _) => SubjectSpec::Claims { claims, issuer },
        (None, Whom::Token(token)) => {
            let claims = unverified(&AccessToken::new(token));
            let claims = claims.map_err(|why| Failure::failed(format!("the token: {why}")))?;
            SubjectSpec::Claims { claims, issuer }
        }
        (None, Whom::Entity(facts)) => SubjectSpec::Entity(facts),
        (None, Whom::Anonymous) => SubjectSpec::Anonymous,
    };
    let rehearsal = Rehearsal {
        subject: &subject,
        question: &question,
        entities: &[],
        context: &context,
        now,
    };
    explained(snapshot, &rehearsal, as_json, style)
}

fn explained(
    snapshot: &Snapshot,
    rehearsal: &Rehearsal<'_>,
    as_json: bool,
    style: Style,
) -> Result<Exit, Failure> {
    match explain_rehearsal(snapshot, rehearsal, Telling::ALL) {
        Ok(explanation) => {
            let explanation = Explanation {
                bundle_digest: snapshot.digest.to_string(),
                ..to_explanation(&explanation)
            };
            show(&explanation, as_json, style)
        }
        Err(refusal) => {
            output::print(&match as_json {
                true => json::refusal(&refusal),
                false => render::refusal(&refusal, style),
            })?;
            Ok(Exit::Failed)
        }
    }
}

/// Asks a server.
fn remote(args: Args, addr: &str, style: Style) -> Result<Exit, Failure> {
    let secret = args.caller_token.as_deref().map(secret).transpose()?;
    let as_json = args.json;
    let request = args.flags.stated()?.into_request()?;
    let answered = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?
        .block_on(async {
            let client = Client::connect(addr).await?;
            match secret {
                Some(secret) => client.with_secret(&secret)?.explain(request).await,
                None => client.explain(request).await,
            }
        });
    match answered {
        Ok(explanation) => show(&explanation, as_json, style),
        Err(ClientError::Refused(refused)) => {
            output::print(&match as_json {
                true => check::json_refusal(&refused),
                false => check::refusal(&refused, style),
            })?;
            Ok(Exit::Failed)
        }
        Err(why @ (ClientError::Url(_) | ClientError::Secret)) => Err(Failure::usage(why)),
        Err(why) => Err(Failure::failed(why)),
    }
}

fn show(explanation: &Explanation, as_json: bool, style: Style) -> Result<Exit, Failure> {
    output::print(&match as_json {
        true => json::explanation(explanation),
        false => render::explanation(explanation, style),
    })?;
    Ok(match explanation.outcome() {
        Outcome::Allow => Exit::Ok,
        Outcome::Deny | Outcome::Unspecified => Exit::Denied,
    })
}

/// The claims that the flags suppose; `None` when they suppose none.
fn supposed(args: &Args) -> Result<Option<Members>, Failure> {
    let mut claims = Members::new();
    for (name, text) in [("sub", &args.sub), ("scope", &args.scope)] {
        claims.extend(
            text.iter()
                .map(|text| (name.to_owned(), Value::String(text.clone()))),
        );
    }
    for (name, json) in &args.claims {
        claims.insert(name.clone(), read_json(&format!("--claim {name}"), json)?);
    }
    Ok((!claims.is_empty()).then_some(claims))
}

fn find_case<'s>(
    snapshot: &'s Snapshot,
    name: &str,
    directory: &Path,
) -> Result<&'s Case, Failure> {
    let cases = || snapshot.cases.iter().flat_map(|file| &file.cases);
    if let Some(case) = cases().find(|case| case.name == name) {
        return Ok(case);
    }
    let mut like = cases().filter(|case| case.name.contains(name));
    match (like.next(), like.next()) {
        (Some(case), None) => Ok(case),
        (Some(one), Some(other)) => Err(Failure::usage(format!(
            "several cases are named like `{name}`: `{}`, `{}`, …",
            one.name, other.name
        ))),
        (None, _) => Err(Failure::usage(format!(
            "no case of `{}` is named `{name}`; `doorward test` runs them all",
            directory.display()
        ))),
    }
}

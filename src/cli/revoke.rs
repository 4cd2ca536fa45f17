//! `doorward revoke`.

use clap::ArgGroup;

use super::{
    Exit, Failure,
    directory::{Server, told},
    output,
};
use crate::{
    model::Timestamp,
    proto::v1::{RevokeRequest, revoke_request::What},
};

const EXAMPLES: &str = "\
Examples:
  doorward revoke --issuer corp --jti 5f0c…          the one token
  doorward revoke --issuer corp --subject alice      all of hers that were issued up to now
  doorward revoke --issuer corp --session s-17       all of one login

Exit codes: 0 revoked, 1 refused or unreachable, 64 bad usage";

/// Take tokens back: whoever presents one is refused, from the next question on
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group(ArgGroup::new("what").required(true)))]
pub(super) struct Args {
    /// Whose tokens: the issuer's name in the configuration, or its `iss`
    #[arg(long, value_name = "ISSUER", default_value = "dev")]
    issuer: String,
    /// The token with this `jti`
    #[arg(long, value_name = "JTI", group = "what")]
    jti: Option<String>,
    /// The tokens of this session (`sid`)
    #[arg(long, value_name = "SID", group = "what")]
    session: Option<String>,
    /// The tokens of this `sub`
    #[arg(long, value_name = "SUB", group = "what")]
    subject: Option<String>,
    /// Only those issued up to this time (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME", requires = "subject")]
    issued_before: Option<Timestamp>,
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let what = match (args.jti, args.session, args.subject) {
        (Some(jti), _, _) => What::Jti(jti),
        (_, Some(session), _) => What::Session(session),
        (_, _, subject) => What::Subject(subject.unwrap_or_default()),
    };
    let request = RevokeRequest {
        issuer: args.issuer,
        what: Some(what),
        issued_before: args.issued_before.map(|at| prost_types::Timestamp {
            seconds: at.as_second(),
            nanos: at.subsec_nanosecond(),
        }),
    };
    let revoked = args
        .server
        .run(async |operator| operator.revoke(request).await.map_err(told))?;
    let until = revoked.kept_until.unwrap_or_default();
    let until = Timestamp::new(until.seconds, until.nanos).unwrap_or(Timestamp::MAX);
    output::print(&format!(
        "revoked\n  kept until {until}\n  revision   {}\n",
        output::shown(&revoked.revision)
    ))?;
    Ok(Exit::Ok)
}

//! `doorward serve`.

use std::path::{Path, PathBuf};

use super::{Exit, Failure, output};
use crate::{
    config::{Config, Setting, Sources},
    server::{
        self, Addresses, Server, ServerError,
        telemetry::{self, LogFormat},
    },
};

/// Read when `--config` names none.
const DEFAULT_FILE: &str = "doorward.toml";

/// Serve decisions until stopped
///
/// Reads `doorward.toml` (or --config), over which DOORWARD_… variables and then flags win.
/// With --dev, everything has a default: try it first.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Development: this machine only, an own token issuer, every right for local callers
    #[arg(long)]
    dev: bool,
    /// Configuration file [default: doorward.toml, if there is one; none with --dev]
    #[arg(
        long,
        value_name = "FILE",
        env = "DOORWARD_CONFIG",
        hide_env_values = true
    )]
    config: Option<PathBuf>,
    /// Directory of policies [default: policies; with --dev and without it, the built-in example]
    #[arg(long, value_name = "DIR")]
    bundle: Option<String>,
    /// Directory for what must outlive the server [default: data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Where services ask, over gRPC [default: 127.0.0.1:9191]
    #[arg(long, value_name = "ADDR")]
    grpc: Option<String>,
    /// Where AuthZEN callers and gateways ask, over HTTP [default: 127.0.0.1:8181]
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Where /livez, /readyz and /metrics are [default: 127.0.0.1:8282]
    #[arg(long, value_name = "ADDR")]
    probe: Option<String>,
    /// Where operators keep directory and revocations, over gRPC [default: 127.0.0.1:8283]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Let this listener be reached by other machines without TLS or without callers
    #[arg(long, value_name = "LISTENER")]
    insecure_listen: Vec<String>,
    /// Print the effective configuration, secrets masked, and end
    #[arg(long)]
    print_config: bool,
    /// Log lines for people or as JSON [default: pretty on a terminal; DOORWARD_LOG=debug for more]
    #[arg(long, value_enum)]
    log_format: Option<Format>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Pretty,
    Json,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let (print_config, format) = (args.print_config, args.log_format);
    let config = Config::load(sources(args)).map_err(Failure::usage)?;
    if print_config {
        output::print(&config.print())?;
        return Ok(Exit::Ok);
    }
    let format = format.map(|format| match format {
        Format::Pretty => LogFormat::Pretty,
        Format::Json => LogFormat::Json,
    });
    server::block_on(serve(config, format)).map_err(failure)?;
    Ok(Exit::Ok)
}

/// How the program ends when the server does not run, or no longer.
fn failure(why: ServerError) -> Failure {
    match why {
        ServerError::DevData(_)
        | ServerError::NotDevData(_)
        | ServerError::Keys(_)
        | ServerError::Tls(_)
        | ServerError::Log(_) => Failure::usage(why),
        ServerError::Admin(_) => Failure {
            exit: Exit::Invalid,
            message: why.to_string(),
        },
        _ => Failure::failed(why),
    }
}

async fn serve(config: Config, format: Option<LogFormat>) -> Result<(), ServerError> {
    let telemetry = telemetry::init(format, config.otlp.as_ref())?;
    let served = serve_until_asked(config).await;
    telemetry.flush().await;
    served
}

async fn serve_until_asked(config: Config) -> Result<(), ServerError> {
    let (dev, data) = (config.dev, config.data.clone());
    let shutdown = server::asked_to_end()?;
    let server = Server::open(config).await?;
    if let (true, Ok(addresses)) = (dev, server.addresses()) {
        eprint!("{}", welcome(addresses, &data));
    }
    server.run(shutdown).await
}

fn sources(args: Args) -> Sources {
    let insecure = args.insecure_listen;
    let insecure = (!insecure.is_empty()).then(|| insecure.join(","));
    let flags = [
        ("bundle", "--bundle", args.bundle),
        ("data", "--data", args.data),
        ("listen.grpc", "--grpc", args.grpc),
        ("listen.http", "--http", args.http),
        ("listen.probe", "--probe", args.probe),
        ("listen.admin", "--admin", args.admin),
        ("listen.insecure", "--insecure-listen", insecure),
    ];
    let here = Path::new(DEFAULT_FILE);
    Sources {
        file: args
            .config
            .or_else(|| (!args.dev && here.exists()).then(|| here.to_owned())),
        environment: std::env::vars_os()
            .filter_map(|(name, value)| {
                let name = name.into_string().ok()?;
                Some((name, value.to_string_lossy().into_owned()))
            })
            .collect(),
        flags: flags
            .into_iter()
            .filter_map(|(key, flag, value)| {
                Some(Setting {
                    key: key.to_owned(),
                    value: value?,
                    source: flag.to_owned(),
                })
            })
            .collect(),
        dev: args.dev,
    }
}

/// What a newcomer needs: where it listens, and three questions to paste.
fn welcome(addresses: Addresses, data: &Path) -> String {
    let Addresses {
        grpc,
        http,
        probe,
        admin,
    } = addresses;
    let data = match data == Path::new("data") {
        true => String::new(),
        false => format!(" --data '{}'", data.display()),
    };
    let addr = match grpc.to_string().as_str() {
        "127.0.0.1:9191" => String::new(),
        other => format!(" --addr http://{other}"),
    };
    let token = format!(
        "doorward token{data} --sub alice --scope orders:read --claim tenant='\"acme\"' --claim roles='[\"clerk\"]'"
    );
    let question = |action| {
        format!("--action {action} --resource 'Order::\"o-1\"' --attr tenant='\"acme\"'{addr}")
    };
    let (read, cancel) = (question("ReadOrder"), question("CancelOrder"));
    format!(
        "
  *** DEVELOPMENT MODE: anyone on this machine may ask anything. Never use it for real. ***

  gRPC    {grpc}
  HTTP    http://{http}/access/v1/evaluation  /forward-auth/nginx  /caddy  /traefik
  probes  http://{probe}/readyz  /livez  /metrics
  admin   {admin}

  Paste into another terminal (the questions suit the built-in example):

  # a clerk reads an order of her tenant: ALLOW
  {token} | doorward check --token - {read}

  # and may not cancel it: DENY, with what would help
  {token} | doorward check --token - {cancel}

  # a token someone has tampered with: REFUSED
  {token} | sed 's/....$/AAAA/' | doorward check --token - {read}

"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_task_ends_the_program_with_its_name() {
        let ended = failure(ServerError::Task {
            name: "ledger",
            why: "it panicked".to_owned(),
        });
        assert_eq!(ended.exit, Exit::Failed);
        assert_eq!(ended.message, "the task `ledger` died: it panicked");
    }

    #[test]
    fn rules_for_operators_that_are_not_valid_are_not_tried_again() {
        let empty = tempfile::tempdir().unwrap();
        let fault = crate::admin::rules(Some(empty.path())).unwrap_err();
        assert_eq!(failure(fault.into()).exit, Exit::Invalid);
    }

    #[test]
    fn the_pasted_commands_reach_this_server() {
        let usual = Addresses {
            grpc: "127.0.0.1:9191".parse().unwrap(),
            http: "127.0.0.1:8181".parse().unwrap(),
            probe: "127.0.0.1:8282".parse().unwrap(),
            admin: "127.0.0.1:8283".parse().unwrap(),
        };
        let plain = welcome(usual.clone(), Path::new("data"));
        assert!(
            !plain.contains("--addr") && !plain.contains("--data"),
            "{plain}"
        );
        let moved = Addresses {
            grpc: "127.0.0.1:5".parse().unwrap(),
            ..usual
        };
        let moved = welcome(moved, Path::new("/tmp/d"));
        assert_eq!(moved.matches("--addr http://127.0.0.1:5").count(), 3);
        assert_eq!(moved.matches("--data '/tmp/d'").count(), 3);
    }
}

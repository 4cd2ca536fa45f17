//! From what was written to what the server will do: bounds and cross references.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{
    BundleConfig, CallerConfig, Config, ConfigError, DecideConfig, IssuerConfig,
    caller::check_caller_tokens,
    http,
    listen::{Protection, RawTls},
    raw::{RawBundle, RawConfig, RawDecide},
    text::check_name,
};
use crate::model::{BundleName, CallerName, CanonicalRequest, IssuerName};

/// The name of the one bundle that `bundle = "dir"` gives.
const ONLY_BUNDLE: &str = "default";
/// The deepest dereference anyone may allow: each level multiplies what a request loads.
const MAX_LEVEL: u32 = 16;

/// Gives meaning to `raw`; `dir` is the file's directory.
pub(super) fn check(raw: RawConfig, dir: &Path, dev: bool) -> Result<Config, ConfigError> {
    let RawConfig {
        bundle,
        bundles,
        default_bundle,
        data,
        listen,
        tls,
        limits,
        otlp,
        issuer,
        caller,
        audit,
        ledger,
        decide,
        reload,
        bundle_limits,
        authzen,
        forward_auth,
        identity_headers,
        admin,
    } = raw;
    if dev && !(issuer.is_empty() && caller.is_empty()) {
        return invalid(
            "`--dev` trusts its own issuer and every caller on this machine: \
             remove `[[issuer]]` and `[[caller]]`, or start without `--dev`",
        );
    }
    let issuers: Vec<IssuerConfig> = issuer
        .into_iter()
        .map(|raw| raw.read(dir).map_err(ConfigError::Invalid))
        .collect::<Result<_, _>>()?;
    let callers: Vec<CallerConfig> = caller
        .into_iter()
        .map(|raw| raw.read().map_err(ConfigError::Invalid))
        .collect::<Result<_, _>>()?;
    if issuers.is_empty() && !dev {
        return invalid(
            "no issuer is trusted, so no token could be accepted: write an `[[issuer]]` with \
             `name`, `issuer`, `audiences` and `jwks_file`, or start with `--dev`",
        );
    }
    let bundles = read_bundles(bundle, bundles)?;
    let default_bundle = match (default_bundle, bundles.as_slice()) {
        (Some(name), _) => Some(BundleName::new(name)),
        (None, [only]) => Some(only.name.clone()),
        (None, _) => None,
    };
    let tls = tls
        .map(RawTls::read)
        .transpose()
        .map_err(ConfigError::Invalid)?;
    let protection = Protection {
        tls: tls.is_some(),
        callers: !callers.is_empty(),
        dev,
    };
    let config = Config {
        bundles,
        default_bundle,
        data: data.unwrap_or_else(|| PathBuf::from("data")),
        listen: listen.read(&protection).map_err(ConfigError::Invalid)?,
        limits: limits.read().map_err(ConfigError::Invalid)?,
        otlp: otlp.read().map_err(ConfigError::Invalid)?,
        tls,
        issuers,
        callers,
        audit: audit.read().map_err(ConfigError::Invalid)?,
        ledger: ledger.read().map_err(ConfigError::Invalid)?,
        decide: read_decide(&decide)?,
        reload: reload.read().map_err(ConfigError::Invalid)?,
        bundle_limits: bundle_limits.read().map_err(ConfigError::Invalid)?,
        http: http::read(authzen, forward_auth).map_err(ConfigError::Invalid)?,
        identity_headers: identity_headers.read().map_err(ConfigError::Invalid)?,
        admin_bundle: admin.bundle,
        dev,
    };
    check_references(&config)?;
    Ok(config)
}

fn read_bundles(
    one: Option<PathBuf>,
    many: BTreeMap<String, RawBundle>,
) -> Result<Vec<BundleConfig>, ConfigError> {
    if many.is_empty() {
        return Ok(vec![BundleConfig {
            name: BundleName::new(ONLY_BUNDLE),
            path: one.unwrap_or_else(|| PathBuf::from("policies")),
            hosts: Vec::new(),
            issuers: None,
            audiences: None,
            callers: None,
        }]);
    }
    if one.is_some() {
        return invalid(
            "`bundle` (or `--bundle`) serves one directory and `[bundles.NAME]` several: keep one of them",
        );
    }
    many.into_iter().map(read_bundle).collect()
}

fn read_bundle((name, raw): (String, RawBundle)) -> Result<BundleConfig, ConfigError> {
    check_name("bundle", &name).map_err(ConfigError::Invalid)?;
    let at = |key: &str| format!("`bundles.{name}.{key}`");
    let lists = [
        ("issuers", &raw.issuers),
        ("audiences", &raw.audiences),
        ("callers", &raw.callers),
    ];
    for (key, list) in lists {
        if list.as_ref().is_some_and(Vec::is_empty) {
            return invalid(format!(
                "{} is empty, so the bundle could never answer: remove the key to accept all",
                at(key)
            ));
        }
    }
    let canonical = |host: &String| match CanonicalRequest::parse("GET", host, "/") {
        Ok(request) if !request.host().is_empty() => Ok(request.host().to_owned()),
        Ok(_) => invalid(format!("{} has an empty host", at("hosts"))),
        Err(why) => invalid(format!("{}: `{host}`: {why}", at("hosts"))),
    };
    let hosts = raw.hosts.iter().map(canonical).collect::<Result<_, _>>()?;
    Ok(BundleConfig {
        path: raw.path,
        hosts,
        issuers: raw
            .issuers
            .map(|list| list.into_iter().map(IssuerName::new).collect()),
        audiences: raw.audiences,
        callers: raw
            .callers
            .map(|list| list.into_iter().map(CallerName::new).collect()),
        name: BundleName::new(name),
    })
}

fn read_decide(raw: &RawDecide) -> Result<DecideConfig, ConfigError> {
    let default = DecideConfig::default();
    let max_level = raw.max_level.unwrap_or(default.max_level);
    if max_level > MAX_LEVEL {
        return invalid(format!(
            "`decide.max_level` is {max_level}; the most is {MAX_LEVEL}"
        ));
    }
    Ok(DecideConfig {
        strict_errors: raw.strict_errors.unwrap_or(default.strict_errors),
        max_level,
    })
}

fn check_references(config: &Config) -> Result<(), ConfigError> {
    let issuers = unique("issuer", config.issuers.iter().map(|it| it.name.as_str()))?;
    let callers = unique("caller", config.callers.iter().map(|it| it.name.as_str()))?;
    let bundles = unique("bundle", config.bundles.iter().map(|it| it.name.as_str()))?;
    unique("`iss`", config.issuers.iter().map(|it| it.issuer.as_str()))?;
    unique(
        "host",
        config
            .bundles
            .iter()
            .flat_map(|it| &it.hosts)
            .map(String::as_str),
    )?;

    if let Some(name) = &config.default_bundle {
        known("`default_bundle`", "bundle", name.as_str(), &bundles)?;
    }
    for bundle in &config.bundles {
        for name in bundle.issuers.iter().flatten() {
            let key = format!("`bundles.{}.issuers`", bundle.name);
            known(&key, "issuer", name.as_str(), &issuers)?;
        }
        for name in bundle.callers.iter().flatten() {
            let key = format!("`bundles.{}.callers`", bundle.name);
            known(&key, "caller", name.as_str(), &callers)?;
        }
    }
    for caller in &config.callers {
        for name in caller.bundles.iter().flatten() {
            let key = format!("`bundles` of caller `{}`", caller.name);
            known(&key, "bundle", name.as_str(), &bundles)?;
        }
    }
    check_caller_tokens(&config.callers, &config.issuers, &config.bundles)
        .map_err(ConfigError::Invalid)
}

/// Collects `names`, refusing repeated ones.
fn unique<'a>(
    kind: &str,
    names: impl Iterator<Item = &'a str>,
) -> Result<BTreeSet<&'a str>, ConfigError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return invalid(format!(
                "{kind} `{name}` is written twice: each must be its own"
            ));
        }
    }
    Ok(seen)
}

fn known(key: &str, kind: &str, name: &str, names: &BTreeSet<&str>) -> Result<(), ConfigError> {
    if names.contains(name) {
        return Ok(());
    }
    let there_is = match names.iter().copied().collect::<Vec<_>>().join("`, `") {
        none if none.is_empty() => format!("no {kind} is configured"),
        names => format!("there is `{names}`"),
    };
    invalid(format!(
        "{key} names the {kind} `{name}`, which does not exist: {there_is}"
    ))
}

fn invalid<T>(message: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError::Invalid(message.into()))
}

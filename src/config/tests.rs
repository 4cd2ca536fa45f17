use std::{fs, path::Path};

use super::*;

const ISSUERLESS: &str = "no issuer is trusted";

fn load_in(
    dir: &Path,
    toml: &str,
    env: &[(&str, &str)],
    flags: &[(&str, &str)],
    dev: bool,
) -> Result<Config, String> {
    let file = dir.join("doorward.toml");
    fs::write(&file, toml).unwrap();
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    };
    Config::load(Sources {
        file: Some(file),
        environment: pairs(env),
        flags: pairs(flags)
            .into_iter()
            .map(|(key, value)| Setting {
                source: format!("--{key}"),
                key,
                value,
            })
            .collect(),
        dev,
    })
    .map_err(|why| why.to_string())
}

fn dev(toml: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, String> {
    load_in(tempfile::tempdir().unwrap().path(), toml, env, flags, true)
}

#[track_caller]
fn refused(toml: &str, says: &[&str]) {
    let why = dev(toml, &[], &[]).expect_err(toml);
    for part in says {
        assert!(why.contains(part), "`{why}` does not say `{part}`");
    }
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let config = dev("", &[], &[]).unwrap();
    assert_eq!(config.listen.grpc.to_string(), "127.0.0.1:9191");
    assert_eq!(config.listen.probe.to_string(), "127.0.0.1:8282");
    assert_eq!(config.data, Path::new("data"));
    assert_eq!(config.bundles[0].path, Path::new("policies"));
    assert_eq!(
        config.default_bundle.as_ref().map(BundleName::as_str),
        Some("default")
    );
    assert_eq!(config.audit.mode, AuditMode::BestEffort);
    assert!(config.decide.strict_errors);
    assert_eq!(config.decide.max_level, 3);
}

#[test]
fn unknown_keys_are_refused_with_their_place() {
    refused(
        "data = \"d\"\n  colour = 1",
        &["doorward.toml:2:3: ", "`colour`"],
    );
    refused(
        "[listen]\nhttps = \"127.0.0.1:8181\"",
        &[":2:1: ", "`https`", "`grpc`"],
    );
    refused("[audit]\nmodes = 1", &[":2:1: "]);
    refused("[decide]\nstrict = true", &[":2:1: "]);
    refused("[bundles.a]\npath = \"p\"\nhost = \"x\"", &[":3:1: "]);
}

#[test]
fn bad_values_are_refused_with_their_place_and_a_way_out() {
    refused("data = ", &[":1:"]);
    refused(
        "[listen]\ngrpc = \"9191\"",
        &[":2:8: ", "`127.0.0.1:9191`", "`9191`"],
    );
    refused(
        "[audit]\nmode = \"loud\"",
        &[":2:8: ", "`loud`", "`required`"],
    );
    refused(
        "[audit]\nsegment_bytes = 7",
        &["`audit.segment_bytes` is 7"],
    );
    refused(
        "[audit.sink]\nformat = \"ocsf\"",
        &["`audit.sink.format`", "`audit.sink.path`"],
    );
    refused(
        "[audit]\nmode = \"off\"\n[audit.sink]\npath = \"-\"",
        &["`audit.sink`", "`off`"],
    );
    refused(
        "[audit.sink]\notlp = \"https://c.example\"",
        &["`audit.sink.otlp`", "https://c.example"],
    );
    refused(
        "[audit.sink]\npath = \"-\"\nformat = \"xml\"",
        &["`json` or `ocsf`", "`xml`"],
    );
    refused(
        "[audit]\nredact = [\"email\"]",
        &["`audit.redact`", "`email`", "attribute:NAME"],
    );
    refused(
        "[decide]\nmax_level = 17",
        &["`decide.max_level` is 17", "16"],
    );
    refused("[decide]\nmax_level = -1", &[":2:13: "]);
    refused(
        "[listen]\ngrpc = \"0.0.0.0:9191\"",
        &["`--dev`", "`listen.grpc`"],
    );
    refused(
        "[listen]\nprobe = \"0.0.0.0:8282\"",
        &["`--dev`", "`listen.probe`"],
    );
    refused(
        "[listen]\nprobe = \"127.0.0.1:9191\"",
        &["both `127.0.0.1:9191`"],
    );
    refused(
        "[listen]\nhttp = \"0.0.0.0:8181\"",
        &["`--dev`", "`listen.http`"],
    );
    refused(
        "[listen]\nhttp = \"127.0.0.1:8282\"",
        &["`listen.http` and `listen.probe`"],
    );
    refused(
        "[authzen]\nurl = \"http://pdp\"",
        &["`authzen.url`", "https"],
    );
    refused("[forward_auth]\ncookie = \"token\"", &["`__Host-`"]);
    refused("[identity_headers]\nsubject = \"host\"", &["`host`"]);
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    refused(
        "bundle = \"a\"\n[bundles.b]\npath = \"b\"",
        &["keep one of them"],
    );
    refused(
        "default_bundle = \"x\"\n[bundles.a]\npath = \"a\"",
        &["`x`", "there is `a`"],
    );
    refused(
        "[bundles.a]\npath = \"a\"\nissuers = [\"corp\"]",
        &["`corp`", "no issuer is configured"],
    );
    refused(
        "[bundles.a]\npath = \"a\"\ncallers = [\"gw\"]",
        &["`gw`", "no caller is configured"],
    );
    refused(
        "[bundles.a]\npath = \"a\"\naudiences = []",
        &["`bundles.a.audiences` is empty"],
    );
    refused("[bundles.\"a b\"]\npath = \"a\"", &["bundle name `a b`"]);
    refused(
        "[bundles.a]\npath = \"a\"\nhosts = [\"a_b:0\"]",
        &["`a_b:0`"],
    );
    refused(
        "[bundles.a]\npath = \"a\"\nhosts = [\"Api.example.com\"]\n[bundles.b]\npath = \"b\"\nhosts = [\"api.example.com.\"]",
        &["host `api.example.com` is written twice"],
    );
}

#[test]
fn the_only_bundle_is_the_default_and_one_of_several_is_not() {
    let one = dev(
        "[bundles.a]\npath = \"a\"\nhosts = [\"API.example.com:443\"]",
        &[],
        &[],
    )
    .unwrap();
    assert_eq!(
        one.default_bundle.as_ref().map(BundleName::as_str),
        Some("a")
    );
    assert_eq!(one.bundles[0].hosts, ["api.example.com"]);
    let two = dev(
        "[bundles.a]\npath = \"a\"\n[bundles.b]\npath = \"b\"",
        &[],
        &[],
    )
    .unwrap();
    assert_eq!(two.default_bundle, None);
}

#[test]
fn without_an_issuer_only_dev_starts() {
    let dir = tempfile::tempdir().unwrap();
    let why = load_in(dir.path(), "", &[], &[], false).unwrap_err();
    assert!(
        why.contains(ISSUERLESS) && why.contains("[[issuer]]"),
        "{why}"
    );
}

#[test]
fn flags_win_over_environment_over_file() {
    let toml = "data = \"file\"\n[decide]\nmax_level = 1\nstrict_errors = false\n[listen]\ngrpc = \"127.0.0.1:1\"";
    let config = dev(
        toml,
        &[
            ("DOORWARD_DECIDE__MAX_LEVEL", "2"),
            ("DOORWARD_LISTEN__GRPC", "127.0.0.1:2"),
        ],
        &[("listen.grpc", "127.0.0.1:3")],
    )
    .unwrap();
    assert!(config.data.ends_with("file"));
    assert!(!config.decide.strict_errors);
    assert_eq!(config.decide.max_level, 2);
    assert_eq!(config.listen.grpc.to_string(), "127.0.0.1:3");
}

#[test]
fn unknown_and_malformed_variables_are_refused_by_name() {
    for (name, value, says) in [
        ("DOORWARD_AUDIT__MODES", "off", "no setting"),
        ("DOORWARD_ISSUER", "x", "no setting"),
        ("DOORWARD_AUDIT__MODE", "loud", "`required`"),
        ("DOORWARD_AUDIT__KEEP_AGE", "long", "a time"),
        ("DOORWARD_DECIDE__STRICT_ERRORS", "yes", "`true` or `false`"),
        ("DOORWARD_DECIDE__MAX_LEVEL", "many", "a number"),
        ("DOORWARD_LISTEN__PROBE", "here", "an address"),
    ] {
        let why = dev("", &[(name, value)], &[]).unwrap_err();
        assert!(
            why.starts_with(&format!("`{name}`: ")) && why.contains(says),
            "{why}"
        );
    }
}

#[test]
fn variables_that_are_not_settings_are_left_alone() {
    let others = [
        ("PATH", "/bin"),
        ("DOORWARD_LOG", "debug"),
        ("DOORWARD_PORT", "tcp://10.0.0.1:9191"),
        ("DOORWARD_PORT_9191_TCP_ADDR", "10.0.0.1"),
        ("DOORWARD_SERVICE_HOST", "10.0.0.1"),
        ("DOORWARD_SERVICE_PORT_GRPC", "9191"),
    ];
    assert!(dev("", &others, &[]).is_ok());
}

#[test]
fn paths_of_the_file_are_relative_to_it_and_those_of_flags_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let config = load_in(
        dir.path(),
        "bundle = \"rules\"\n[audit]\ndir = \"log/decisions\"",
        &[],
        &[("data", "state")],
        true,
    )
    .unwrap();
    assert_eq!(config.bundles[0].path, dir.path().join("rules"));
    assert_eq!(config.audit.dir, Some(dir.path().join("log/decisions")));
    assert_eq!(config.data, Path::new("state"));
}

#[test]
fn the_printed_configuration_is_one() {
    let faces = "data = \"/d\"\nbundle = \"/b\"\n[listen]\nhttp = \"127.0.0.1:8\"\n[authzen]\nurl = \"https://pdp.example\"\n[forward_auth]\ncookie = \"__Host-t\"";
    let printed = dev(faces, &[], &[]).unwrap().print();
    assert_eq!(dev(&printed, &[], &[]).unwrap().print(), printed);
    let quiet = dev("[identity_headers]\nscopes = \"\"", &[], &[]).unwrap();
    let again = dev(&quiet.print(), &[], &[]).unwrap();
    assert_eq!(again.identity_headers, quiet.identity_headers);
    let sent = "[audit.sink]\npath = \"-\"\nformat = \"ocsf\"\notlp = \"http://127.0.0.1:4317\"";
    let sent = dev(sent, &[], &[]).unwrap();
    assert_eq!(dev(&sent.print(), &[], &[]).unwrap().audit, sent.audit);
    let written = "[bundles.a]\npath = \"/a\"\nhosts = [\"a.example\"]\n[bundles.b]\npath = \"/b\"\n[audit]\nmode = \"off\"\nkeep_age = \"720h\"\nredact = [\"entity:User\", \"path\"]\n[ledger]\nkeep_age = \"720h\"\n[decide]\nmax_level = 2";
    let printed = dev(written, &[], &[]).unwrap().print();
    let again = dev(&printed, &[], &[]).unwrap();
    assert_eq!(again.bundles.len(), 2);
    assert_eq!(again.audit, dev(written, &[], &[]).unwrap().audit);
    assert_eq!(again.audit.mode, AuditMode::Off);
    let month = std::time::Duration::from_secs(720 * 3600);
    assert_eq!(again.ledger.keep_age, Some(month));
    assert_eq!(again.decide.max_level, 2);
    assert!(again.print().contains("max_level = 2"), "{printed}");
}

#[test]
fn a_printed_configuration_masks_secrets_and_shows_the_rest() {
    let secret = "ab".repeat(32);
    let toml = format!(
        "bundle = \"/b\"\ndata = \"/d\"\n[[issuer]]\nname = \"corp\"\nissuer = \"https://id.example/\"\naudiences = [\"api\"]\n\
         jwks_file = \"keys.json\"\n[[caller]]\nname = \"gw\"\ntoken_sha256 = \"{secret}\""
    );
    let dir = tempfile::tempdir().unwrap();
    let printed = load_in(dir.path(), &toml, &[], &[], false).unwrap().print();
    assert!(!printed.contains(&secret), "{printed}");
    let again = printed.replace("***", &secret);
    let again = load_in(dir.path(), &again, &[], &[], false).unwrap();
    assert_eq!(again.print(), printed);
    assert_eq!(again.issuers[0].audiences, ["api"]);
}

#[test]
fn names_and_references_of_issuers_and_callers_are_checked() {
    let issuer = |name: &str, iss: &str| {
        format!(
            "[[issuer]]\nname = \"{name}\"\nissuer = \"{iss}\"\naudiences = [\"a\"]\njwks_file = \"k\"\n"
        )
    };
    let caller = |rest: &str| {
        format!(
            "[[caller]]\nname = \"gw\"\ntoken_sha256 = \"{}\"\n{rest}\n",
            "ab".repeat(32)
        )
    };
    let corp = issuer("corp", "https://a/");
    for (toml, says) in [
        (
            format!("{corp}{}", issuer("corp", "https://b/")),
            "issuer `corp` is written twice",
        ),
        (
            format!("{corp}{}", issuer("other", "https://a/")),
            "`iss` `https://a/` is written twice",
        ),
        (
            format!("{corp}{}{}", caller(""), caller("")),
            "caller `gw` is written twice",
        ),
        (
            format!("{corp}{}", caller("bundles = [\"x\"]")),
            "`bundles` of caller `gw`",
        ),
        (format!("{corp}typo = 1"), ":6:1: "),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let why = load_in(dir.path(), &toml, &[], &[], false).unwrap_err();
        assert!(why.contains(says), "{why}");
    }
    refused(&corp, &["`--dev`", "`[[issuer]]`"]);
    refused(&caller(""), &["`--dev`", "`[[caller]]`"]);
}

/// Two issuers with fetched keys, and two callers by proofs that are not secret.
const TRUST: &str = r#"
[[issuer]]
name = "corp"
issuer = "https://id.example.com/"
audiences = ["orders-api"]
ca_file = "/etc/ca.pem"
allow_addresses = ["10.1.0.0/16"]
allow_origins = ["https://keys.example.com"]

[[issuer]]
name = "local"
issuer = "http://127.0.0.1:9000/"
audiences = ["orders-api"]
jwks_url = "http://127.0.0.1:9000/keys"
allow_http_loopback = true

[[caller]]
name = "billing"
issuer = "corp"
caller_audience = "doorward"
scope = "ask"

[[caller]]
name = "gw"
mtls_san = "spiffe://corp/gw"
cidr = "10.0.0.0/8"
"#;

fn load(toml: &str) -> Result<Config, String> {
    load_in(tempfile::tempdir().unwrap().path(), toml, &[], &[], false)
}

#[test]
fn printed_trust_reads_as_what_was_written() {
    let config = load(TRUST).unwrap();
    let printed = config.print();
    let again = load(&printed).unwrap().print();
    let trust = |text: &str| text.split_once("[[issuer]]").unwrap().1.to_owned();
    assert_eq!(trust(&again), trust(&printed));
    for line in [
        "allow_addresses = [\"10.1.0.0/16\"]",
        "allow_origins = [\"https://keys.example.com\"]",
        "jwks_url = \"http://127.0.0.1:9000/keys\"",
        "caller_audience = \"doorward\"",
        "cidr = \"10.0.0.0/8\"",
    ] {
        assert!(printed.contains(line), "{line} in {printed}");
    }
}

#[test]
fn tokens_of_callers_and_of_subjects_never_share_an_audience() {
    let why = load(&TRUST.replace("\"doorward\"", "\"orders-api\"")).unwrap_err();
    assert!(why.contains("caller `billing`: `caller_audience`"), "{why}");
    let bundle = "[bundles.a]\npath = \"a\"\naudiences = [\"doorward\"]\n";
    let why = load(&format!("{bundle}{TRUST}")).unwrap_err();
    assert!(why.contains("caller `billing`: `caller_audience`"), "{why}");
    let why = load(&TRUST.replace("issuer = \"corp\"", "issuer = \"nobody\"")).unwrap_err();
    assert!(why.contains("no issuer `nobody`"), "{why}");
}

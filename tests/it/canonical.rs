//! The canonical form of a request, for any text: stable, and decided alike.

use doorward::{
    bundle::{BundleFiles, CompileOptions, Matched, Snapshot},
    model::CanonicalRequest,
};
use proptest::{collection::vec, prelude::*, sample::select};

/// Pieces that paths are made of, and attacks on them too.
const PIECES: &[&str] = &[
    "/", "/", "//", "a", "b", "%61", "%62", "%2e", "%2E", ".", "..", "%2f", "%5c", "\\", "%",
    "%zz", ";", "x=1", "#", "%00", "%c3%a9", "%C3%A9", "%ff", "~", "%7e", " ", "\u{e9}", "admin",
    "Admin", "%2561", "{a}", "*", ":", "@",
];
const HOSTS: &[&str] = &[
    "site",
    "Site.Example",
    ".",
    ":443",
    ":80",
    ":8443",
    ":0",
    "a",
    "-",
    "[::1]",
    "@",
    ",",
    " ",
    "",
];

fn path() -> impl Strategy<Value = String> {
    vec(select(PIECES), 0..8).prop_map(|pieces| format!("/{}", pieces.concat()))
}

fn host() -> impl Strategy<Value = String> {
    vec(select(HOSTS), 0..4).prop_map(|pieces| pieces.concat())
}

fn rules() -> Snapshot {
    let files = BundleFiles::new([
        (
            "schema.cedarschema",
            "entity User; entity Thing; action Use, Manage appliesTo { principal: User, resource: Thing };",
        ),
        ("all.cedar", "permit (principal, action, resource);"),
        (
            "bundle.toml",
            "[[principal]]\ntype = \"User\"\nid = \"{sub}\"\n\
             [[route]]\npath = \"/admin\"\naction = \"Manage\"\nresource = { type = \"Thing\", id = \"all\" }\n\
             [[route]]\npath = \"/{thing}\"\naction = \"Use\"\nresource = { type = \"Thing\", id = \"{thing}\" }\n\
             [[route]]\npath = \"/a/{*rest}\"\naction = \"Use\"\nresource = { type = \"Thing\", id = \"rest:{rest}\" }\n",
        ),
    ]);
    Snapshot::compile(&files, &CompileOptions::default()).unwrap()
}

/// What a request comes to: action and resource.
fn meaning(rules: &Snapshot, request: &CanonicalRequest) -> Option<(String, String)> {
    let found = rules.routes.find(request).unwrap();
    found.map(
        |Matched {
             route, resource, ..
         }| (route.action.clone(), resource.to_string()),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_canonical_form_is_its_own(host in host(), path in path()) {
        if let Ok(once) = CanonicalRequest::parse("GET", &host, &path) {
            let twice = CanonicalRequest::parse("GET", once.host(), once.path()).unwrap();
            prop_assert_eq!(twice.host(), once.host());
            prop_assert_eq!(twice.path(), once.path());
            prop_assert!(once.path().is_ascii() && !once.path().contains("//"));
            prop_assert!(once.path().split('/').all(|segment| segment != "." && segment != ".."));
        }
    }

    #[test]
    fn requests_of_one_form_are_one_question(path in path(), mask in any::<u64>()) {
        let rules = rules_once();
        let parse = |path: &str| CanonicalRequest::parse("GET", "", path);
        if let Ok(one) = parse(&path) {
            let other = parse(&reencoded(one.path(), mask)).unwrap();
            prop_assert_eq!(one.path(), other.path());
            prop_assert_eq!(meaning(rules, &one), meaning(rules, &other));
        }
    }

    #[test]
    fn requests_of_two_forms_are_two_questions(one in path(), other in path()) {
        let rules = rules_once();
        let parse = |path: &str| CanonicalRequest::parse("GET", "", path);
        if let (Ok(one), Ok(other)) = (parse(&one), parse(&other))
            && let (Some(this), Some(that)) = (meaning(rules, &one), meaning(rules, &other))
        {
            prop_assert_eq!(one.path() == other.path(), this == that);
        }
    }
}

/// The same path in other letters: some of its unreserved characters percent-encoded (RFC 3986 §2.3).
fn reencoded(path: &str, mask: u64) -> String {
    let mut bits = (0..64).cycle().map(|bit| mask >> bit & 1 == 1);
    let mut out = String::new();
    let mut plain_from = 0;
    for (at, c) in path.char_indices() {
        // What is encoded already stays.
        if c == '%' {
            plain_from = at + 3;
        }
        let unreserved = at >= plain_from && (c.is_ascii_alphanumeric() || c == '~');
        match unreserved && bits.next().unwrap() {
            true => out.push_str(&format!("%{:02x}", u32::from(c))),
            false => out.push(c),
        }
    }
    out
}

fn rules_once() -> &'static Snapshot {
    static RULES: std::sync::OnceLock<Snapshot> = std::sync::OnceLock::new();
    RULES.get_or_init(rules)
}

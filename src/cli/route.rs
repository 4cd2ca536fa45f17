//! `doorward route`.

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::{
    Exit, Failure, output,
    output::Style,
    told::{Form, Loaded},
};
use crate::{
    bundle::{Matched, Nearby, Snapshot, Source, WhyNot},
    model::CanonicalRequest,
};

/// Say which action and resource an HTTP request comes to, and why
///
/// Reads the bundle's `[[route]]` tables; no server is asked. Exit codes: 0 a route matches,
/// 1 none does, or the request has no canonical form, 3 the bundle is not valid.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The request's method
    #[arg(value_name = "METHOD")]
    method: String,
    /// Its URL, or its path alone where the host does not matter
    #[arg(value_name = "URL")]
    url: String,
    /// The bundle's directory
    #[arg(long, value_name = "DIR", default_value = "policies")]
    bundle: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let style = Style::of_stdout();
    let (host, target) = split(&args.url)?;
    let loaded = Loaded::read(&args.bundle)?;
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
    let (text, exit) = match Found::of(snapshot, &args.method, host, target) {
        Ok(found) => {
            let exit = match found.matched {
                Some(_) => Exit::Ok,
                None => Exit::Failed,
            };
            (found.told(args.json, style), exit)
        }
        Err(why) => (refused(&why, args.json, style), Exit::Failed),
    };
    output::print(&text)?;
    Ok(exit)
}

/// Host and request target of a URL.
fn split(url: &str) -> Result<(&str, &str), Failure> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let parts = match rest {
        None if url.starts_with('/') => Some(("", url)),
        None => None,
        Some(rest) => match rest.find(['/', '?', '#']) {
            None => Some((rest, "/")),
            Some(at) => rest.split_at_checked(at),
        },
    };
    parts.ok_or_else(|| {
        Failure::usage(format!(
            "`{}` is no URL: give `https://host/path`, or `/path` alone",
            output::shown(url)
        ))
    })
}

/// What a request comes to.
struct Found<'s> {
    snapshot: &'s Snapshot,
    request: CanonicalRequest,
    matched: Option<Matched<'s>>,
    nearby: Vec<Nearby<'s>>,
}

impl<'s> Found<'s> {
    fn of(snapshot: &'s Snapshot, method: &str, host: &str, target: &str) -> Result<Self, String> {
        let request = CanonicalRequest::parse(method, host, target).map_err(|it| it.to_string())?;
        let matched = snapshot
            .routes
            .find(&request)
            .map_err(|it| it.to_string())?;
        let nearby = snapshot
            .routes
            .nearby(&request, matched.as_ref().map(|it| it.route));
        Ok(Self {
            snapshot,
            request,
            matched,
            nearby,
        })
    }

    /// Attributes and parents that the URL states, each with who owns it.
    fn facts(&self, matched: &Matched<'_>) -> Vec<(String, Source)> {
        let Snapshot {
            schema, sources, ..
        } = self.snapshot;
        let Some(resource) = schema.type_name(&matched.resource.type_name) else {
            return Vec::new();
        };
        let attributes = matched.attributes.iter().map(|(name, value)| {
            let owner = sources.of_attribute(resource, name);
            (format!("{name} = {value:?}"), owner)
        });
        let parents = matched.parents.iter().filter_map(|parent| {
            let parent_type = schema.type_name(&parent.type_name)?;
            let owner = sources.of_parent(resource, parent_type);
            Some((format!("in {parent}"), owner))
        });
        attributes.chain(parents).collect()
    }

    fn told(&self, as_json: bool, style: Style) -> String {
        match as_json {
            true => format!("{}\n", self.json()),
            false => self.text(style),
        }
    }

    fn text(&self, style: Style) -> String {
        let request = &self.request;
        let asked = format!("{} {}{}", request.method(), request.host(), request.path());
        let mut out = match &self.matched {
            None => format!(
                "{}  no route of the bundle matches: gateways get a refusal\n",
                style.bad("none")
            ),
            Some(matched) => {
                let route = matched.route;
                let mut out = format!(
                    "{}  {}  {}\n",
                    style.good(&route.action),
                    output::shown(&matched.resource.to_string()),
                    style.dim(&route.place.to_string())
                );
                out.push_str(&format!("  {:<9}{route}\n", "route"));
                for (fact, owner) in self.facts(matched) {
                    let role = match owner {
                        Source::Request => "stated by the URL".to_owned(),
                        owner => format!("checked: a fact of the {owner}"),
                    };
                    out.push_str(&format!(
                        "  {:<9}{}  {role}\n",
                        "fact",
                        output::shown(&fact)
                    ));
                }
                if route.anonymous {
                    out.push_str(&format!("  {:<9}also without a token\n", "who"));
                }
                out
            }
        };
        out.push_str(&format!("  {:<9}{}\n", "request", output::shown(&asked)));
        for Nearby { route, why } in &self.nearby {
            out.push_str(&format!(
                "  {:<9}{route}  {}  {}\n",
                "not",
                because(*why),
                style.dim(&route.place.to_string())
            ));
        }
        out
    }

    fn json(&self) -> Json {
        let nearby = self.nearby.iter().map(|Nearby { route, why }| {
            json!({
                "route": route.to_string(), "why_not": because(*why),
                "place": route.place.to_string(),
            })
        });
        let matched = self.matched.as_ref().map(|matched| {
            let facts = self.facts(matched).into_iter();
            json!({
                "route": matched.route.to_string(),
                "place": matched.route.place.to_string(),
                "action": matched.route.action,
                "resource": matched.resource.to_string(),
                "facts": facts
                    .map(|(fact, owner)| json!({ "fact": fact, "owner": owner.to_string() }))
                    .collect::<Vec<_>>(),
                "anonymous": matched.route.anonymous,
            })
        });
        json!({
            "method": self.request.method(),
            "host": self.request.host(),
            "path": self.request.path(),
            "matched": matched,
            "nearby": nearby.collect::<Vec<_>>(),
        })
    }
}

fn refused(why: &str, as_json: bool, style: Style) -> String {
    match as_json {
        true => format!("{}\n", json!({ "matched": null, "refused": why })),
        false => format!(
            "{}  {}: whoever asks gets a refusal\n",
            style.bad("refused"),
            output::shown(why)
        ),
    }
}

fn because(why: WhyNot) -> &'static str {
    match why {
        WhyNot::Host => "is for another host",
        WhyNot::Method => "is for other methods",
        WhyNot::LessSpecific => "is less specific",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{BundleFiles, CompileOptions};

    const FILES: [(&str, &str); 3] = [
        (
            "schema.cedarschema",
            "entity User; entity Tenant; entity Order in [Tenant] = { tenant?: String };
             action Read, Export appliesTo { principal: User, resource: Order };",
        ),
        ("all.cedar", "permit (principal, action, resource);"),
        (
            "bundle.toml",
            "[[principal]]\ntype = \"User\"\nid = \"{sub}\"\n\
             [[route]]\nmethod = \"GET\"\npath = \"/orders/{order}\"\naction = \"Read\"\n\
             resource = { type = \"Order\", id = \"{order}\", attributes = { tenant = \"t-{order}\" } }\n\
             [[route]]\npath = \"/orders/export\"\naction = \"Export\"\nanonymous = true\n\
             resource = { type = \"Order\", id = \"all\" }\n\
             [[route]]\nhost = \"b.example\"\nmethod = \"PUT\"\npath = \"/orders/{o}\"\naction = \"Read\"\n\
             resource = { type = \"Order\", id = \"{o}\" }\n",
        ),
    ];

    #[track_caller]
    fn check(method: &str, url: &str, says: &[&str]) {
        let snapshot = Snapshot::compile(&BundleFiles::new(FILES), &CompileOptions::default());
        let snapshot = snapshot.unwrap();
        let (host, target) = split(url).unwrap();
        let text = match Found::of(&snapshot, method, host, target) {
            Ok(found) => {
                assert!(found.told(true, Style::plain()).starts_with('{'));
                found.told(false, Style::plain())
            }
            Err(why) => refused(&why, false, Style::plain()),
        };
        for part in says {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
    }

    #[test]
    fn a_route_is_told_with_what_it_states_and_what_was_near() {
        check(
            "GET",
            "https://a.example/orders/o%201?x=1",
            &[
                "Action::\"Read\"  Order::\"o 1\"",
                "bundle.toml:4",
                "route    GET /orders/{order}",
                "fact     tenant = \"t-o 1\"  stated by the URL",
                "request  GET a.example/orders/o%201",
                "not      PUT b.example/orders/{o}  is for another host",
            ],
        );
        check(
            "GET",
            "/orders/export",
            &[
                "Action::\"Export\"  Order::\"all\"",
                "* /orders/export",
                "also without a token",
                "not      GET /orders/{order}  is less specific",
            ],
        );
        check(
            "PATCH",
            "/orders/o-1",
            &["none", "GET /orders/{order}  is for other methods"],
        );
        check("GET", "/orders//o", &["refused", "empty segment"]);
        check("get", "/orders/o", &["refused", "upper-case"]);
    }

    #[test]
    fn urls_are_split_without_being_repaired() {
        for (url, expected) in [
            ("/a?b", Some(("", "/a?b"))),
            ("https://h:8443/a", Some(("h:8443", "/a"))),
            ("http://h", Some(("h", "/"))),
            ("https://h?x", Some(("h", "?x"))),
            ("h/a", None),
            ("", None),
        ] {
            assert_eq!(split(url).ok(), expected, "{url}");
        }
    }
}

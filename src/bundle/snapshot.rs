//! Files → one immutable, validated set of rules.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::{
    BundleFiles, Cases, EntityStore, LookedAt, Mapping, Routes, Sources, cases, entities, links,
    raw::{RawBundle, RawEntity, RawPrincipal, RawRoute},
};
use crate::{
    model::{Digest, EntityFacts, IssuerName, SignedDuration},
    policy::{
        Fault, ParsedPolicies, Place, PolicySet, Schema, TextLimits, check_policies, check_schema,
        core::TypeName, suggestion,
    },
};

const BUNDLE_FILE: &str = "bundle.toml";
const SCHEMA_FILE: &str = "schema.cedarschema";

/// What the server's configuration demands of a bundle.
#[derive(Clone, Debug)]
pub struct CompileOptions {
    /// A forbid that cannot be evaluated denies; a bundle may turn this on, never off.
    pub strict_errors: bool,
    /// The greatest level (RFC 76) its policies may need; a bundle may lower it.
    pub max_level: u32,
    /// It must pass its own cases to be published; a bundle may turn this on, never off.
    pub gate: bool,
    /// The issuers trusted for it; `None` when that is not known, as in tests of a bundle alone.
    pub issuers: Option<Vec<IssuerName>>,
    /// How many policies one request may meet before that deserves a warning.
    pub candidates: usize,
    /// Bounds on its text.
    pub text: TextLimits,
}

impl Default for CompileOptions {
    fn default() -> Self {
        Self {
            strict_errors: true,
            max_level: 3,
            gate: true,
            issuers: None,
            candidates: 500,
            text: TextLimits::default(),
        }
    }
}

/// A bundle, compiled.
#[derive(Debug)]
pub struct Snapshot {
    /// The name that `bundle.toml` gives it, for people.
    pub name: Option<String>,
    /// The name of its content.
    pub digest: Digest,
    /// The names of its files' contents, without `tests/`.
    pub manifest: BTreeMap<Arc<str>, Digest>,
    /// The schema, with Doorward's own fragment.
    pub schema: Schema,
    /// The policies.
    pub policies: PolicySet,
    /// Which claims make which principal.
    pub mapping: Mapping,
    /// Who owns which fact.
    pub sources: Sources,
    /// Which HTTP request is which question.
    pub routes: Routes,
    /// Which facts of stored entities these look at.
    pub looked_at: LookedAt,
    /// Its own entities.
    pub entities: EntityStore,
    /// What it must answer.
    pub cases: Vec<Cases>,
    /// Whether a forbid that cannot be evaluated denies.
    pub strict_errors: bool,
    /// Whether it must pass its cases to be published.
    pub gate: bool,
    /// How long its answers may be reused.
    pub cacheable_for: SignedDuration,
    /// How many policies one request may meet before that deserves a warning.
    pub candidates: usize,
}

impl Snapshot {
    /// Compiles a bundle: all of it, or none.
    ///
    /// # Errors
    /// Every fault that can be told, in the order of the files.
    pub fn compile(files: &BundleFiles, options: &CompileOptions) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let guarded = Guarded::pass(files, options.text, &mut faults);
        let raw = collect(&mut faults, bundle_toml(files));
        let cases = cases::compile(files, &mut faults);
        let mut policies = ParsedPolicies::parse(guarded.policies, options.text, &mut faults);
        let whole = faults.is_empty();
        let namespace = raw
            .as_ref()
            .map(|raw| raw.namespace.clone())
            .unwrap_or_default();
        let schema_file = Arc::from(SCHEMA_FILE);
        let schema = guarded
            .schema
            .and_then(|text| collect(&mut faults, Schema::parse(&schema_file, text, &namespace)));
        let (Some(raw), Some(schema)) = (raw, schema) else {
            return Err(sorted(faults));
        };
        let links = match files.get(links::FILE) {
            Some(text) => links::parse(text, &schema, &mut faults),
            None => Vec::new(),
        };
        // What a broken file would have had is not known, so what seems amiss may not be.
        let mut link_faults = Vec::new();
        policies.link(&links, &mut link_faults);
        if whole {
            faults.extend(link_faults);
        }
        let max_level = raw
            .max_level
            .map_or(options.max_level, |own| own.min(options.max_level));
        let policies = collect(
            &mut faults,
            policies.validate(|file| files.get(file), &schema, max_level),
        );
        if faults.is_empty()
            && policies
                .as_ref()
                .is_some_and(|set| set.policies().is_empty())
        {
            let fault = Fault::general("no_policies", "the bundle has no policies");
            faults.push(fault.help("write at least one `permit` in a `.cedar` file"));
        }
        let facts = match files.get("entities.json") {
            Some(text) => collect(&mut faults, entities::parse(text)).unwrap_or_default(),
            None => Vec::new(),
        };
        let toml = TomlPlaces::new(files);
        let cacheable_for = match raw
            .cacheable_for
            .as_ref()
            .map(|text| (text, text.get_ref().parse::<SignedDuration>()))
        {
            None => SignedDuration::ZERO,
            Some((_, Ok(duration))) if !duration.is_negative() => duration,
            Some((text, _)) => {
                let message = "`cacheable_for` is not a duration such as `30s`";
                faults.push(Fault::at("bundle", toml.place(text.span().start), message));
                SignedDuration::ZERO
            }
        };
        let parts = Parts::compile(
            raw.principal,
            raw.entity,
            raw.route,
            &facts,
            &schema,
            options,
            &toml,
            &mut faults,
        );
        match (policies, parts) {
            (Some(policies), Some(parts)) if faults.is_empty() => Ok(Self {
                name: raw.name,
                digest: files.digest(),
                manifest: files.manifest(),
                looked_at: LookedAt::compile(&schema, &policies, &parts.routes, &parts.sources),
                schema,
                policies,
                mapping: parts.mapping,
                sources: parts.sources,
                routes: parts.routes,
                entities: parts.entities,
                cases,
                strict_errors: options.strict_errors || raw.strict_errors.unwrap_or(false),
                gate: options.gate || raw.gate.unwrap_or(false),
                cacheable_for,
                candidates: options.candidates,
            }),
            _ => Err(sorted(faults)),
        }
    }
}

/// What `bundle.toml` and `entities.json` come to.
struct Parts {
    mapping: Mapping,
    sources: Sources,
    routes: Routes,
    entities: EntityStore,
}

impl Parts {
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one file, compiled in one place"
    )]
    fn compile(
        principals: Vec<toml::Spanned<RawPrincipal>>,
        entity_tables: Vec<toml::Spanned<RawEntity>>,
        routes: Vec<toml::Spanned<RawRoute>>,
        facts: &[EntityFacts],
        schema: &Schema,
        options: &CompileOptions,
        toml: &TomlPlaces<'_>,
        faults: &mut Vec<Fault>,
    ) -> Option<Self> {
        let (tables, places) = toml.tables(principals);
        let at = |rule, places: &[Place], n: usize, message: String| match places.get(n) {
            Some(place) => Fault::at(rule, place.clone(), message),
            None => Fault::general(rule, message),
        };
        let mapping = Mapping::compile(tables, &places, schema, options.issuers.as_deref())
            .map_err(|found| {
                faults.extend(
                    found
                        .into_iter()
                        .map(|(n, message)| at("principal", &places, n, message)),
                )
            })
            .ok();
        let (tables, places) = toml.tables(routes);
        let routes = Routes::compile(tables, &places, schema)
            .map_err(|found| {
                faults.extend(
                    found
                        .into_iter()
                        .map(|(n, message)| at("route", &places, n, message)),
                )
            })
            .ok();
        let mapping = mapping?;
        let stored: HashSet<TypeName> = facts
            .iter()
            .filter_map(|entity| schema.type_name(&entity.uid.type_name).cloned())
            .collect();
        let principals = mapping.principal_types().cloned().collect();
        let (tables, places) = toml.tables(entity_tables);
        let sources = Sources::compile(tables, schema, &principals, &stored)
            .map_err(|found| {
                let fault = |(n, message): (Option<usize>, String)| {
                    at("entity_source", &places, n.unwrap_or(usize::MAX), message)
                };
                faults.extend(found.into_iter().map(fault));
            })
            .ok()?;
        faults.extend(
            mapping
                .source_faults(&sources)
                .into_iter()
                .map(|message| Fault::in_file("principal", BUNDLE_FILE, message)),
        );
        let entities = collect(faults, EntityStore::compile(facts, schema, &sources))?;
        Some(Self {
            mapping,
            sources,
            routes: routes?,
            entities,
        })
    }
}

/// The texts that the parsers may see.
struct Guarded<'f> {
    schema: Option<&'f str>,
    policies: Vec<(&'f Arc<str>, &'f str)>,
}

impl<'f> Guarded<'f> {
    fn pass(files: &'f BundleFiles, limits: TextLimits, faults: &mut Vec<Fault>) -> Self {
        let schema_text = files.get(SCHEMA_FILE).unwrap_or_default();
        let schema = match check_schema(&Arc::from(SCHEMA_FILE), schema_text, limits) {
            Ok(()) => Some(schema_text),
            Err(fault) => {
                faults.push(fault);
                None
            }
        };
        let (mut policies, mut count) = (Vec::new(), 0_usize);
        for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".cedar")) {
            match check_policies(path, text, limits) {
                Ok(statements) => {
                    policies.push((path, text));
                    count = count.saturating_add(statements);
                }
                Err(fault) => faults.push(fault),
            }
        }
        if count > limits.policies {
            let message = format!("has {count} policies, more than {}", limits.policies);
            faults.push(Fault::general("too_many_policies", message));
            policies.clear();
        }
        Self { schema, policies }
    }
}

fn bundle_toml(files: &BundleFiles) -> Result<RawBundle, Vec<Fault>> {
    let Some(text) = files.get(BUNDLE_FILE) else {
        return Ok(RawBundle::default());
    };
    toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let place = Place::at(&Arc::from(BUNDLE_FILE), text, offset);
        let at_fault = error.span().and_then(|span| text.get(span));
        let fault = Fault::at("bundle", place, error.message())
            .over(at_fault.map_or(0, |text| text.chars().count()));
        vec![match suggestion(error.message()) {
            Some(help) => fault.help(help),
            None => fault,
        }]
    })
}

/// Where the tables of `bundle.toml` stand.
struct TomlPlaces<'a> {
    file: Arc<str>,
    text: &'a str,
}

impl<'a> TomlPlaces<'a> {
    fn new(files: &'a BundleFiles) -> Self {
        Self {
            file: Arc::from(BUNDLE_FILE),
            text: files.get(BUNDLE_FILE).unwrap_or_default(),
        }
    }

    fn place(&self, offset: usize) -> Place {
        Place::at(&self.file, self.text, offset)
    }

    fn tables<T>(&self, tables: Vec<toml::Spanned<T>>) -> (Vec<T>, Vec<Place>) {
        let placed = tables.into_iter().map(|table| {
            let place = self.place(table.span().start);
            (table.into_inner(), place)
        });
        placed.unzip()
    }
}

fn collect<T>(faults: &mut Vec<Fault>, result: Result<T, Vec<Fault>>) -> Option<T> {
    result.map_err(|found| faults.extend(found)).ok()
}

fn sorted(mut faults: Vec<Fault>) -> Vec<Fault> {
    faults.sort_by(|a, b| a.place.cmp(&b.place));
    faults
}

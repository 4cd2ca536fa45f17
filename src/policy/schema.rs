//! A bundle's schema with Doorward's own fragment, looked up by the names that requests use.

use std::sync::{Arc, LazyLock};

use super::{
    Map, Set,
    core::{self, Entity, TypeName, Uid},
    fault::{Fault, Lines},
    typing::{RecordType, Type, TypeFault},
};
use cedar_policy::SchemaFragment;

/// The schema fragment that Doorward adds to every bundle.
pub const PRELUDE: &str = include_str!("prelude.cedarschema");

/// The namespace of [`PRELUDE`], which bundles may not use.
const RESERVED_NAMESPACE: &str = "Doorward";

/// A bundle's schema.
#[derive(Debug)]
pub struct Schema {
    cedar: cedar_policy::Schema,
    entity_types: Map<TypeName, Arc<EntityTypeDef>>,
    actions: Vec<ActionDef>,
    /// By full name and, within the bundle's namespace, by bare name.
    type_names: Map<String, Arc<EntityTypeDef>>,
    action_names: Map<String, usize>,
}

/// An entity type.
#[derive(Debug)]
pub struct EntityTypeDef {
    /// Its full name.
    pub name: TypeName,
    /// Its attributes.
    pub attributes: RecordType,
    /// The types that its entities may be in, directly or not.
    pub ancestors: Set<TypeName>,
    /// The only ids it has, when it is an enumeration.
    pub ids: Option<Set<String>>,
}

/// An action.
#[derive(Debug)]
pub struct ActionDef {
    /// Its name.
    pub uid: Uid,
    /// Itself, as an entity in its groups.
    pub entity: Arc<Entity>,
    /// The principal types it applies to.
    pub principals: Set<TypeName>,
    /// The resource types it applies to.
    pub resources: Set<TypeName>,
    /// Its context.
    pub context: RecordType,
}

/// A context member that only Doorward supplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standard {
    /// `token: Doorward::Token`
    Token,
    /// `actor: Doorward::Actor`
    Actor,
    /// `caller: Doorward::Caller`
    Caller,
    /// `now: datetime`
    Now,
    /// `http: Doorward::Http`
    Http,
    /// `peer: Doorward::Peer`
    Peer,
    /// `headers`: a record of the action's own.
    Headers,
    /// `query`: a record of the action's own.
    Query,
    /// `action`: a record of the action's own (`AuthZEN` action properties).
    Action,
}

impl Standard {
    /// The standard member of that name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "token" => Self::Token,
            "actor" => Self::Actor,
            "caller" => Self::Caller,
            "now" => Self::Now,
            "http" => Self::Http,
            "peer" => Self::Peer,
            "headers" => Self::Headers,
            "query" => Self::Query,
            "action" => Self::Action,
            _ => return None,
        })
    }
}

impl Schema {
    /// Reads a schema in Cedar's format; bare names in requests are within `namespace`.
    ///
    /// # Errors
    /// Every fault found.
    pub fn parse(file: &Arc<str>, text: &str, namespace: &str) -> Result<Self, Vec<Fault>> {
        let lines = Lines::new(file, text);
        let placed =
            |error: &dyn miette::Diagnostic| Fault::from_diagnostic("schema", &lines, 0, error);
        let whole = |message: String| vec![Fault::in_file("schema", file, message)];
        let (own, _) =
            SchemaFragment::from_cedarschema_str(text).map_err(|error| placed(&error))?;
        if own
            .namespaces()
            .any(|name| name.is_some_and(|name| is_reserved(&name.to_string())))
        {
            let message = format!("namespace `{RESERVED_NAMESPACE}` is Doorward's own");
            return Err(whole(message));
        }
        let (prelude, _) = SchemaFragment::from_cedarschema_str(PRELUDE)
            .map_err(|error| whole(format!("prelude: {error}")))?;
        let cedar = cedar_policy::Schema::from_schema_fragments([own, prelude])
            .map_err(|error| placed(&error))?;
        Self::compile(cedar, namespace)
            .map_err(whole)
            .and_then(|schema| {
                let faults = schema.check_standard_context(file);
                if faults.is_empty() {
                    Ok(schema)
                } else {
                    Err(faults)
                }
            })
    }

    fn compile(cedar: cedar_policy::Schema, namespace: &str) -> Result<Self, String> {
        let bare = |full: &str| match full.rsplit_once("::") {
            Some((prefix, name)) if prefix == namespace => Some(name.to_owned()),
            _ => None,
        };
        let mut entity_types = Map::default();
        let mut type_names = Map::default();
        for def in core::entity_types(&cedar)? {
            let full = def.name.to_string();
            let def = Arc::new(EntityTypeDef {
                name: def.name,
                attributes: def.attributes,
                ancestors: def.ancestors,
                ids: def.ids,
            });
            type_names.extend(bare(&full).map(|name| (name, Arc::clone(&def))));
            type_names.insert(full, Arc::clone(&def));
            entity_types.insert(def.name.clone(), def);
        }
        let mut entities = core::action_entities(&cedar)?;
        let mut actions = Vec::new();
        let mut action_names = Map::default();
        for def in core::actions(&cedar)? {
            let n = actions.len();
            let id: &str = def.uid.eid().as_ref();
            let type_name = def.uid.entity_type().to_string();
            action_names.insert(def.uid.to_string(), n);
            // `Ns::Action` is in the namespace `Ns`; `Action` in none.
            if bare(&type_name).is_some() || (namespace.is_empty() && type_name == "Action") {
                action_names.insert(id.to_owned(), n);
            }
            let entity = entities.remove(&def.uid);
            actions.push(ActionDef {
                entity: entity.ok_or("an action is no entity")?,
                uid: def.uid,
                principals: def.principals,
                resources: def.resources,
                context: def.context,
            });
        }
        Ok(Self {
            cedar,
            entity_types,
            actions,
            type_names,
            action_names,
        })
    }

    /// A standard member must have the standard's type, so that no bundle reads one as another thing.
    fn check_standard_context(&self, file: &str) -> Vec<Fault> {
        let mut faults = Vec::new();
        for action in &self.actions {
            for (name, member) in &action.context.members {
                let ok = match Standard::named(name) {
                    None => true,
                    Some(Standard::Headers | Standard::Query | Standard::Action) => {
                        matches!(member.ty, Type::Record(_))
                    }
                    Some(_) => STANDARD_CONTEXT
                        .members
                        .get(name)
                        .is_some_and(|standard| standard.ty == member.ty),
                };
                if !ok {
                    let message = format!(
                        "context member `{name}` of action `{}` is Doorward's own and has another type",
                        action.uid
                    );
                    let help = "`doorward schema prelude` prints the standard types";
                    faults.push(Fault::in_file("standard_context", file, message).help(help));
                }
            }
        }
        faults
    }

    /// The schema as Cedar's validator takes it.
    pub fn cedar(&self) -> &cedar_policy::Schema {
        &self.cedar
    }

    /// The entity type of a bare or full name.
    pub fn type_name(&self, name: &str) -> Option<&TypeName> {
        self.type_named(name).map(|def| &def.name)
    }

    /// The definition of the entity type of a bare or full name.
    pub fn type_named(&self, name: &str) -> Option<&EntityTypeDef> {
        self.type_names.get(name).map(Arc::as_ref)
    }

    /// The definition of an entity type.
    pub fn entity_type(&self, name: &TypeName) -> Option<&EntityTypeDef> {
        self.entity_types.get(name).map(Arc::as_ref)
    }

    /// Every entity type.
    pub fn entity_types(&self) -> impl Iterator<Item = (&TypeName, &EntityTypeDef)> {
        self.entity_types
            .iter()
            .map(|(name, def)| (name, def.as_ref()))
    }

    /// The action of a bare id or full name.
    pub fn action(&self, name: &str) -> Option<&ActionDef> {
        self.actions.get(*self.action_names.get(name)?)
    }

    /// Every action.
    pub fn actions(&self) -> &[ActionDef] {
        &self.actions
    }

    /// Names an entity of a type of this schema.
    ///
    /// # Errors
    /// When the type is an enumeration without that id.
    pub fn uid_of(&self, type_name: &TypeName, id: &str) -> Result<Uid, TypeFault> {
        match self.entity_type(type_name) {
            Some(def) => def.uid_of(id),
            None => Ok(core::uid(type_name, id)),
        }
    }
}

impl EntityTypeDef {
    /// Names an entity of this type.
    ///
    /// # Errors
    /// When the type is an enumeration without that id.
    pub fn uid_of(&self, id: &str) -> Result<Uid, TypeFault> {
        match &self.ids {
            Some(ids) if !ids.contains(id) => Err(TypeFault::new(
                "unknown_id",
                format!("is not one of the entities of `{}`", self.name),
            )),
            _ => Ok(core::uid(&self.name, id)),
        }
    }
}

fn is_reserved(namespace: &str) -> bool {
    namespace == RESERVED_NAMESPACE || namespace.starts_with("Doorward::")
}

/// `Doorward::Context` as the prelude has it.
static STANDARD_CONTEXT: LazyLock<RecordType> = LazyLock::new(|| {
    let probe =
        "entity P; action a appliesTo { principal: P, resource: P, context: Doorward::Context };";
    let fragments = [PRELUDE, probe].map(SchemaFragment::from_cedarschema_str);
    let parsed: Vec<SchemaFragment> = fragments
        .into_iter()
        .flatten()
        .map(|(fragment, _)| fragment)
        .collect();
    let standard = cedar_policy::Schema::from_schema_fragments(parsed)
        .ok()
        .and_then(|schema| core::actions(&schema).ok()?.pop())
        .map(|action| action.context);
    standard.unwrap_or_default()
});

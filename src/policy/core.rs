//! All that Doorward takes from `cedar-policy-core`, and nothing else names it.
//!
//! That crate makes no promise of stability, so it is pinned exactly and everything here is small:
//! parsing with places, values without re-evaluation, entities without re-closing the hierarchy, and
//! evaluation without rebuilding conditions.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, LazyLock},
};

use cedar_policy_core::{
    ast::{
        self, Context, EntityUIDEntry, Expr, ExprKind, ExtensionFunction, Name, PartialValue,
        PolicyID, SlotEnv, Value, ValueKind, Var,
    },
    entities::{NoEntitiesSchema, TCComputation},
    evaluator::{self, EvaluationError},
    extensions::Extensions,
    parser::text_to_cst::parse_policies,
    validator::{
        ValidatorEntityTypeKind, ValidatorSchema,
        types::{self, EntityKind},
    },
};
use jiff::Timestamp;
use smol_str::SmolStr;

use super::{
    fault::{Fault, Place},
    typing::{Member, RecordType, Type},
};
use crate::model::Effect;

pub use cedar_policy_core::{
    ast::{Entity, EntityType as TypeName, EntityUID as Uid, Value as CedarValue},
    entities::Entities,
};

// ---- text → rules -------------------------------------------------------------------------------

/// A policy as the engine evaluates it: the head apart from the conditions, neither rebuilt.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(super) effect: Effect,
    head: Expr,
    conditions: Option<Arc<Expr>>,
    slots: SlotEnv,
    policy: ast::Policy,
}

/// One statement of a file.
pub(super) struct Statement {
    pub(super) id: Arc<str>,
    pub(super) place: Place,
    pub(super) annotations: Vec<(String, String)>,
    pub(super) rule: Rule,
}

/// Parses a file of policies once, naming each by its `@id`, else `stem#n` (counted from 1).
///
/// # Errors
/// Every fault that the parser can tell.
pub(super) fn parse(file: &Arc<str>, stem: &str, text: &str) -> Result<Vec<Statement>, Vec<Fault>> {
    let parsed = parse_policies(text)
        .map_err(|errors| Fault::from_diagnostic("parse", file, text, &errors))?;
    let nodes = parsed.as_inner().map(|policies| policies.0.as_slice());
    let mut statements = Vec::new();
    let mut faults = Vec::new();
    for (n, node) in nodes.unwrap_or_default().iter().enumerate() {
        let fallback = PolicyID::from_string(format!("{stem}#{}", n + 1));
        let template = match node.to_template(fallback) {
            Ok(template) => template,
            Err(errors) => {
                faults.extend(Fault::from_diagnostic("parse", file, text, &errors));
                continue;
            }
        };
        let offset = template
            .loc()
            .map_or(0, cedar_policy_core::parser::Loc::start);
        let place = Place::at(file, text, offset);
        let annotations: Vec<(String, String)> = template
            .annotations()
            .map(|(name, value)| (name.to_string(), value.val.to_string()))
            .collect();
        if !template.is_static() {
            let fault = Fault::at(
                "template",
                place,
                "templates are not linked by anything here",
            );
            faults.push(fault.help("write the entity in place of `?principal` or `?resource`"));
            continue;
        }
        let id = annotations
            .iter()
            .find(|(name, _)| name == "id")
            .map(|(_, id)| id.clone());
        let template = match id {
            Some(id) if id.is_empty() => {
                faults.push(Fault::at("policy_id", place, "`@id` is empty"));
                continue;
            }
            Some(id) => template.new_id(PolicyID::from_string(id)),
            None => template,
        };
        match ast::Template::try_as_policy(Arc::new(template)) {
            Ok(policy) => statements.push(Statement {
                id: policy.id().to_string().into(),
                place,
                annotations,
                rule: Rule::new(policy),
            }),
            Err(error) => faults.push(Fault::at("parse", place, error.to_string())),
        }
    }
    if faults.is_empty() {
        Ok(statements)
    } else {
        Err(faults)
    }
}

impl Rule {
    fn new(policy: ast::Policy) -> Self {
        Self {
            effect: match policy.effect() {
                ast::Effect::Permit => Effect::Permit,
                ast::Effect::Forbid => Effect::Forbid,
            },
            head: Expr::and(
                policy.principal_constraint().as_expr(),
                Expr::and(
                    policy.action_constraint().as_expr(),
                    policy.resource_constraint().as_expr(),
                ),
            ),
            conditions: policy.non_scope_constraints_arc().cloned(),
            slots: policy.env().clone(),
            policy,
        }
    }

    /// Whether the conditions may depend on `context.now`.
    pub(super) fn reads_now(&self) -> bool {
        let Some(conditions) = &self.conditions else {
            return false;
        };
        // A use of `context` as a whole counts; so each is matched against the accesses around it.
        let is_context = |expr: &Expr| matches!(expr.expr_kind(), ExprKind::Var(Var::Context));
        let uses = conditions
            .subexpressions()
            .filter(|e| is_context(e))
            .count();
        let other_members = conditions
            .subexpressions()
            .filter(|expr| match expr.expr_kind() {
                ExprKind::GetAttr { expr, attr } | ExprKind::HasAttr { expr, attr } => {
                    is_context(expr) && attr != "now"
                }
                ExprKind::ExtHasAttr { expr, attrs } => is_context(expr) && attrs.first() != "now",
                _ => false,
            })
            .count();
        uses > other_members
    }
}

/// The policies as Cedar's own validator and authorizer take them.
///
/// # Errors
/// The id that occurs twice.
pub(super) fn cedar_set<'a>(
    rules: impl Iterator<Item = &'a Rule>,
) -> Result<cedar_policy::PolicySet, String> {
    let mut set = ast::PolicySet::new();
    for rule in rules {
        set.add(rule.policy.clone())
            .map_err(|error| error.to_string())?;
    }
    Ok(set.into())
}

// ---- schema → types -----------------------------------------------------------------------------

/// What the schema says of one entity type.
pub(super) struct CoreEntityType {
    pub(super) name: TypeName,
    pub(super) attributes: RecordType,
    pub(super) ancestors: HashSet<TypeName>,
    pub(super) ids: Option<HashSet<String>>,
}

/// What the schema says of one action.
pub(super) struct CoreAction {
    pub(super) uid: Uid,
    pub(super) principals: HashSet<TypeName>,
    pub(super) resources: HashSet<TypeName>,
    pub(super) context: RecordType,
}

/// Reads the entity types of a schema.
///
/// # Errors
/// What Doorward cannot serve.
pub(super) fn entity_types(schema: &cedar_policy::Schema) -> Result<Vec<CoreEntityType>, String> {
    let schema: &ValidatorSchema = schema.as_ref();
    schema
        .entity_types()
        .map(|def| {
            let name = def.name().clone();
            let containers = schema
                .entity_types()
                .filter(|other| other.descendants.contains(&name));
            Ok(CoreEntityType {
                attributes: record_type(def.attributes())
                    .map_err(|what| format!("entity type `{name}`: {what}"))?,
                ancestors: containers.map(|other| other.name().clone()).collect(),
                ids: match &def.kind {
                    ValidatorEntityTypeKind::Enum(ids) => Some(
                        ids.iter()
                            .map(|id| AsRef::<str>::as_ref(id).to_owned())
                            .collect(),
                    ),
                    ValidatorEntityTypeKind::Standard(_) | ValidatorEntityTypeKind::External => {
                        None
                    }
                },
                name,
            })
        })
        .collect()
}

/// Reads the actions of a schema.
///
/// # Errors
/// What Doorward cannot serve.
pub(super) fn actions(schema: &cedar_policy::Schema) -> Result<Vec<CoreAction>, String> {
    let schema: &ValidatorSchema = schema.as_ref();
    schema
        .action_ids()
        .map(|def| {
            let context = match def.context_type() {
                Some(types::Type::Record { attrs, .. }) => record_type(attrs)
                    .map_err(|what| format!("context of action `{}`: {what}", def.name()))?,
                _ => RecordType::default(),
            };
            Ok(CoreAction {
                uid: def.name().clone(),
                principals: def.applies_to_principals().cloned().collect(),
                resources: def.applies_to_resources().cloned().collect(),
                context,
            })
        })
        .collect()
}

fn record_type(attributes: &types::Attributes) -> Result<RecordType, String> {
    let members = attributes
        .iter()
        .map(|(name, attribute)| {
            let ty =
                value_type(&attribute.attr_type).map_err(|what| format!("`{name}`: {what}"))?;
            let required = attribute.is_required;
            Ok((name.clone(), Member { ty, required }))
        })
        .collect::<Result<_, String>>()?;
    Ok(RecordType { members })
}

fn value_type(ty: &types::Type) -> Result<Type, String> {
    Ok(match ty {
        types::Type::Bool(_) => Type::Bool,
        types::Type::Long => Type::Long,
        types::Type::String => Type::String,
        types::Type::Entity(EntityKind::Entity(lub)) => match lub.get_single_entity() {
            Some(name) => Type::Entity(name.clone()),
            None => return Err("more than one entity type".into()),
        },
        types::Type::Set {
            element_type: Some(item),
        } => Type::Set(Arc::new(value_type(item)?)),
        types::Type::Record { attrs, .. } => Type::Record(Arc::new(record_type(attrs)?)),
        types::Type::ExtensionType { name } => match name.to_string().as_str() {
            "ipaddr" => Type::Ip,
            "decimal" => Type::Decimal,
            "datetime" => Type::Datetime,
            "duration" => Type::Duration,
            other => return Err(format!("extension type `{other}` is not known")),
        },
        other => return Err(format!("type `{other}` cannot be stated by anyone")),
    })
}

// ---- values -------------------------------------------------------------------------------------

/// A boolean.
pub fn bool(value: bool) -> CedarValue {
    Value::from(value)
}

/// An integer.
pub fn long(value: i64) -> CedarValue {
    Value::from(value)
}

/// A string.
pub fn string(text: &str) -> CedarValue {
    Value::from(text)
}

/// A set.
pub fn set(values: Vec<CedarValue>) -> CedarValue {
    Value::set(values, None)
}

/// A record.
pub fn record(members: BTreeMap<SmolStr, CedarValue>) -> CedarValue {
    Value::record_arc(Arc::new(members), None)
}

/// A reference to an entity.
pub fn entity_value(uid: Uid) -> CedarValue {
    Value::from(uid)
}

/// An IP address or range; `None` when the text is none.
pub fn ip(text: &str) -> Option<CedarValue> {
    static IP: LazyLock<Option<&ExtensionFunction>> = LazyLock::new(|| function("ip"));
    construct(*IP, text)
}

/// A decimal; `None` when the text is none.
pub fn decimal(text: &str) -> Option<CedarValue> {
    static DECIMAL: LazyLock<Option<&ExtensionFunction>> = LazyLock::new(|| function("decimal"));
    construct(*DECIMAL, text)
}

/// A duration; `None` when the text is none.
pub fn duration(text: &str) -> Option<CedarValue> {
    static DURATION: LazyLock<Option<&ExtensionFunction>> = LazyLock::new(|| function("duration"));
    construct(*DURATION, text)
}

/// A moment, to the millisecond; `None` outside of Cedar's years.
pub fn datetime(moment: Timestamp) -> Option<CedarValue> {
    static DATETIME: LazyLock<Option<&ExtensionFunction>> = LazyLock::new(|| function("datetime"));
    construct(
        *DATETIME,
        &moment.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
    )
}

fn function(name: &str) -> Option<&'static ExtensionFunction> {
    Extensions::all_available()
        .func(&Name::parse_unqualified_name(name).ok()?)
        .ok()
}

fn construct(function: Option<&ExtensionFunction>, text: &str) -> Option<CedarValue> {
    match function?.call(&[Value::from(text)]).ok()? {
        PartialValue::Value(value) => Some(value),
        PartialValue::Residual(_) => None,
    }
}

/// The entities that a value refers to, at any depth.
pub fn references(value: &CedarValue) -> HashSet<Uid> {
    value.all_literal_uids()
}

/// The entities that an entity's attributes refer to.
pub fn entity_references(entity: &Entity) -> HashSet<Uid> {
    let values = entity.attrs().filter_map(|(_, value)| match value {
        PartialValue::Value(value) => Some(value.all_literal_uids()),
        PartialValue::Residual(_) => None,
    });
    values.flatten().collect()
}

// ---- entities -----------------------------------------------------------------------------------

/// Names an entity of a known type.
pub fn uid(type_name: &TypeName, id: &str) -> Uid {
    Uid::from_components(type_name.clone(), ast::Eid::new(id), None)
}

/// Builds an entity whose `ancestors` are all it has beyond its `parents`.
pub fn entity(
    uid: Uid,
    attributes: BTreeMap<SmolStr, CedarValue>,
    parents: HashSet<Uid>,
    ancestors: HashSet<Uid>,
) -> Entity {
    let attributes = attributes
        .into_iter()
        .map(|(name, value)| (name, PartialValue::from(value)));
    Entity::new_with_attr_partial_value(uid, attributes, ancestors, parents, [])
}

/// The attributes of an entity.
pub fn attributes(entity: &Entity) -> BTreeMap<SmolStr, CedarValue> {
    let known = entity.attrs().filter_map(|(name, value)| match value {
        PartialValue::Value(value) => Some((name.clone(), value.clone())),
        PartialValue::Residual(_) => None,
    });
    known.collect()
}

/// A set of entities, each of which already lists all of its ancestors.
///
/// # Errors
/// When two different entities have the same name.
pub fn entities(closed: impl IntoIterator<Item = Arc<Entity>>) -> Result<Entities, String> {
    Entities::new()
        .add_entities(
            closed,
            None::<&NoEntitiesSchema>,
            TCComputation::AssumeAlreadyComputed,
            Extensions::all_available(),
        )
        .map_err(|error| error.to_string())
}

/// The schema's actions as entities.
///
/// # Errors
/// When Cedar cannot build them.
pub(super) fn action_entities(schema: &cedar_policy::Schema) -> Result<Vec<Arc<Entity>>, String> {
    let entities = schema
        .action_entities()
        .map_err(|error| error.to_string())?;
    let entities: &Entities = entities.as_ref();
    Ok(entities
        .iter()
        .map(|entity| Arc::new(entity.clone()))
        .collect())
}

// ---- evaluation ---------------------------------------------------------------------------------

/// Evaluates rules for one request over one set of entities.
pub(super) struct Evaluator<'e>(evaluator::Evaluator<'e>);

/// Why a rule could not be evaluated.
pub(super) struct RuleError {
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl<'e> Evaluator<'e> {
    pub(super) fn new(
        principal: Uid,
        action: Uid,
        resource: Uid,
        context: BTreeMap<SmolStr, CedarValue>,
        entities: &'e Entities,
    ) -> Self {
        let known = |uid| EntityUIDEntry::known(uid, None);
        let request = ast::Request::new_unchecked(
            known(principal),
            known(action),
            known(resource),
            Some(Context::Value(Arc::new(context))),
        );
        let extensions = Extensions::all_available();
        Self(evaluator::Evaluator::new(request, entities, extensions))
    }

    /// Whether the rule's head matches.
    pub(super) fn head_matches(&self, rule: &Rule) -> Result<bool, RuleError> {
        self.holds(&rule.head, &rule.slots)
    }

    /// Whether the rule's conditions hold.
    pub(super) fn conditions_hold(&self, rule: &Rule) -> Result<bool, RuleError> {
        match &rule.conditions {
            Some(conditions) => self.holds(conditions, &rule.slots),
            None => Ok(true),
        }
    }

    fn holds(&self, expr: &Expr, slots: &SlotEnv) -> Result<bool, RuleError> {
        let value = self.0.interpret(expr, slots).map_err(|error| RuleError {
            code: error_code(&error),
            message: error.to_string(),
        })?;
        match value.value_kind() {
            ValueKind::Lit(ast::Literal::Bool(holds)) => Ok(*holds),
            _ => Err(RuleError {
                code: "type_error",
                message: "a condition is not a boolean".into(),
            }),
        }
    }
}

fn error_code(error: &EvaluationError) -> &'static str {
    match error {
        EvaluationError::EntityDoesNotExist(_) => "entity_missing",
        EvaluationError::EntityAttrDoesNotExist(_) | EvaluationError::RecordAttrDoesNotExist(_) => {
            "attribute_missing"
        }
        EvaluationError::TypeError(_) => "type_error",
        EvaluationError::IntegerOverflow(_) => "overflow",
        EvaluationError::FailedExtensionFunctionLookup(_)
        | EvaluationError::WrongNumArguments(_)
        | EvaluationError::FailedExtensionFunctionExecution(_) => "extension_error",
        EvaluationError::UnlinkedSlot(_) => "unlinked_slot",
        EvaluationError::NonValue(_) => "unknown_value",
        EvaluationError::RecursionLimit(_) => "recursion_limit",
    }
}

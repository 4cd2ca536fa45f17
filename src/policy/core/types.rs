//! Schema → types.

use std::sync::Arc;

use cedar_policy_core::validator::{
    ValidatorEntityTypeKind, ValidatorSchema,
    types::{self, EntityKind},
};

use super::{TypeName, Uid};
use crate::policy::{
    Set,
    typing::{Member, RecordType, Type},
};

/// What the schema says of one entity type.
pub(in crate::policy) struct CoreEntityType {
    pub(in crate::policy) name: TypeName,
    pub(in crate::policy) attributes: RecordType,
    pub(in crate::policy) ancestors: Set<TypeName>,
    pub(in crate::policy) ids: Option<Set<String>>,
}

/// What the schema says of one action.
pub(in crate::policy) struct CoreAction {
    pub(in crate::policy) uid: Uid,
    pub(in crate::policy) principals: Set<TypeName>,
    pub(in crate::policy) resources: Set<TypeName>,
    pub(in crate::policy) context: RecordType,
}

/// Reads the entity types of a schema.
///
/// # Errors
/// What Doorward cannot serve.
pub(in crate::policy) fn entity_types(
    schema: &cedar_policy::Schema,
) -> Result<Vec<CoreEntityType>, String> {
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
pub(in crate::policy) fn actions(schema: &cedar_policy::Schema) -> Result<Vec<CoreAction>, String> {
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

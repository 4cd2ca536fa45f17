//! Which facts of stored entities the rules look at.

use super::{Routes, Source, Sources};
use crate::{
    model::MemberName,
    policy::{Map, PolicySet, Schema, Type, core::TypeName},
};

/// The attributes that policies and routes name, by the type of entity that has them.
///
/// **Invariant:** no decision depends on any other attribute, so no other is read of what is stored.
#[derive(Debug, Default)]
pub struct LookedAt {
    types: Map<TypeName, Vec<Look>>,
    /// Whether Cedar's evaluator may want them in its own form.
    converted: bool,
}

/// An attribute that rules look at.
#[derive(Debug)]
pub struct Look {
    /// Its name.
    pub name: MemberName,
    /// Its type.
    pub ty: Type,
    /// Whether it must be there.
    pub required: bool,
    /// Who owns it.
    pub owner: Source,
}

impl LookedAt {
    /// What these rules look at of entities of which something may be in a directory.
    pub(super) fn compile(
        schema: &Schema,
        policies: &PolicySet,
        routes: &Routes,
        sources: &Sources,
    ) -> Self {
        if !sources.uses_directory() {
            return Self::default();
        }
        let mut named = policies.members_named();
        named.extend(routes.attributes());
        let in_directory = schema.entity_types();
        let in_directory = in_directory.filter(|(name, _)| sources.is_in_directory(name));
        let looks = in_directory.map(|(name, def)| {
            let members = def.attributes.members.iter();
            let members = members.filter(|(attribute, _)| named.contains(attribute.as_str()));
            let look = members.map(|(attribute, member)| Look {
                name: MemberName::new(attribute),
                ty: member.ty.clone(),
                required: member.required,
                owner: sources.of_attribute(name, attribute),
            });
            (name.clone(), look.collect())
        });
        Self {
            types: looks.collect(),
            converted: policies.need_evaluator(),
        }
    }

    /// Whether Cedar's evaluator may look at them too, so that they are converted for it.
    pub fn is_converted(&self) -> bool {
        self.converted
    }

    /// Those of entities of one type, in the order of their names.
    pub fn of_type(&self, name: &TypeName) -> &[Look] {
        self.types.get(name).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use crate::bundle::{BundleFiles, CompileOptions, Snapshot};

    const SCHEMA: &str = "entity G;
        entity U in [G] = { a: Long, b?: { c: String, d?: Long }, e: Long, f?: U, g: String };
        entity D = { a: Long, e: Long, owner: U };
        action read appliesTo { principal: [U], resource: [D] };";
    const RULES: &str = "permit (principal, action, resource) when { principal.a > 1 };
        @id(\"t\") permit (principal in ?principal, action, resource)
        when { principal has b.d && principal has f };";
    const LINKS: &str = r#"[{"template": "t", "id": "l", "principal": "G::\"g\""}]"#;
    const BUNDLE: &str = "[[principal]]\ntype = \"U\"\nid = \"{sub}\"
        [[entity]]\ntype = \"U\"\nsource = \"directory\"
        [[route]]\nmethod = \"GET\"\npath = \"/{id}/{g}\"\naction = \"read\"
        resource = { type = \"D\", id = \"{id}\", attributes = { owner = \"{g}\" } }";

    #[test]
    fn attributes_are_looked_at_that_a_policy_a_template_or_a_route_names() {
        let looked_at = |bundle: &str, name: &str| {
            let files = BundleFiles::new([
                ("schema.cedarschema", SCHEMA),
                ("all.cedar", RULES),
                ("links.json", LINKS),
                ("bundle.toml", bundle),
            ]);
            let snapshot = Snapshot::compile(&files, &CompileOptions::default()).unwrap();
            let name = snapshot.schema.type_name(name).unwrap();
            let looks = snapshot.looked_at.of_type(name).iter();
            looks
                .map(|it| it.name.as_str().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(looked_at(BUNDLE, "U"), ["a", "b", "f"]);
        // Of these, nothing is in a directory.
        assert!(looked_at(BUNDLE, "D").is_empty());
        let all = format!("{BUNDLE}\n[[entity]]\ntype = \"D\"\nsource = \"directory\"");
        assert_eq!(looked_at(&all, "D"), ["a", "owner"]);
    }
}

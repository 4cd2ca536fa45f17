//! `DOORWARD_…` variables: `DOORWARD_AUDIT__MODE` is `audit.mode`.

use super::Setting;

const PREFIX: &str = "DOORWARD_";
/// Variables that are no settings: the command line reads them.
const OTHERS: &[&str] = &["DOORWARD_LOG", "DOORWARD_CONFIG"];

/// The settings among the process's variables, in order of their names.
pub(super) fn settings(variables: impl IntoIterator<Item = (String, String)>) -> Vec<Setting> {
    let mut settings: Vec<Setting> = variables
        .into_iter()
        .filter(|(name, _)| !OTHERS.contains(&name.as_str()) && !is_service_link(name))
        .filter_map(|(name, value)| {
            let key = name.strip_prefix(PREFIX)?;
            Some(Setting {
                key: key.to_ascii_lowercase().replace("__", "."),
                value,
                source: name,
            })
        })
        .collect();
    settings.sort_by(|a, b| a.source.cmp(&b.source));
    settings
}

/// Kubernetes gives every pod such variables for a service that is named `doorward`.
fn is_service_link(name: &str) -> bool {
    name == "DOORWARD_PORT"
        || name.starts_with("DOORWARD_PORT_")
        || name == "DOORWARD_SERVICE_HOST"
        || name == "DOORWARD_SERVICE_PORT"
        || name.starts_with("DOORWARD_SERVICE_PORT_")
}

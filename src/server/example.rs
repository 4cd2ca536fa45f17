//! The example bundle, within the program, so that `serve --dev` works anywhere.

use crate::bundle::BundleFiles;

macro_rules! files {
    ($($path:literal,)*) => {
        &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/policies/", $path))),)*]
    };
}

const FILES: &[(&str, &str)] = files![
    "bundle.toml",
    "delegation.cedar",
    "documents.cedar",
    "entities.json",
    "orders.cedar",
    "public.cedar",
    "schema.cedarschema",
    "scopes.cedar",
    "services.cedar",
    "tenancy.cedar",
    "tests/documents.yaml",
    "tests/orders.yaml",
    "tests/public.yaml",
    "tests/services.yaml",
    "tests/tenancy.yaml",
];

/// The files of `policies/`, as this program was built with.
pub(super) fn files() -> BundleFiles {
    BundleFiles::new(FILES.iter().copied())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::bundle::BundleLimits;

    #[test]
    fn the_example_is_the_whole_of_policies() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        let read = BundleFiles::read(&root, BundleLimits::default()).unwrap();
        let paths = |files: &BundleFiles| {
            files
                .iter()
                .map(|(path, _)| path.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(paths(&files()), paths(&read));
    }
}

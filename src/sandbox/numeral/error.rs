//! The vendor's errors, in both of its forms.

use serde_json::{Value, json};

/// The versions of the API that the vendor has published, oldest first.
pub const VERSIONS: [&str; 4] = ["2024-09-01", "2025-05-12", "2026-01-01", "2026-03-01"];

/// The first version whose errors are flat.
const FLAT_SINCE: &str = "2026-01-01";

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorError {
    /// The HTTP status, which the body repeats as `code`.
    pub status: u16,
    /// The word that programs match on.
    pub kind: &'static str,
    /// For people.
    pub message: String,
}

impl VendorError {
    /// An error.
    pub fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into() }
    }

    /// A value that cannot be used.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "INVALID_REQUEST", message)
    }

    /// The body, in the form of the version that the call named. A call that names none is served as the oldest.
    pub fn body(&self, version: Option<&str>) -> Value {
        let error = json!({ "code": self.status, "type": self.kind, "message": self.message });
        let flat = version.is_some_and(|version| VERSIONS.contains(&version) && version >= FLAT_SINCE);
        if flat { error } else { json!({ "error": error }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_flat_since_2026_and_nested_before_and_without_a_version() {
        let error = VendorError::invalid("no");
        let flat = json!({"code": 400, "type": "INVALID_REQUEST", "message": "no"});
        for version in ["2026-03-01", "2026-01-01"] {
            assert_eq!(error.body(Some(version)), flat, "{version}");
        }
        for version in [None, Some("2025-05-12"), Some("2024-09-01"), Some("latest")] {
            assert_eq!(error.body(version), json!({ "error": flat }), "{version:?}");
        }
    }
}

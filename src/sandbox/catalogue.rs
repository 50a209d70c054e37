//! The kinds of certificate that the sandbox knows, and words to make up customers from.

/// A kind of certificate, as the vendor describes it.
#[derive(Debug, PartialEq, Eq)]
pub struct CertificateType {
    /// The numeric id, which the vendor writes as a string.
    pub id: &'static str,
    /// The stable identifier; a request's `certificate_type_id`.
    pub identifier: &'static str,
    /// For people.
    pub name: &'static str,
    /// The jurisdictions that it can cover.
    pub jurisdictions: &'static [&'static str],
    /// How long one is good for; `None`: until it is revoked.
    pub term_days: Option<i32>,
}

impl CertificateType {
    /// Whether one certificate of this type can cover several jurisdictions.
    pub const fn is_multi_state(&self) -> bool {
        self.jurisdictions.len() > 1
    }

    /// The type of that identifier or numeric id.
    pub fn find(text: &str) -> Option<&'static Self> {
        TYPES.iter().find(|kind| kind.identifier == text || kind.id == text)
    }
}

const fn certificate_type(
    id: &'static str,
    identifier: &'static str,
    name: &'static str,
    jurisdictions: &'static [&'static str],
    term_days: Option<i32>,
) -> CertificateType {
    CertificateType { id, identifier, name, jurisdictions, term_days }
}

/// States that accept the Multistate Tax Commission's uniform certificate, as far as the sandbox needs them.
const MTC_STATES: &[&str] =
    &["US-CA", "US-CO", "US-CT", "US-FL", "US-IL", "US-MO", "US-NJ", "US-PA", "US-TX", "US-VA", "US-WA", "US-WI"];

/// Member states of the Streamlined Sales Tax agreement, as far as the sandbox needs them.
const SST_STATES: &[&str] =
    &["US-GA", "US-IN", "US-KS", "US-KY", "US-MI", "US-MN", "US-NC", "US-NE", "US-OH", "US-TN", "US-UT", "US-WI"];

/// Every kind of certificate. The first one is the vendor's own example.
pub static TYPES: &[CertificateType] = &[
    certificate_type("12", "US-CA-CDTFA-230", "California Resale Certificate (CDTFA-230)", &["US-CA"], Some(365)),
    certificate_type(
        "3",
        "MTC-UNIFORM",
        "Uniform Sales and Use Tax Resale Certificate - Multijurisdiction",
        MTC_STATES,
        Some(1095),
    ),
    certificate_type(
        "4",
        "SST-F0003",
        "Streamlined Sales Tax Certificate of Exemption (F0003)",
        SST_STATES,
        Some(1095),
    ),
    certificate_type(
        "44",
        "US-TX-01-339",
        "Texas Sales and Use Tax Resale Certificate (01-339)",
        &["US-TX"],
        Some(1460),
    ),
    certificate_type("31", "US-NY-ST-120", "New York Resale Certificate (ST-120)", &["US-NY"], None),
    certificate_type(
        "10",
        "US-FL-DR-13",
        "Florida Annual Resale Certificate for Sales Tax (DR-13)",
        &["US-FL"],
        Some(365),
    ),
    certificate_type("38", "US-PA-REV-1220", "Pennsylvania Exemption Certificate (REV-1220)", &["US-PA"], Some(1460)),
    certificate_type("14", "US-IL-CRT-61", "Illinois Certificate of Resale (CRT-61)", &["US-IL"], Some(1095)),
    certificate_type("48", "US-WA-RESELLER", "Washington Reseller Permit", &["US-WA"], Some(730)),
    certificate_type("36", "US-OH-STEC-B", "Ohio Blanket Exemption Certificate (STEC B)", &["US-OH"], None),
    certificate_type("22", "US-MA-ST-4", "Massachusetts Sales Tax Resale Certificate (ST-4)", &["US-MA"], None),
    certificate_type("34", "US-NC-E-595E", "North Carolina Certificate of Exemption (E-595E)", &["US-NC"], Some(1095)),
];

/// How the names of companies begin.
pub const NAMES: &[&str] = &[
    "Harbor",
    "Juniper",
    "Blue Mesa",
    "Cascade",
    "Old Mill",
    "Granite",
    "Lakeshore",
    "Red Oak",
    "Summit",
    "Tidewater",
    "Prairie",
    "Copper Hill",
    "Northgate",
    "Silver Creek",
    "Bayview",
    "Stonebridge",
    "Magnolia",
    "Ironwood",
    "Willow",
    "Keystone",
];

/// What companies do.
pub const TRADES: &[&str] = &[
    "Restaurant Supply",
    "Electrical",
    "Medical Devices",
    "Office Furniture",
    "Brewing",
    "Auto Parts",
    "Textiles",
    "Farm Equipment",
    "Packaging",
    "Instruments",
    "Lumber",
    "Print Works",
    "Logistics",
    "School Services",
    "Optics",
];

/// How the names of companies end.
pub const FORMS: &[&str] = &["Inc.", "LLC", "Co.", "Corp.", "LLP", "Group"];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn types_are_found_by_identifier_and_by_numeric_id() {
        assert_eq!(CertificateType::find("12"), CertificateType::find("US-CA-CDTFA-230"));
        assert!(CertificateType::find("13").is_none());
        let words: HashSet<_> = TYPES.iter().flat_map(|kind| [kind.id, kind.identifier]).collect();
        assert_eq!(words.len(), 2 * TYPES.len());
    }
}

//! Query parameters, as strict as the vendor may be.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use url::form_urlencoded;

use super::error::VendorError;
use crate::sandbox::book::filter::{Filter, IdType, Window};

/// What both lists accept.
const LIST: [&str; 10] = [
    "status",
    "customer_id",
    "id_type",
    "certificate_type_id",
    "created_after",
    "created_before",
    "updated_after",
    "updated_before",
    "limit",
    "cursor",
];

/// The page size if none is asked for.
const LIMIT_DEFAULT: usize = 10;

/// The largest page.
const LIMIT_MAX: usize = 100;

/// What a list call asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Which objects.
    pub filter: Filter,
    /// How many on the page.
    pub limit: usize,
    /// The last id of the page before.
    pub cursor: Option<String>,
}

/// Reads the query of `GET /tax/certificates`.
///
/// # Errors
/// A parameter is unknown, given twice, or cannot be used.
pub fn certificate_list(query: &str) -> Result<ListQuery, VendorError> {
    let mut given = Parameters::read(query, &[&LIST[..], &["jurisdiction"]].concat())?;
    let certificate_status = given.parsed("status")?;
    let jurisdiction = given.take("jurisdiction");
    let list = given.list()?;
    Ok(ListQuery { filter: Filter { certificate_status, jurisdiction, ..list.filter }, ..list })
}

/// Reads the query of `GET /tax/certificate-requests`.
///
/// # Errors
/// A parameter is unknown, given twice, or cannot be used.
pub fn request_list(query: &str) -> Result<ListQuery, VendorError> {
    let mut given = Parameters::read(query, &LIST)?;
    let request_status = given.parsed("status")?;
    let list = given.list()?;
    Ok(ListQuery { filter: Filter { request_status, ..list.filter }, ..list })
}

/// Checks the query of a call that takes no parameters.
///
/// # Errors
/// There is one.
pub fn none(query: &str) -> Result<(), VendorError> {
    Parameters::read(query, &[]).map(|_| ())
}

struct Parameters(BTreeMap<String, String>);

impl Parameters {
    fn read(query: &str, known: &[&str]) -> Result<Self, VendorError> {
        let mut given = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if !known.contains(&name.as_ref()) {
                return Err(VendorError::new(
                    400,
                    "UNRECOGNIZED_FIELD",
                    format!("unrecognized query parameter {name:?}"),
                ));
            }
            if given.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                return Err(VendorError::invalid(format!("{name} is given twice")));
            }
        }
        Ok(Self(given))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<Option<T>, VendorError> {
        let parse = |text: String| text.parse().map_err(|error| VendorError::invalid(format!("{name}: {error}")));
        self.take(name).map(parse).transpose()
    }

    fn window(&mut self, after: &str, before: &str) -> Result<Window, VendorError> {
        Ok(Window { after: self.parsed(after)?, before: self.parsed(before)? })
    }

    fn list(mut self) -> Result<ListQuery, VendorError> {
        // The vendor validates id_type even where there is no customer_id.
        let id_type = match self.take("id_type").as_deref() {
            None | Some("id") => IdType::Id,
            Some("reference_customer_id") => IdType::ReferenceCustomerId,
            Some(_) => return Err(VendorError::invalid("id_type: must be one of id, reference_customer_id")),
        };
        let limit: usize = self.parsed("limit")?.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(VendorError::invalid(format!("limit: must be from 1 to {LIMIT_MAX}")));
        }
        let filter = Filter {
            customer: self.take("customer_id").map(|id| (id_type, id)),
            certificate_type: self.take("certificate_type_id"),
            created: self.window("created_after", "created_before")?,
            updated: self.window("updated_after", "updated_before")?,
            ..Filter::default()
        };
        Ok(ListQuery { filter, limit, cursor: self.take("cursor") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::book::object::CertificateStatus;

    #[test]
    fn every_documented_parameter_is_understood() {
        let query = "status=needs_info&customer_id=20506&id_type=reference_customer_id&jurisdiction=US-CA\
                     &certificate_type_id=12&created_after=2026-01-01T00:00:00Z&created_before=2026-02-01T00:00:00Z\
                     &updated_after=2026-03-01T00:00:00%2B01:00&updated_before=2026-04-01T00:00:00Z&limit=100&cursor=c";
        let read = certificate_list(query).expect("all are good");
        let at = |text: &str| Some(text.parse().expect("an instant"));
        assert_eq!(
            read,
            ListQuery {
                filter: Filter {
                    customer: Some((IdType::ReferenceCustomerId, "20506".into())),
                    certificate_type: Some("12".into()),
                    created: Window { after: at("2026-01-01T00:00:00Z"), before: at("2026-02-01T00:00:00Z") },
                    updated: Window { after: at("2026-02-28T23:00:00Z"), before: at("2026-04-01T00:00:00Z") },
                    certificate_status: Some(CertificateStatus::NeedsInfo),
                    request_status: None,
                    jurisdiction: Some("US-CA".into()),
                },
                limit: 100,
                cursor: Some("c".into()),
            }
        );
    }

    #[test]
    fn bad_parameters_are_refused_by_name() {
        let table = [
            ("colour=red", "UNRECOGNIZED_FIELD", "unrecognized query parameter \"colour\""),
            ("jurisdiction=US-CA", "UNRECOGNIZED_FIELD", "unrecognized query parameter \"jurisdiction\""),
            ("status=active", "INVALID_REQUEST", "status: must be one of pending, fulfilled, canceled, invalid"),
            ("id_type=uuid", "INVALID_REQUEST", "id_type: must be one of id, reference_customer_id"),
            ("limit=0", "INVALID_REQUEST", "limit: must be from 1 to 100"),
            ("limit=101", "INVALID_REQUEST", "limit: must be from 1 to 100"),
            ("limit=ten", "INVALID_REQUEST", "limit: invalid digit found in string"),
            ("limit=1&limit=2", "INVALID_REQUEST", "limit is given twice"),
            (
                "updated_after=yesterday",
                "INVALID_REQUEST",
                "updated_after: not an RFC 3339 instant such as 2026-11-21T04:31:20Z",
            ),
        ];
        for (query, kind, message) in table {
            assert_eq!(request_list(query), Err(VendorError::new(400, kind, message)), "{query}");
        }
        assert!(certificate_list("status=pending").is_err(), "that is a request's status");
        assert!(none("expand=customer").is_err());
    }
}

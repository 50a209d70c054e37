//! Filters: which events are meant, beside their types.

use clap::Args;
use clap::builder::RangedI64ValueParser;
use serde_json::{Map, Value};

use super::usage::entry;
use crate::api::examine::DAYS_AHEAD_MAX;
use crate::model::resource::SourceName;

/// Conditions on events. Those of different kinds must all be met, of those of one kind any.
#[derive(Debug, Args)]
#[command(next_help_heading = "Filter")]
pub(super) struct FilterArguments {
    /// From these sources
    #[arg(long = "source", value_name = "NAME", value_delimiter = ',')]
    sources: Vec<SourceName>,
    /// About these customers, by the vendor's id
    #[arg(long = "customer", value_name = "ID", value_delimiter = ',', value_parser = entry)]
    customer_ids: Vec<String>,
    /// About these customers, by your own id for them
    #[arg(long = "reference-customer", value_name = "ID", value_delimiter = ',', value_parser = entry)]
    reference_customer_ids: Vec<String>,
    /// About these jurisdictions (US-CA)
    #[arg(long = "jurisdiction", value_name = "ID", value_delimiter = ',', value_parser = entry)]
    jurisdictions: Vec<String>,
    /// About certificates of these types
    #[arg(long = "certificate-type", value_name = "ID", value_delimiter = ',', value_parser = entry)]
    certificate_type_ids: Vec<String>,
    /// Of reminders, those so many days ahead
    #[arg(long = "days-ahead", value_name = "DAYS", value_delimiter = ',', value_parser = days())]
    will_expire_days: Vec<u32>,
}

fn days() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(0..=i64::from(DAYS_AHEAD_MAX))
}

impl FilterArguments {
    /// The conditions that were given; `None` if none was.
    pub(super) fn given(self) -> Option<Value> {
        let lists = [
            ("sources", self.sources.iter().map(|source| source.as_str().to_owned()).collect()),
            ("customer_ids", self.customer_ids),
            ("reference_customer_ids", self.reference_customer_ids),
            ("jurisdictions", self.jurisdictions),
            ("certificate_type_ids", self.certificate_type_ids),
        ];
        let mut filter = Map::new();
        for (name, values) in lists {
            if !values.is_empty() {
                filter.insert(name.into(), values.into());
            }
        }
        if !self.will_expire_days.is_empty() {
            filter.insert("will_expire_days".into(), self.will_expire_days.into());
        }
        (!filter.is_empty()).then_some(filter.into())
    }
}

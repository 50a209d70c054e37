//! What is remembered of passes: those that wait, those that run, and the last ones that have ended.

use std::collections::VecDeque;

use crate::model::source::{PassKind, PassReport, PassStatus};

/// How many passes are remembered: a day of sweeps, and what an operator looks at after an hour of trouble at the
/// default interval.
const REMEMBERED: usize = 120;

/// Reports in the order in which the passes were asked for.
#[derive(Debug, Default)]
pub(super) struct Reports(VecDeque<PassReport>);

impl Reports {
    /// A pass that was asked for. Forgets the oldest that has ended, if there are too many.
    pub(super) fn add(&mut self, id: String, pass: PassKind) -> PassReport {
        if self.0.len() >= REMEMBERED
            && let Some(oldest) = self.0.iter().position(|report| report.duration_ms.is_some())
        {
            self.0.remove(oldest);
        }
        let status = PassStatus::Waiting;
        let (started_at, duration_ms, error) = (None, None, None);
        let report = PassReport {
            id,
            pass,
            status,
            pages: 0,
            seen: 0,
            changed: 0,
            found_late: 0,
            started_at,
            duration_ms,
            error,
        };
        self.0.push_back(report.clone());
        report
    }

    /// The report of one pass.
    pub(super) fn get(&self, id: &str) -> Option<&PassReport> {
        self.0.iter().rev().find(|report| report.id == id)
    }

    /// Puts a report in the place of the former one of that pass.
    pub(super) fn put(&mut self, report: PassReport) {
        if let Some(known) = self.0.iter_mut().rev().find(|known| known.id == report.id) {
            *known = report;
        }
    }

    /// The last pass of a kind that has begun.
    pub(super) fn last(&self, kind: PassKind) -> Option<&PassReport> {
        self.0.iter().rev().find(|report| report.pass == kind && report.started_at.is_some())
    }

    /// All that are remembered, newest first.
    pub(super) fn newest_first(&self) -> Vec<PassReport> {
        self.0.iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_bounded_and_a_pass_under_way_is_not_forgotten() {
        let mut reports = Reports::default();
        reports.add("sweep".into(), PassKind::Sweep);
        for number in 0..500 {
            let mut report = reports.add(format!("pass_{number}"), PassKind::Changes);
            report.status = PassStatus::Complete;
            report.duration_ms = Some(1);
            reports.put(report);
        }
        assert_eq!(reports.newest_first().len(), REMEMBERED);
        assert_eq!(reports.newest_first()[0].id, "pass_499");
        assert!(reports.get("sweep").is_some());
        assert!(reports.get("pass_0").is_none());
    }
}

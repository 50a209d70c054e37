//! How far something is that takes its time, for somebody who watches.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::output::Output;

/// The length of a whole bar: parts of a thousand.
const WHOLE: u64 = 1_000;

/// How often a bar shows that it is alive.
const TICK: Duration = Duration::from_millis(200);

/// A bar on standard error, which is gone at the end; nothing where nobody watches.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// A bar that stands at nothing. One whose end is not known turns instead.
    pub(super) fn new(output: Output, is_end_known: bool) -> Self {
        if !output.is_watched() {
            return Self(ProgressBar::hidden());
        }
        let template = if is_end_known { "{bar:40} {percent:>3} %  {msg}" } else { "{spinner} {msg}" };
        let style = ProgressStyle::with_template(template).expect("a template that is written here");
        let bar = if is_end_known { ProgressBar::new(WHOLE) } else { ProgressBar::no_length() };
        let bar = bar.with_style(style);
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    /// It has come so far, from 0 to 1.
    pub(super) fn at(&self, part: f64, message: String) {
        self.0.set_position((part.clamp(0.0, 1.0) * WHOLE as f64) as u64);
        self.0.set_message(message);
    }

    /// Writes something else, without the bar in its way.
    pub(super) fn beside(&self, write: impl FnOnce()) {
        self.0.suspend(write);
    }

    /// It is over.
    pub(super) fn end(self) {
        self.0.finish_and_clear();
    }
}
